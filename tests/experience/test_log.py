"""Adaptation from experience that the user brings."""

from typing import Any

import numpy as np
import pytest
import torch

import metarl
from metarl import Experience, envs
from metarl.experience.rollouts import Rollouts
from metarl.sampling.streams import Key, Phase
from tests.conftest import SMALL

FAMILY = envs.make("HopperRandParams", horizon=60, action_scale=0.5)


def log_of(rollouts: Rollouts) -> Experience:
    """The first task's rollouts as someone would have logged them; padding is garbage."""
    padding = ~rollouts.valid[0].numpy()
    observations = rollouts.observations[0].numpy().copy()
    observations[padding] = np.nan
    return Experience(
        observations=observations,
        actions=FAMILY.action_scale * rollouts.actions[0].numpy(),
        rewards=rollouts.rewards[0].numpy(),
        final_observations=rollouts.final_observations[0].numpy(),
        lengths=rollouts.lengths[0].numpy(),
        terminated=rollouts.terminated[0].numpy(),
    )


def test_gives_the_policy_that_adapting_on_the_same_data_gives():
    learner = metarl.MAML(FAMILY, **SMALL)
    task = FAMILY.sample_tasks(1, seed=0)
    first, second, last = learner.adaptation(task, 6, [0.5, 0.5], Key(0, Phase.ADAPT))
    assert first.rollouts.terminated.any(), "falls and padding are part of it"
    assert not first.rollouts.valid.all()
    once = learner.adapt_from(log_of(first.rollouts))
    twice = learner.adapt_from(log_of(first.rollouts), log_of(second.rollouts))
    for name in learner.parameters:
        for actor, stage in ((once, second), (twice, last)):
            expected = stage.parameters[name][0]
            torch.testing.assert_close(actor.parameters[name], expected, atol=1e-5, rtol=1e-4)
    action, _ = twice.predict(np.zeros(FAMILY.observation_size), deterministic=True)
    assert np.abs(action).max() <= 1.0


def experience(**changes: Any) -> Experience:
    arrays: dict = {
        "observations": np.zeros((3, 5, 11)),
        "actions": np.zeros((3, 5, 3)),
        "rewards": np.zeros((3, 5)),
        "final_observations": np.zeros((3, 11)),
    }
    return Experience(**(arrays | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": np.zeros((5, 11))}, r"must be \[rollout, time, observation\], got"),
        ({"observations": np.zeros((3, 5, 4))}, r"observations must have shape \[3, 5, 11\]"),
        ({"actions": np.zeros((3, 5))}, r"actions must have shape \[3, 5, 3\], got \[3, 5\]"),
        ({"rewards": np.zeros((3, 4))}, r"rewards must have shape \[3, 5\], got \[3, 4\]"),
        ({"rewards": np.full((3, 5), np.nan)}, "rewards must be finite numbers"),
        ({"lengths": [5, 0, 5]}, r"lengths must be 1 to 5, got \[5, 0, 5\]"),
        ({"terminated": [True]}, r"terminated must have shape \[3\], got \[1\]"),
    ],
)
def test_arrays_that_do_not_fit_are_named(changes: dict, message: str):
    learner = metarl.MAML(FAMILY, **SMALL)
    with pytest.raises(ValueError, match=message):
        learner.adapt_from(experience(**changes))


def test_no_experience_is_refused():
    with pytest.raises(ValueError, match="at least one step"):
        metarl.MAML(FAMILY, **SMALL).adapt_from()
