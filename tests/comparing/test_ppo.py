"""PPO on each task alone: when it is judged, in which order, and by which numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.comparing import ppo
from metarl.comparing.scoring import model_return, policy_returns
from metarl.evaluation.settings import ComparisonSettings
from tests.conftest import SMALL

FAMILY = envs.make("Point2D", horizon=5)


def test_points_double_from_one_iteration_up_to_the_budget():
    assert ppo.points(2000) == [2000]
    assert ppo.points(3999) == [2000]
    assert ppo.points(16_000) == [2000, 4000, 8000, 16_000]


def test_curves_come_in_the_order_of_their_starts():
    """A policy that is handed on is judged before its first step too, as the learner is."""
    learner = metarl.MAML(FAMILY, **SMALL)
    tasks = FAMILY.sample_tasks(2, seed=0)
    starts = [
        ppo.Start("from a policy", 0, learner.actor(learner.parameters)),
        ppo.Start("from scratch", 0, None),
        ppo.Start("from scratch", 1, None),
    ]
    settings = ComparisonSettings(seed=3, budget=2000, workers=1)
    curves = list(ppo.ppo_curves(FAMILY, tasks, starts, settings))
    assert [name for name, _ in curves] == [start.method for start in starts]
    handed_on, first, second = (curve for _, curve in curves)
    assert handed_on.steps.tolist() == [0, 2000]
    assert first.steps.tolist() == [2000]
    assert handed_on.returns.shape == (1, 2, 2)
    before = policy_returns(learner, tasks, learner.parameters, seed=3)
    np.testing.assert_allclose(handed_on.returns[0, :, 0], before, rtol=1e-4)
    assert not np.array_equal(first.returns, second.returns), "seeds are PPO's own"


SCRIPT = """
import metarl
from metarl.comparing import ppo
from metarl.evaluation.settings import ComparisonSettings
family = metarl.envs.make("Point2D", horizon=5)
tasks = family.sample_tasks(2, seed=0)
starts = [ppo.Start("from scratch", 0, None)]
settings = ComparisonSettings(budget=2000, workers=2)
for name, curve in ppo.ppo_curves(family, tasks, starts, settings):
    print(name, curve.steps, curve.returns.shape)
"""


@pytest.mark.slow
def test_a_script_needs_no_main_guard(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "from scratch [2000] (1, 2, 1)\n", done.stderr


def test_a_model_behind_normalised_observations_is_judged_on_plain_ones():
    """A model that returns what it is shown sees (observation - mean) / std."""

    class Normalising:
        def normalize_obs(self, observation: np.ndarray) -> np.ndarray:
            return (observation - 0.5) / 2.0

    class Echo:
        def predict(self, observation: np.ndarray, *, deterministic: bool):
            assert deterministic
            return observation, None

    class ByHand:
        def predict(self, observation: np.ndarray, *, deterministic: bool = False):
            return (observation - 0.5) / 2.0, None

    task = FAMILY.task({"x": 0.3, "y": 0.4})
    behind = ppo._Normalised(Echo(), Normalising())  # type: ignore[arg-type]
    assert model_return(behind, FAMILY, task, 0, 0) == model_return(ByHand(), FAMILY, task, 0, 0)
