"""Rollouts: reproducible, correctly padded, with the densities that the losses assume."""

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from metarl import envs
from metarl.agents.policy import Array, GaussianPolicy, Parameters
from metarl.envs.distributions import Uniform
from metarl.envs.family import Simulations
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.tasks import Tasks
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


def test_padding_is_as_likely_as_what_it_repeats():
    """Of 200 actions, zeros would be less likely than float32 can tell."""
    family = envs.make("HopperRandParams", horizon=200)
    simulator = envs.Simulator(family, 4)
    simulator.set_tasks(family.sample_tasks(2, seed=0).repeat(2))
    policy = GaussianPolicy(family.observation_size, family.action_size)
    parameters = policy.initial(torch_generator(0))
    data = collect(simulator, policy, parameters, KEY, room(family, simulator, 2))
    assert int(data.lengths.max()) < 200, "all have fallen"
    log_probs = policy(parameters, data.observations).log_prob(data.actions)
    torch.testing.assert_close(log_probs, data.log_probs, atol=1e-4, rtol=0)
    assert (data.rewards[~data.valid] == 0).all()


def test_counts_must_fit():
    family = envs.make("Point2D", horizon=5)
    simulator = envs.Simulator(family, 10)
    simulator.set_tasks(family.sample_tasks(10, seed=0))
    policy = GaussianPolicy(2, 2)
    out = empty_rollouts(family, 4, 3)
    with pytest.raises(ValueError, match="10 simulations cannot take 3 rollouts of 4 tasks each"):
        collect(simulator, policy, policy.initial(torch_generator(0)), KEY, out)


class Faulty(gymnasium.Env):
    """Says something that is no number, at a step and of a kind that its task tells."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    kind, time = 0.0, 0

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return self._say(0.0, 1.0), {}

    def step(self, action):
        self.time += 1
        return (
            self._say(2.0, 3.0),
            np.inf if (self.kind, self.time) == (4.0, 2) else 0.0,
            False,
            False,
            {},
        )

    def _say(self, reset: float, later: float):
        bad = self.kind == reset + 1.0 and self.time in (0, 3)
        return np.array([0.0, np.nan if bad else 1.0], np.float32)


def faulty(kind: float) -> tuple[Simulations, Callable[[], Rollouts]]:
    """Simulations of three tasks, the last of which is of a kind, and what collects from them."""
    family = ForeignFamily(
        "Faulty",
        Faulty,
        lambda env, task: setattr(env.unwrapped, "kind", task["kind"]),
        (Uniform("kind", 0.0, 5.0),),
        horizon=6,
    )
    policy = GaussianPolicy(2, 1)
    simulator = family.simulate(6)
    simulator.set_tasks(Tasks(("kind",), np.repeat([[0.0], [0.0], [kind]], 2, axis=0)))
    out = empty_rollouts(family, 3, 2)
    parameters = policy.initial(torch_generator(0))
    return simulator, lambda: collect(simulator, policy, parameters, KEY, out, first=3)


def test_a_start_that_is_no_number_is_located():
    simulator, collected = faulty(1.0)
    where = (
        r"observation of iteration 2, task 5, rollout 0, reset, is not finite \(number 1 is nan\)$"
    )
    with pytest.raises(ValueError, match=f"Faulty: {where}"):
        collected()
    simulator.close()


@pytest.mark.parametrize(("kind", "steps"), [(3.0, 3), (4.0, 2)])
def test_a_step_that_gives_no_number_ends_the_episode(kind: float, steps: int):
    simulator, collected = faulty(kind)
    data = collected()
    assert data.failed.tolist() == [[False] * 2, [False] * 2, [True] * 2]
    assert data.lengths.tolist() == [[6] * 2, [6] * 2, [steps] * 2]
    assert all(field.isfinite().all() for field in data)
    simulator.close()


class Lost:
    """A policy that has no answer in one task's second rollout from some step on."""

    def __init__(self) -> None:
        self.time = 0

    def acting(self, parameters: Parameters) -> Callable[[Array], Array]:
        def act(observation: Array) -> Array:
            actions = np.zeros((*observation.shape[:-1], 2), np.float32)
            if self.time == 3:
                actions[1, 1] = np.nan
            self.time += 1
            return actions

        return act

    def std(self, parameters: Parameters) -> Tensor:
        return torch.ones(2)


def test_an_action_that_is_no_number_is_located():
    family = envs.make("Point2D", horizon=5)
    simulator = envs.Simulator(family, 4)
    simulator.set_tasks(family.sample_tasks(2, seed=0).repeat(2))
    expected = (
        r"^Point2D: action of iteration 2, task 8, rollout 1, step 3, is not finite \(number \d is "
        r"(nan|-?inf)\) after 1 inner step; a smaller inner_lr may help$"
    )
    with pytest.raises(ValueError, match=expected):
        collect(simulator, Lost(), {}, KEY._replace(step=1), empty_rollouts(family, 2, 2), first=7)
    key = Key(7, Phase.ADAPT)
    with pytest.raises(ValueError, match=r"Point2D: action of task 1, rollout 1, step 3,.*\)$"):
        collect(simulator, Lost(), {}, key, empty_rollouts(family, 2, 2))
