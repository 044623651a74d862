"""Noise on observations: as stated, from each rollout's own stream, alike in all interfaces."""

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.envs.simulator import Simulator
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key, Phase
from metarl.sampling.workers import Workers
from tests.conftest import SMALL

STD = (0.0, 0.5)
PLAIN = envs.make("Point2D", horizon=6)
NOISY = PLAIN.replace(sensor_noise=STD)
HERE = {"x": 0.1, "y": 0.2}


def started(family: envs.TaskFamily, count: int) -> tuple[Simulator, np.ndarray]:
    simulator = Simulator(family, count)
    simulator.set_tasks(family.task(HERE).repeat(count))
    return simulator, simulator.reset([np.random.default_rng([5, sim]) for sim in range(count)])


def test_it_is_of_the_stated_size_and_changes_neither_state_nor_reward():
    (noisy, first), (plain, truth) = started(NOISY, 4000), started(PLAIN, 4000)
    error = [first - truth]
    action = np.full((4000, 2), 0.3)
    for _ in range(3):
        result, expected = noisy.step(action), plain.step(action)
        np.testing.assert_array_equal(result.reward, expected.reward)
        np.testing.assert_array_equal(noisy.fields["qpos"], plain.fields["qpos"])
        error.append(result.observation - expected.observation)
    drawn = np.stack(error)
    assert not drawn[..., 0].any()
    assert drawn[..., 1].std() == pytest.approx(0.5, rel=0.02)
    assert abs(drawn[..., 1].mean()) < 0.02
    steps = np.corrcoef(drawn[..., 1])  # new in every step
    assert np.abs(steps - np.eye(4)).max() < 0.06


def test_it_is_that_of_the_key_drawn_after_the_start_state():
    simulator, first = started(NOISY, 2)
    seen = [first, *(simulator.step(np.zeros((2, 2))).observation for _ in range(2))]
    for sim in range(2):
        generator = np.random.default_rng([5, sim])
        PLAIN.robot.start(PLAIN.model, generator)
        noise = np.random.default_rng(int(generator.integers(2**63))).standard_normal((3, 2))
        truth = simulator.fields["qpos"][sim, :2]
        np.testing.assert_allclose([s[sim] for s in seen], truth + STD * noise, atol=1e-12)


def test_a_simulation_that_is_not_stepped_observes_what_it_did():
    simulator, first = started(NOISY, 3)
    result = simulator.step(np.zeros((3, 2)), np.array([True, False, True]))
    assert (result.observation != first)[:, 1].tolist() == [True, False, True]
    alone, before = started(NOISY, 3)
    np.testing.assert_array_equal(before, first)
    alone.step(np.zeros((3, 2)), np.array([False, True, False]))
    both = [s.step(np.zeros((3, 2))).observation for s in (simulator, alone)]
    assert (both[0] == both[1]).all(axis=1).tolist() == [False, False, False]


def test_a_copy_goes_on_with_the_same_noise():
    simulator, _ = started(NOISY, 2)
    twin = copy.deepcopy(simulator)
    for _ in range(2):
        here, there = (s.step(np.zeros((2, 2))).observation for s in (simulator, twin))
        np.testing.assert_array_equal(here, there)


def test_rollouts_are_the_same_for_any_number_of_threads_and_processes():
    family = envs.make("Point2D", horizon=4, sensor_noise=0.1)
    tasks, policy = family.sample_tasks(4, seed=0), GaussianPolicy(2, 2, (4,))
    parameters = {
        name: value.expand(4, *value.shape)
        for name, value in policy.initial(torch.Generator().manual_seed(0)).items()
    }
    found = []
    for threads in (1, 2):
        with Sampler(family, 4, 3, threads=threads) as sampler:
            sampler.set_tasks(tasks)
            found.append(sampler.sample(policy, parameters, Key(0, Phase.TRAIN)))
    with Workers(family, 4, 3, policy.shapes, count=2) as workers:
        workers.set_tasks(tasks)
        found.append(workers.sample(policy, parameters, Key(0, Phase.TRAIN)))
    for other in found[1:]:
        assert other.observations.equal(found[0].observations)
    silent = Sampler(PLAIN.replace(horizon=4), 4, 3)
    silent.set_tasks(tasks)
    start = silent.sample(policy, parameters, Key(0, Phase.TRAIN)).observations[:, :, 0]
    assert not start.equal(found[0].observations[:, :, 0])


def test_every_interface_has_it():
    single: Any = gymnasium.make("metarl/Point2D-v0", task=HERE, sensor_noise=0.5)
    vector: Any = gymnasium.make_vec("metarl/Point2D-v0", 2, task=HERE, sensor_noise=0.5)
    for env, seed in ((single, 3), (vector, [3, 4])):
        first, _ = env.reset(seed=seed)
        again, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(first, again)
        assert np.abs(first).max() > 0.01  # the point itself starts at the origin
    of_one, of_two = single.reset(seed=3)[0], vector.reset(seed=[3, 4])[0]
    np.testing.assert_array_equal(of_one, of_two[0])
    vec = TaskVecEnv(NOISY, 2, task=HERE)
    vec.seed(3)
    assert np.abs(vec.reset()[:, 1]).min() > 0.01


def test_a_run_remembers_it(tmp_path):
    learner = metarl.MAML(envs.make("Point2D", horizon=4, sensor_noise=0.25), **SMALL)
    learner.save(tmp_path / "run")
    again = metarl.load(tmp_path / "run.safetensors").family
    assert again.describe()["sensor_noise"] == 0.25
    assert "sensor_noise" not in PLAIN.describe()


@pytest.mark.parametrize(
    ("std", "message"),
    [
        (-0.1, "standard deviations of at least 0, got -0.1"),
        (float("nan"), "standard deviations of at least 0, got nan"),
        ((0.1, 0.1, 0.1), "must be one number or 2, as many as the robot observes, got 3"),
    ],
)
def test_what_is_no_standard_deviation_is_refused(std, message: str):
    with pytest.raises(ValueError, match=message):
        envs.make("Point2D", sensor_noise=std)
