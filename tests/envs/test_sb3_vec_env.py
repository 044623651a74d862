"""`TaskVecEnv` against single environments, and PPO trained on it."""

import warnings
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from metarl import envs
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.system.library_threads import one_library_thread


def test_sb3_vec_env_equals_single_environments_and_keeps_final_observations():
    family = envs.make("HopperRandParams", horizon=25)
    ours = TaskVecEnv(family, 3)
    ours.seed(7)
    observation: Any = ours.reset()
    singles = [TaskEnv(family) for _ in range(3)]
    starts = [env.reset(seed=7 + index)[0] for index, env in enumerate(singles)]
    np.testing.assert_array_equal(observation, starts)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(80):
        action = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
        observation, reward, done, info = ours.step(action)  # type: ignore[assignment]
        for index, env in enumerate(singles):
            expected, r, terminated, truncated, _ = env.step(action[index])
            assert reward[index] == np.float32(r)
            assert done[index] == (terminated or truncated)
            if done[index]:
                ends += 1
                np.testing.assert_array_equal(info[index]["terminal_observation"], expected)
                assert info[index]["TimeLimit.truncated"] == truncated
                expected = env.reset()[0]
            np.testing.assert_array_equal(observation[index], expected)
    assert ends > 5


def test_ppo_trains_on_the_batched_vec_env():
    """Unchanged, and it learns: a point finds its goal."""
    family = envs.make("Point2D", horizon=20)
    env = VecMonitor(TaskVecEnv(family, 16, task={"x": 0.4, "y": 0.3}, threads=1))
    settings: dict[str, Any] = {"n_steps": 20, "batch_size": 320, "device": "cpu", "seed": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PPO("MlpPolicy", env, learning_rate=3e-3, **settings)
    first = TaskVecEnv(family, 16, task={"x": 0.4, "y": 0.3}, threads=1)

    def score() -> float:
        observation: Any = first.reset()
        total = 0.0
        for _ in range(19):
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, _, _ = first.step(action)
            total += float(reward.mean())
        return total

    before = score()
    with one_library_thread():
        model.learn(20_000)
    assert score() > before + 2.0
