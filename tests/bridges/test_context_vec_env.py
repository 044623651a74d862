"""Environments with the context behind their observations: what the actor itself would see."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

import metarl
from metarl import envs
from metarl.agents.acting_memory import ActingMemory
from metarl.agents.actor import Actor
from metarl.agents.adapted_policy import AdaptedPolicy
from metarl.bridges.context_vec_env import ContextVecEnv
from metarl.envs.sb3_vec_env import TaskVecEnv
from tests.conftest import SMALL

TASK = {"velocity": 1.2}


@pytest.fixture(scope="module")
def adapted() -> AdaptedPolicy:
    family = envs.make("HalfCheetahVel", horizon=5)
    settings = {**SMALL, "algorithm": "siamese", "rollouts": 2, "encoder_steps": 2}
    return metarl.MAML(family, **settings).learn(1).adapt(TASK, rollouts=2)


def context_of(actor: Actor) -> np.ndarray:
    assert actor.rules is not None
    return ActingMemory(actor.rules).context(actor.memory[None])[0]


def test_contexts_are_those_of_an_actor_that_is_told(adapted: AdaptedPolicy):
    family = envs.make("HalfCheetahVel", horizon=5)
    actor = adapted.actor
    actor.forget()
    env = ContextVecEnv(TaskVecEnv(family, 2, task=TASK), adapted)
    env.seed(0)
    observations = env.reset()
    np.testing.assert_allclose(observations[0, 17:], context_of(actor), atol=1e-6)
    for step in range(7):  # beyond the episode's end
        action, _ = actor.predict(observations[0, :17], deterministic=True)
        env.step_async(np.stack([action, -action]))
        following, rewards, dones, infos = env.step_wait()
        assert dones[0] == (step == 4)
        after = infos[0]["terminal_observation"] if dones[0] else following[0]
        actor.remember(observations[0, :17], action, float(rewards[0]), after[:17])
        np.testing.assert_allclose(following[0, 17:], context_of(actor), atol=1e-5)
        np.testing.assert_allclose(after[17:], context_of(actor), atol=1e-5)
        observations = following


class Doubled(VecEnvWrapper):
    """The same environments, whose actions are asked for in -2 to 2."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv, action_space=gymnasium.spaces.Box(-2.0, 2.0, (6,), np.float32))

    def step_async(self, actions: np.ndarray) -> None:
        self.venv.step_async(actions / 2.0)

    def step_wait(self) -> Any:
        return self.venv.step_wait()

    def reset(self) -> Any:
        return self.venv.reset()


def test_actions_may_be_in_another_range(adapted: AdaptedPolicy):
    family = envs.make("HalfCheetahVel", horizon=5)
    found = []
    for wrap, scale in ((lambda env: env, 1.0), (Doubled, 2.0)):
        env = ContextVecEnv(wrap(TaskVecEnv(family, 2, task=TASK)), adapted)
        env.seed(0)
        env.reset()
        found.append([env.step(scale * np.full((2, 6), 0.4, np.float32))[0] for _ in range(3)])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_a_policy_with_a_memory_goes_on_in_ppo(adapted: AdaptedPolicy):
    family = envs.make("HalfCheetahVel", horizon=5)
    plain = TaskVecEnv(family, 2, task=TASK)
    with pytest.raises(ValueError, match="the policy has a memory"):
        metarl.to_ppo(adapted, plain)
    adapted.actor.forget()
    env = ContextVecEnv(plain, adapted)
    model = metarl.to_ppo(adapted, env, n_steps=10, batch_size=10)
    observations = env.reset()
    expected, _ = adapted.predict(observations[:, :17], deterministic=True)
    action, _ = model.predict(observations, deterministic=True)
    np.testing.assert_allclose(action, expected, atol=1e-5)
    model.learn(20)


def test_environments_of_other_observations_are_refused(adapted: AdaptedPolicy):
    telling = envs.make("HalfCheetahVel", horizon=5, reveals_task=True)
    with pytest.raises(ValueError, match=r"observations \[17\], the environments give \[18\]"):
        ContextVecEnv(TaskVecEnv(telling, 2, task=TASK), adapted)


def test_a_policy_without_memory_needs_no_context():
    family = envs.make("HalfCheetahVel", horizon=5)
    actor = metarl.MAML(family, **SMALL).actor({})
    with pytest.raises(ValueError, match="has no memory"):
        ContextVecEnv(TaskVecEnv(family, 2, task=TASK), actor)
