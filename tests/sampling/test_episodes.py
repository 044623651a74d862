"""One episode, step by step, against the rollouts that the sampler collects."""

import numpy as np
import torch

from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.envs.simulator import Simulator
from metarl.sampling.collect import collect, empty_rollouts
from metarl.sampling.episodes import play
from metarl.sampling.streams import Key, Phase, Purpose, streams

KEY = Key(2, Phase.EVALUATE)


def test_plays_what_is_collected_without_exploration():
    """Three hoppers that fall at different times: the same rewards, and as many steps."""
    family = envs.make("HopperRandParams", horizon=60)
    policy = GaussianPolicy(family.observation_size, family.action_size, (8,))
    parameters = policy.initial(torch.Generator().manual_seed(0))
    simulator = Simulator(family, 3, threads=1)
    simulator.set_tasks(family.sample_tasks(3, seed=0))
    expected = collect(
        simulator, policy, parameters, KEY, empty_rollouts(family, 3, 1), deterministic=True
    )
    lengths = expected.lengths[:, 0].tolist()
    assert len(set(lengths)) > 1
    assert max(lengths) < 60

    acting = policy.acting(parameters)
    starts = streams(KEY, Purpose.START, [(task, 0) for task in range(3)])
    start, *moments = play(
        simulator, lambda observation: acting(observation[:, None].astype(np.float32))[:, 0], starts
    )
    assert not start.reward.any()
    assert start.active.all()
    assert len(moments) == max(lengths), "it ends when the last one falls"
    rewards = np.stack([moment.reward for moment in moments], axis=1)
    np.testing.assert_array_equal(
        rewards.astype(np.float32), expected.rewards[:, 0, : len(moments)]
    )
    active = np.stack([moment.active for moment in moments], axis=1)
    assert active.sum(1).tolist() == [length - 1 for length in lengths]


def test_the_simulator_shows_the_moment_that_was_yielded():
    """A point that is pushed along x by a tenth of its range a step, until time is up."""
    family = envs.make("Point2D", horizon=4)
    simulator = Simulator(family, 2, threads=1)
    simulator.set_tasks(family.sample_tasks(2, seed=0))
    push = np.array([[0.1, 0.0], [0.2, 0.0]])
    starts = streams(KEY, Purpose.START, [(0, 0), (1, 0)])
    x = np.array(
        [simulator.fields["qpos"][:, 0].copy() for _ in play(simulator, lambda _: push, starts)]
    )
    assert x.shape == (5, 2)
    ways = np.diff(x, axis=0)
    np.testing.assert_allclose(ways, np.tile(ways[0], (4, 1)), atol=1e-9)
    np.testing.assert_allclose(ways[0, 1], 2.0 * ways[0, 0])


def test_a_policy_that_is_told_its_task_is_told_the_new_one_at_once():
    family = envs.make("Point2D", horizon=4, reveals_task=True)
    simulator = Simulator(family, 1, threads=1)
    first, other = (family.task({"x": x, "y": 0.0}) for x in (0.3, -0.2))
    simulator.set_tasks(first)
    told = []

    def act(observation: np.ndarray) -> np.ndarray:
        told.append(observation[0, -2])
        return np.zeros((1, 2))

    list(play(simulator, act, streams(KEY, Purpose.START, [(0, 0)]), change=(2, other)))
    before, after = (family.coordinates(tasks)[0, 0] for tasks in (first, other))
    assert told == [before, before, after, after]
