"""Policies handed on to Stable-Baselines3 act as before, and learn on."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import metarl
from metarl import envs
from metarl.bridges.sb3 import to_ppo
from metarl.envs.sb3_vec_env import TaskVecEnv
from tests.conftest import SMALL

FAMILY = envs.make("HalfCheetahVel", horizon=10)


@pytest.fixture(scope="module")
def trained() -> metarl.MAML:
    """Its normaliser has moments, its std has changed."""
    learner = metarl.MAML(FAMILY, **{**SMALL, "hidden": (8, 6), "activation": "relu"})
    return learner.learn(500)


def env() -> TaskVecEnv:
    return TaskVecEnv(FAMILY, 4, task={"velocity": 1.0}, threads=1)


def test_acts_as_the_policy_did(trained: metarl.MAML, tmp_path):
    adapted = trained.adapt({"velocity": 1.0}, rollouts=3)
    model = to_ppo(adapted, env(), n_steps=8, batch_size=16)
    observation = np.random.default_rng(0).normal(0.0, 3.0, (50, 17))
    expected, _ = adapted.predict(observation, deterministic=True)
    found, _ = model.predict(observation, deterministic=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    distribution = model.policy.get_distribution(torch.from_numpy(observation).float())
    std = FAMILY.action_scale * adapted.actor.policy.std(adapted.actor.parameters)
    torch.testing.assert_close(distribution.distribution.stddev[0], std)  # type: ignore[union-attr]
    model.save(tmp_path / "ppo")
    again, _ = PPO.load(tmp_path / "ppo").predict(observation, deterministic=True)
    np.testing.assert_array_equal(again, found)


def test_learns_on(trained: metarl.MAML):
    model = to_ppo(trained.adapt({"velocity": 1.0}, rollouts=3), env(), n_steps=8, batch_size=16)
    before = model.policy.action_net.weight.detach().clone()  # type: ignore[union-attr]
    model.learn(64)
    assert not model.policy.action_net.weight.equal(before)  # type: ignore[union-attr]


def test_other_spaces_and_contexts_are_refused(trained: metarl.MAML):
    other = TaskVecEnv("Point2D", 2)
    with pytest.raises(ValueError, match="17 observations and 6 actions, the environment"):
        to_ppo(trained.actor(trained.parameters), other)
    cavia = metarl.MAML(FAMILY, **SMALL, algorithm="cavia")
    with pytest.raises(ValueError, match="adapted context cannot be handed on"):
        to_ppo(cavia.adapt({"velocity": 1.0}, rollouts=3), env())
