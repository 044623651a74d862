"""Rollouts: reproducible, correctly padded, with the densities that the losses assume."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl import envs
from metarl.agents.policy import Array, GaussianPolicy, Parameters
from metarl.experience.rollouts import Rollouts
from metarl.sampling.collect import collect, empty_rollouts
from metarl.sampling.streams import Key, Phase, torch_generator

KEY = Key(7, Phase.TRAIN, 2)


def run(name: str, tasks: int, rollouts: int, threads: int = 1, **changes) -> Rollouts:
    family = envs.make(name, **changes)
    simulator = envs.Simulator(family, tasks * rollouts, threads=threads)
    simulator.set_tasks(family.sample_tasks(4, seed=0)[np.arange(tasks)].repeat(rollouts))
    policy = GaussianPolicy(family.observation_size, family.action_size)
    return collect(
        simulator,
        policy,
        policy.initial(torch_generator(0)),
        KEY,
        room(family, simulator, rollouts),
    )


def room(family: envs.Family, simulator: envs.Simulator, rollouts: int) -> Rollouts:
    return empty_rollouts(family, simulator.count // rollouts, rollouts)


def equal(a: Rollouts, b: Rollouts) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", ["HalfCheetahDir", "AntGoal"])
def test_depends_on_the_key_alone(name: str):
    one = run(name, 4, 3, horizon=20)
    assert equal(one, run(name, 4, 3, threads=2, horizon=20))
    torch.set_num_threads(1)
    try:
        assert equal(one, run(name, 4, 3, horizon=20))
    finally:
        torch.set_num_threads(2)


def test_a_task_does_not_depend_on_its_neighbours():
    together, alone = (
        run("HalfCheetahVel", 3, 4, horizon=20),
        run("HalfCheetahVel", 1, 4, horizon=20),
    )
    torch.testing.assert_close(together.rewards[:1], alone.rewards, atol=1e-4, rtol=0)


def test_log_densities_are_those_of_the_policy():
    data = run("HalfCheetahDir", 2, 3, horizon=10)
    policy = GaussianPolicy(17, 6)
    gaussian = policy(policy.initial(torch_generator(0)), data.observations)
    torch.testing.assert_close(gaussian.log_prob(data.actions), data.log_probs, atol=1e-4, rtol=0)


def test_rewards_are_what_the_goal_gives_along_the_path():
    """On the plane everything can be worked out from the observations."""
    family = envs.make("Point2D", horizon=15)
    simulator = envs.Simulator(family, 6)
    tasks = family.sample_tasks(2, seed=1)
    simulator.set_tasks(tasks.repeat(3))
    policy = GaussianPolicy(2, 2)
    data = collect(
        simulator, policy, policy.initial(torch_generator(0)), KEY, room(family, simulator, 3)
    )
    path = torch.cat([data.observations, data.final_observations[:, :, None]], dim=2)
    moved = path[:, :, 1:] - path[:, :, :-1]
    torch.testing.assert_close(moved, 0.1 * data.actions.clamp(-1, 1), atol=1e-6, rtol=0)
    goals = torch.tensor(tasks.values).float()[:, None, None]
    distance = (path[:, :, 1:] - goals).norm(dim=-1)
    torch.testing.assert_close(data.rewards, -distance, atol=1e-6, rtol=0)
    assert data.valid.all()
    assert not data.terminated.any()


class Throw:
    """A policy wild enough that the ant falls in some rollouts."""

    def acting(self, parameters: Parameters) -> Callable[[Array], Array]:
        return lambda observation: np.zeros((*observation.shape[:-1], 8), np.float32)

    def std(self, parameters: Parameters) -> Tensor:
        return torch.full((8,), 0.5).exp()


def test_what_follows_a_fall_is_padding():
    family = envs.make("AntDir", horizon=30, action_scale=1.0)
    simulator = envs.Simulator(family, 8)
    simulator.set_tasks(family.sample_tasks(2, seed=0).repeat(4))
    data = collect(simulator, Throw(), {}, KEY, room(family, simulator, 4))
    assert data.terminated.any()
    assert not data.terminated.all()
    lengths = data.lengths
    assert (lengths[~data.terminated] == 30).all()
    for task, rollout in data.terminated.nonzero():
        length = int(lengths[task, rollout])
        assert data.valid[task, rollout, :length].all()
        assert (data.rewards[task, rollout, length:] == 0).all()
        height = data.final_observations[task, rollout, 0]
        assert not 0.2 <= height <= 1.0, "the final observation is the fallen one"
    assert data.steps == int(lengths.sum())


def test_counts_must_fit():
    family = envs.make("Point2D", horizon=5)
    simulator = envs.Simulator(family, 10)
    simulator.set_tasks(family.sample_tasks(10, seed=0))
    policy = GaussianPolicy(2, 2)
    out = empty_rollouts(family, 4, 3)
    with pytest.raises(ValueError, match="10 simulations cannot take 3 rollouts of 4 tasks each"):
        collect(simulator, policy, policy.initial(torch_generator(0)), KEY, out)
