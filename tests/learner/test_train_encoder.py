"""What an iteration does to the encoder: moments, steps, the copy that follows, the loss."""

import dataclasses
from typing import Any

import pytest
import torch

import metarl
from metarl import envs
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts
from metarl.experience.transitions import transitions
from metarl.learner.iteration import roll_out, tasks_of, training_sampler
from metarl.learner.task_encoder import TaskEncoder, train_encoder
from tests.conftest import SMALL

Sampled = tuple[metarl.MAML, Rollouts, Tasks]


@pytest.fixture(scope="module")
def hopper() -> Sampled:
    """A new learner, and rollouts of which some end early."""
    family = envs.make("HopperRandParams", horizon=60)
    settings = {**SMALL, "tasks": 6, "rollouts": 4, "encoder_steps": 3, "embedding_size": 3}
    learner = metarl.MAML(family, algorithm="siamese", seed=1, changes=0.0, **settings)
    with training_sampler(learner.state, learner.recipe, family) as sampler:
        (stage,) = roll_out(learner.state, learner.recipe, family, sampler)
    assert not stage.rollouts.valid.all()
    return learner, stage.rollouts, tasks_of(learner.state, learner.recipe, family)


def trained(
    sampled: Sampled, before: TaskEncoder | None = None, iteration: int = 0, **settings: Any
) -> tuple[TaskEncoder, float]:
    learner, rollouts, tasks = sampled
    config = dataclasses.replace(learner.config, **settings)
    before = before or learner.state.encoder
    assert before is not None
    cpu = torch.device("cpu")
    return train_encoder(before, [rollouts], tasks, learner.family, config, iteration, cpu)


def test_moments_are_those_of_all_transitions_that_took_place(hopper: Sampled):
    _, rollouts, _ = hopper
    once, _ = trained(hopper)
    seen = once.learning.changes(transitions(rollouts, once.learning)[rollouts.valid]).double()
    torch.testing.assert_close(once.moments.mean, seen.mean(0))
    torch.testing.assert_close(once.learning.std, once.moments.std.float())
    twice, _ = trained(hopper, once, 1)
    assert twice.moments.count == 2 * len(seen)
    assert twice.adam["steps.each.0.weight"] == 6


@pytest.mark.parametrize("iteration", [0, 200])
def test_steps_get_smaller_and_the_acting_copy_follows_more_slowly(hopper: Sampled, iteration: int):
    """Adam's first step has the step size in every weight."""
    before = hopper[0].state.encoder
    assert before is not None
    after, _ = trained(hopper, iteration=iteration, encoder_steps=1, encoder_lr=1e-3)
    encoders = before.learning, after.learning, before.memory.encoder, after.memory.encoder
    old, new, start, slow = (each.state_dict()["each.0.weight"] for each in encoders)
    lr = 1e-3 / (1 + iteration / 200)
    assert float((new - old).abs().max()) == pytest.approx(lr, rel=0.01)
    torch.testing.assert_close(slow, torch.lerp(start, new, 10 / (10 + iteration)))


def test_the_loss_is_that_before_the_steps(hopper: Sampled):
    assert trained(hopper, encoder_steps=1)[1] == trained(hopper, encoder_steps=20)[1]


def test_windows_are_drawn_to_where_their_tasks_lie(hopper: Sampled):
    encoder, first = trained(hopper, encoder_steps=150)
    _, last = trained(hopper, dataclasses.replace(encoder, adam={}), encoder_steps=1)
    assert last < 0.3 * first


def test_what_did_not_take_place_teaches_nothing(hopper: Sampled):
    learner, rollouts, tasks = hopper
    garbage = rollouts.observations + 1e3 * ~rollouts.valid[..., None]
    other = learner, rollouts._replace(observations=garbage), tasks
    one, same = (trained(each, encoder_steps=20)[0] for each in (hopper, other))
    for name, value in one.learning.state_dict().items():
        assert torch.equal(same.learning.state_dict()[name], value)
