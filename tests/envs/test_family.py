"""Families, their tasks and the catalogue."""

import numpy as np
import pytest

from metarl import envs
from metarl.envs import Tasks


@pytest.mark.parametrize("name", envs.families())
def test_every_family_samples_tasks_in_its_range(name: str):
    family = envs.make(name)
    for split in ("train", "test"):
        tasks = family.sample_tasks(200, seed=3, split=split)
        assert family.task(tasks) == tasks
    assert family.observation_size > 0


def test_tasks_depend_on_seed_and_split_only():
    family = envs.make("HalfCheetahVel")
    train = family.sample_tasks(5, seed=1)
    assert train == family.sample_tasks(5, seed=1)
    assert train != family.sample_tasks(5, seed=2)
    assert train != family.sample_tasks(5, seed=1, split="test")


def test_extrapolation_lies_outside_the_training_range():
    for name, parameter in (("HalfCheetahVel", "velocity"), ("HalfCheetahMass", "mass_scale")):
        family = envs.make(name)
        outside = family.sample_tasks(100, seed=0, split="extrapolate")[parameter]
        assert outside.min() > family.sample_tasks(100, seed=0)[parameter].max()
    outside = envs.make("AntGoal").sample_tasks(100, seed=0, split="extrapolate")
    assert (np.hypot(outside["x"], outside["y"]) >= 3.0).all()


def test_goals_fill_a_disc_evenly():
    """A quarter of the goals lies within half the radius."""
    tasks = envs.make("AntGoal").sample_tasks(20_000, seed=0)
    assert np.mean(np.hypot(tasks["x"], tasks["y"]) < 1.5) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: envs.make("HalfCheetaVel"),
            "no family 'HalfCheetaVel'; did you mean HalfCheetahVel",
        ),
        (
            lambda: envs.make("Point2D", preset="maml"),
            "Point2D has no preset 'maml'; did you mean maml2017",
        ),
        (lambda: envs.make("AntDir", horizont=5), "no field 'horizont'; did you mean horizon"),
        (lambda: envs.make("AntDir", horizon=0), "horizon must be at least 1 step, got 0"),
        (
            lambda: envs.make("HalfCheetahVel").task({"velocity": 9.0}),
            r"velocity 9 is outside the range: velocity in 0 to 3 m/s \(extrapolate: 3 to 4\)",
        ),
        (
            lambda: envs.make("HalfCheetahVel").task({"speed": 1.0}),
            "HalfCheetahVel has the task parameters velocity; got speed",
        ),
        (lambda: envs.make("HalfCheetahVel").task({"velocity": float("nan")}), "must be finite"),
        (
            lambda: envs.make("AntDir").sample_tasks(2, seed=0, split="extrapolate"),
            "declares no range outside",
        ),
        (
            lambda: envs.make("AntDir").sample_tasks(2, seed=0, split="tset"),  # type: ignore[arg-type]
            "split must be one of",
        ),
    ],
)
def test_bad_input_is_named(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_tasks_index_print_and_round_trip():
    tasks = Tasks.from_dicts([{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": -4.0}])
    assert tasks[1] == {"x": 3.0, "y": -4.0}
    assert tasks["y"].tolist() == [2.0, -4.0]
    assert tasks[[1, 0]]["x"].tolist() == [3.0, 1.0]
    assert tasks.repeat(2)["x"].tolist() == [1.0, 1.0, 3.0, 3.0]
    assert Tasks.from_json(tasks.to_json()) == tasks
    assert tasks.label(0) == "x 1.00, y 2.00"
    assert len(str(tasks).splitlines()) == 3
    with pytest.raises(ValueError, match="read-only"):
        tasks.values[0, 0] = 5.0
    with pytest.raises(KeyError, match="no parameter 'z'; there are x, y"):
        tasks["z"]


@pytest.mark.parametrize("name", envs.families())
def test_the_training_range_has_diameter_one_in_every_coordinate(name: str):
    family = envs.make(name)
    points = family.coordinates(family.sample_tasks(400, seed=3))
    assert points.shape[0] == 400
    span = np.ptp(points, axis=0)
    assert span.max() > 0.6
    assert span.max() <= 1.0 + 1e-9


def distance(name: str, first: dict[str, float], second: dict[str, float]) -> float:
    family = envs.make(name)
    a, b = family.coordinates(Tasks.from_dicts([first, second]))
    return float(np.linalg.norm(a - b))


def test_distances_between_tasks_by_hand():
    assert distance("HalfCheetahVel", {"velocity": 1.0}, {"velocity": 2.5}) == pytest.approx(0.5)
    assert distance("HalfCheetahDir", {"direction": 1}, {"direction": -1}) == pytest.approx(1.0)
    half = distance("HalfCheetahMass", {"mass_scale": 0.5}, {"mass_scale": 1.0})
    assert half == pytest.approx(distance("HalfCheetahMass", {"mass_scale": 1}, {"mass_scale": 2}))
    near = distance("AntDir2D", {"heading": 0.01}, {"heading": 2 * np.pi - 0.01})
    assert near == pytest.approx(0.01, rel=1e-3)
    opposite = distance("AntDir2D", {"heading": 0.0}, {"heading": np.pi})
    assert opposite == pytest.approx(1.0)
    apart = distance("AntGoal", {"x": 3.0, "y": 0.0}, {"x": -3.0, "y": 0.0})
    assert apart == pytest.approx(1.0)
