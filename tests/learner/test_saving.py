"""Checkpoints: after every iteration or after some time, and the last few are kept."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

import metarl
from metarl import envs
from metarl.learner import saving
from metarl.learner.config import Saving
from tests.conftest import SMALL


def trained(point: envs.TaskFamily, folder: Path, **settings) -> tuple[int, list[int]]:
    """Iterations of a run, and those whose checkpoints are kept."""
    learner = metarl.MAML(point, seed=3, **SMALL)
    metarl.train(learner, folder, 1200, saving=Saving(**settings))
    assert metarl.load(folder).iteration == learner.iteration
    kept = saving.kept(folder / "checkpoint.safetensors")
    assert all(metarl.load(path).iteration == int(path.stem) for path in kept)
    return learner.iteration, [int(path.stem) for path in kept]


def test_the_last_few_are_kept(point: envs.TaskFamily, tmp_path: Path):
    of_mine = tmp_path / "a" / saving.KEPT / "library.safetensors"
    of_mine.parent.mkdir(parents=True)
    of_mine.write_text("mine")
    iterations, kept = trained(point, tmp_path / "a", keep=2)
    assert kept == [iterations - 1, iterations]
    assert of_mine.exists()
    _, kept = trained(point, tmp_path / "b", keep=1)
    assert kept == []
    assert not (tmp_path / "b" / saving.KEPT).exists()


def test_between_two_checkpoints_is_some_time(
    point: envs.TaskFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By a clock that nobody sets: it ticks a minute whenever it is read, the time of day jumps."""
    minutes = iter(range(10**6))
    clock = SimpleNamespace(monotonic=lambda: 60.0 * next(minutes), time=lambda: -1e9)
    monkeypatch.setattr(saving, "time", clock)
    # a minute at the start, one at each look, one at each save: every second iteration
    iterations, kept = trained(point, tmp_path / "a", keep=99, save_minutes=1.5)
    assert kept == sorted({*range(2, iterations + 1, 2), iterations})


def test_without_links_copies_are_kept(point: envs.TaskFamily, tmp_path: Path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(saving.os, "link", no_links)
    iterations, kept = trained(point, tmp_path / "a", keep=3)
    assert kept == [iterations - 2, iterations - 1, iterations]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"keep": 0}, "keep must be at least 1"), ({"save_minutes": -1.0}, "save_minutes must be at")],
)
def test_bad_settings_are_named(learner: metarl.MAML, tmp_path: Path, change, message):
    with pytest.raises(ValueError, match=message):
        metarl.train(learner, tmp_path / "a", 100, saving=dataclasses.replace(Saving(), **change))
    assert not (tmp_path / "a").exists()
