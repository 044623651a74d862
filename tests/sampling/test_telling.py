"""Trials in which the policy is told its task: what it sees, and that others go on as ever."""

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.memory import SCALE
from metarl.experience.memories import nothing_seen
from metarl.experience.rollouts import Rollouts
from metarl.learner.inner_loop import common
from metarl.learner.iteration import roll_out, training_sampler, update
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key, Phase
from metarl.sampling.telling import told_contexts
from metarl.sampling.trial import Trial

TASKS, ROLLOUTS = 3, 8


@pytest.fixture(scope="module")
def learner() -> metarl.MAML:
    family = envs.make("Point2D", horizon=12)
    return metarl.MAML(family, algorithm="siamese", told=0.5, seed=2, threads=1).learn(1)


def sampled(learner: metarl.MAML, trial: Trial) -> Rollouts:
    tasks = learner.family.sample_tasks(TASKS, seed=4)
    parameters = common(learner.parameters, TASKS)
    with Sampler(learner.family, TASKS, ROLLOUTS, trial=trial, threads=1) as sampler:
        sampler.set_tasks(tasks)
        memory = nothing_seen(learner.state.unbounded().memory, TASKS)
        return sampler.sample(learner.policy, parameters, Key(0, Phase.TRAIN), memory=memory)


def test_the_last_simulations_see_where_their_task_lies(learner: metarl.MAML):
    rollouts = sampled(learner, Trial(2, told=0.5))
    size = learner.family.observation_size
    seen = rollouts.observations[..., size:].unflatten(1, (2, 4))  # [task, episode, simulation, ..]
    tasks = learner.family.sample_tasks(TASKS, seed=4)
    # the mean of x and of y over all tasks is 0, and two points of the square are 0.521 of its side
    # apart on average, which embeddings make 5
    places = torch.from_numpy(tasks.values * 5.0 / 0.5214).float()
    valid = rollouts.valid.unflatten(1, (2, 4))
    for task in range(TASKS):
        told = seen[task, :, 2:][valid[task, :, 2:]]
        np.testing.assert_allclose(told[:, :2] - places[task] / SCALE, 0.0, atol=0.15)
        assert (told == told[0]).all()
        assert not seen[task, 0, :2, 0].any()  # the others know nothing at first
    final = rollouts.final_observations[..., size:].unflatten(1, (2, 4))
    assert (final[:, :, 2:] == seen[:, :, 2:, 0]).all()


def test_the_others_see_what_they_would_see_anyway(learner: metarl.MAML):
    with_told, without = sampled(learner, Trial(2, told=0.5)), sampled(learner, Trial(2))
    for one, other in zip(with_told, without, strict=True):
        halves = [field.unflatten(1, (2, 4))[:, :, :2] for field in (one, other)]
        assert torch.equal(*halves)
    assert not torch.equal(with_told.observations, without.observations)


def test_being_told_is_what_much_experience_comes_near_to(learner: metarl.MAML):
    """Told contexts are those of a memory that knows the place for sure: all of its embedding."""
    tasks = learner.family.sample_tasks(500, seed=0)
    told = told_contexts(learner.family, tasks, 8)
    assert told.shape == (500, 8)
    assert torch.pdist(told.double()).mean() == pytest.approx(5.0 / SCALE)
    assert told.mean(0).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("told", "simulations", "telling"),
    [(0.0, 4, 0), (0.5, 4, 2), (0.5, 3, 1), (0.99, 4, 3), (0.75, 2, 1), (0.3, 10, 3), (1.0, 3, 3)],
)
def test_how_many_are_told(told: float, simulations: int, telling: int):
    assert Trial(2, told=told).telling(simulations) == telling


@pytest.mark.parametrize("told", [0.5, 1.0])
def test_the_log_is_of_those_that_are_not_told(learner: metarl.MAML, told: float):
    """Or of all; those that are not told are as in any other learner's iteration."""
    logged = []
    for part in (0.0, told):
        settings = {"told": part, "changes": 0.0, "rollouts": ROLLOUTS, "seed": 3}
        one = metarl.MAML(learner.family, algorithm="siamese", **settings)
        sampler = training_sampler(one.state, one.recipe, one.family)
        stages = roll_out(one.state, one.recipe, one.family, sampler)
        _, progress = update(one.state, one.recipe, one.family, stages)
        logged.append((progress.returns, stages[0].rollouts.returns))
    (_, untold), (returns, of_all) = logged
    rollouts, counted = (of_all, slice(4)) if told == 1.0 else (untold, slice(2))
    episodes = rollouts.unflatten(1, (2, 4))[:, :, counted].mean((0, 2))
    assert returns == pytest.approx(episodes.tolist())


def test_in_processes_as_in_this_one(learner: metarl.MAML):
    """Each process tells its own tasks."""
    settings = {"algorithm": "siamese", "told": 0.5, "tasks": 6, "seed": 1, "threads": 1}
    trained = [
        metarl.MAML(learner.family, **settings, workers=workers).learn(1) for workers in (1, 2)
    ]
    for name, value in trained[0].parameters.items():
        assert torch.equal(value, trained[1].parameters[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"told": 1.1}, "told must be in .*got 1.1"),
        ({"told": -0.1}, "told must be in .*got -0.1"),
        ({"told": 0.75, "changes": 0.5}, "at most the 0.5 in which tasks stay, got 0.75"),
    ],
)
def test_parts_that_cannot_be_told_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        metarl.MAML("Point2D", algorithm="siamese", **settings)
