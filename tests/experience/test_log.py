"""Adaptation from experience that the user brings."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import metarl
from metarl import Experience, envs
from metarl.agents.gaussian import Gaussian
from metarl.experience.log import _beyond
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


def direction(learner: metarl.MAML, stepped: dict[str, torch.Tensor]) -> torch.Tensor:
    """The step from the learner's parameters, as one vector."""
    return torch.cat([(stepped[n] - p).flatten() for n, p in learner.parameters.items()])


def test_the_step_is_that_of_adapt_when_actions_were_cut_off():
    """With what `explore` says to log it is the same; from what the robot got, alike and warned."""
    family = envs.make("HalfCheetahVel", horizon=50, action_scale=1.0)
    learner = metarl.MAML(family, **{**SMALL, "normalise_observations": False})
    before, after = learner.adaptation(
        family.sample_tasks(1, seed=0), 20, [0.5], Key(0, Phase.ADAPT)
    )
    rollouts = before.rollouts
    expected = direction(learner, {name: v[0] for name, v in after.parameters.items()})
    log = {
        "observations": rollouts.observations[0],
        "rewards": rollouts.rewards[0],
        "final_observations": rollouts.final_observations[0],
    }

    def cosine(actions: torch.Tensor) -> float:
        actor = learner.adapt_from(Experience(**log, actions=actions))  # type: ignore[arg-type]
        step = direction(learner, actor.parameters)  # type: ignore[arg-type]
        return float(torch.nn.functional.cosine_similarity(step, expected, dim=0))

    sampled = rollouts.actions[0]
    assert (sampled.abs() > 1.0).float().mean() > 0.2
    assert cosine(sampled) > 0.9999
    with pytest.warns(
        UserWarning, match=r"\d+ of 6000 logged actions are exactly -1 or 1.*explore"
    ):
        assert cosine(sampled.clamp(-1.0, 1.0)) > 0.7


def test_what_stands_for_actions_that_were_cut_off_is_distributed_as_they_were():
    """Against the truncated normal distribution's closed forms, and the samples themselves."""
    mean = torch.tensor([0.0, 1.5, -0.5, 0.2]).expand(50_000, 4)
    gaussian = Gaussian(mean, torch.tensor([0.0, -0.7, 0.5, -1.0]))
    limit = torch.tensor([0.8, 1.0, -1.0, 3.0])
    drawn = _beyond(limit.expand(50_000, 4), gaussian)
    side = limit.sign()
    assert (side * (drawn - limit) > -1e-6).all()
    low = side * (limit - mean[0]) / gaussian.log_std.exp()
    for column in range(4):
        law = scipy.stats.truncnorm(float(low[column]), np.inf)
        eps = side[column] * (drawn[:, column] - mean[0, column]) / gaussian.log_std.exp()[column]
        assert scipy.stats.kstest(eps.numpy(), law.cdf).pvalue > 1e-3
    impossible = _beyond(torch.full((1, 1), 90.0), Gaussian(torch.zeros(1, 1), torch.zeros(1)))
    assert impossible.item() == pytest.approx(90.0), "of a probability that underflows"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"observations": [np.zeros((5, 11)), np.zeros((3, 11))]},
            r"observations are of unequal lengths: pad .* and give .* lengths=",
        ),
        ({"rewards": [[0.0] * 5, [0.0] * 5, [0.0]]}, "rewards are of unequal lengths: pad"),
        ({"actions": "none"}, "actions must be numbers"),
    ],
)
def test_rollouts_of_unequal_lengths_are_told_to_be_padded(changes: dict, message: str):
    learner = metarl.MAML(FAMILY, **SMALL)
    with pytest.raises(ValueError, match=message):
        learner.adapt_from(experience(**changes))


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
        ({"lengths": [5, 0, 5]}, r"lengths must be whole, 1 to 5, got \[5, 0, 5\]"),
        ({"lengths": [5, 2.5, 5]}, r"lengths must be whole, 1 to 5, got \[5.0, 2.5, 5.0\]"),
        ({"lengths": [5, np.nan, 5]}, "lengths must be whole, 1 to 5"),
        ({"terminated": ["no", "yes", "no"]}, "terminated must be True or False"),
        ({"terminated": [np.nan, 0, 1]}, "terminated must be True or False"),
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


def test_what_was_cut_off_lies_beyond_the_limit_in_the_policys_scale():
    family = envs.make("Point2D", horizon=5, action_scale=0.25)
    learner = metarl.MAML(family, **SMALL)
    actions = np.zeros((3, 5, 2))
    actions[:, :, 0] = 1.0
    actions[0, :, 0] = -1.0
    log = Experience(np.zeros((3, 5, 2)), actions, np.zeros((3, 5)), np.zeros((3, 2)))
    with pytest.warns(UserWarning, match="exactly -1 or 1"):
        acted = learner.as_rollouts(log).actions[0]
    assert (acted[1:, :, 0] >= 4.0).all()
    assert (acted[0, :, 0] <= -4.0).all()
    assert (acted[..., 1] == 0).all()
