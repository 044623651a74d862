"""Stable-Baselines3's PPO on one native batch and on processes of single environments.

    python benchmarks/vec_env.py [--repeats 3]

Same algorithm, settings, tasks and number of environments; only what steps them differs.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.sb3_vec_env import TaskVecEnv

FAMILIES = {"HalfCheetahVel": {"velocity": 1.5}, "AntVel": {"velocity": 1.5}}
ENVIRONMENTS = 16
STEPS = 128


def stepping(env: VecEnv, steps: int) -> float:
    """Return environment steps per second of stepping with random actions."""
    env.reset()
    actions = [[env.action_space.sample() for _ in range(env.num_envs)] for _ in range(steps)]
    began = time.perf_counter()
    for action in actions:
        env.step(action)  # type: ignore[arg-type]
    return steps * env.num_envs / (time.perf_counter() - began)


def training(env: VecEnv) -> float:
    """Return environment steps per second of PPO, updates included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PPO("MlpPolicy", env, n_steps=STEPS, batch_size=512, n_epochs=4, device="cpu")
    model.learn(ENVIRONMENTS * STEPS)
    began = time.perf_counter()
    model.learn(4 * ENVIRONMENTS * STEPS)
    return 4 * ENVIRONMENTS * STEPS / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print("| family | what | TaskVecEnv, steps/s | SubprocVecEnv, steps/s | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for name, task in FAMILIES.items():

        def single(name: str = name, task: dict[str, float] = task) -> TaskEnv:
            return TaskEnv(name, task=task)

        def batched(name: str = name, task: dict[str, float] = task) -> VecEnv:
            return TaskVecEnv(name, ENVIRONMENTS, task=task)

        def processes(single: Callable[[], TaskEnv] = single) -> VecEnv:
            return SubprocVecEnv([single] * ENVIRONMENTS)  # type: ignore[list-item]

        for what, measure in (("stepping", lambda env: stepping(env, 300)), ("PPO", training)):
            rates: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(repeats):
                for key, make in (("ours", batched), ("theirs", processes)):
                    env = make()
                    rates[key].append(measure(env))
                    env.close()
            ours, theirs = (statistics.median(rates[key]) for key in ("ours", "theirs"))
            print(f"| {name} | {what} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.1f} |")


if __name__ == "__main__":
    main()
