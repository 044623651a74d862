"""Models are compiled once for each file and edits, and never print."""

from pathlib import Path

import mujoco
import pytest

from metarl.envs.model import gymnasium_asset, load_model
from metarl.envs.robots import Point


def heavier(spec: mujoco.MjSpec) -> None:
    spec.geoms[-1].mass = 7.0


def longer_steps(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = 0.5


def test_gymnasiums_models_are_found():
    assert all(
        gymnasium_asset(name).is_file() for name in ("ant.xml", "half_cheetah.xml", "pusher_v5.xml")
    )


def test_a_model_is_shared_by_all_who_ask_for_the_same_edits():
    assert Point().load() is Point().load(()) is load_model(Point.mjcf, ())
    edited = load_model(Point.mjcf, (heavier,))
    assert edited is load_model(Point.mjcf, (heavier,))
    assert edited is not load_model(Point.mjcf, ())
    assert edited.body_mass[-1] == pytest.approx(7.0)


def test_edits_are_made_in_order():
    def twice(spec: mujoco.MjSpec) -> None:
        spec.option.timestep *= 2.0

    assert load_model(Point.mjcf, (longer_steps, twice)).opt.timestep == 1.0
    assert load_model(Point.mjcf, (twice, longer_steps)).opt.timestep == 0.5


def test_models_that_mujoco_would_warn_about_load_in_silence(capfd):
    load_model.cache_clear()
    load_model(gymnasium_asset("half_cheetah.xml"), ())  # has attributes that MuJoCo deprecates
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no MJCF file at .*robot\.xml"):
        load_model(tmp_path / "robot.xml", ())
