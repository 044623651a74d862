"""The score of a comparison: a known return, and the same one for a learner and for its actor."""

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.comparing.scoring import model_return, policy_returns
from tests.conftest import SMALL

FAMILY = envs.make("Point2D", horizon=5)


def test_a_model_is_judged_by_its_return():
    """Standing still costs the distance of the goal in every step."""

    class Still:
        def predict(self, observation: np.ndarray, *, deterministic: bool = False):
            assert deterministic
            return np.zeros((len(observation), 2)), None

    task = FAMILY.task({"x": 0.3, "y": 0.4})
    assert model_return(Still(), FAMILY, task, 0, 0) == pytest.approx(-5 * 0.5, abs=0.1)


def test_a_learner_and_its_actor_have_the_same_score():
    """On a robot that falls, so that an episode's end counts; tasks differ in their number too."""
    family = envs.make("HopperRandParams", horizon=30)
    learner = metarl.MAML(family, **SMALL)
    tasks = family.sample_tasks(3, seed=0)
    expected = policy_returns(learner, tasks, learner.parameters, seed=4)
    actor = learner.actor(learner.parameters)
    assert isinstance(family, envs.TaskFamily)
    scores = [model_return(actor, family, tasks[i : i + 1], i, 4) for i in range(3)]
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    assert len(set(scores)) == 3
