"""What several tests share: small families and a learner that trains in a second."""

from pathlib import Path

import pytest

import metarl
from metarl import envs

SMALL = {"tasks": 4, "rollouts": 3, "hidden": (8,), "inner_lr": 0.5, "threads": 1}


@pytest.fixture
def point() -> envs.TaskFamily:
    return envs.make("Point2D", horizon=12)


@pytest.fixture
def learner(point: envs.TaskFamily) -> metarl.MAML:
    return metarl.MAML(point, seed=3, **SMALL)


@pytest.fixture
def run_folder(learner: metarl.MAML, tmp_path: Path) -> Path:
    """A finished run of four iterations at most."""
    metarl.train(learner, tmp_path / "run", 800)
    return tmp_path / "run"
