"""Sampling against what else there is: EnvPool, and processes of Gymnasium's and SB3's.

    pip install -c constraints.txt '.[bench]'
    python benchmarks/other_samplers.py [--repeats 3]

EnvPool steps Gymnasium's robot alone, with actions drawn before: no policy and no rewards of ours.
`AsyncVectorEnv` and `SubprocVecEnv` run it under the same policy as ours. The physics of our own
rollouts alone, with `mujoco.batch`, is as fast as any sampler could be.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import envpool  # type: ignore[import-not-found]
import gymnasium
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv
from speed import played_back
from stable_baselines3.common.vec_env import SubprocVecEnv

from metarl import envs
from metarl.envs.task_family import TaskFamily
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase
from metarl.system.library_threads import one_library_thread

FAMILIES = {"HalfCheetahVel": "HalfCheetah-v5", "AntVel": "Ant-v5", "HopperRandParams": "Hopper-v5"}
TASKS, ROLLOUTS, STEPS = 40, 20, 100
PROCESSES = 16


Call = Callable[[], int]
"""Takes steps and returns how many."""


def ours(family: TaskFamily, learner: MAML) -> tuple[Call, Call]:
    """Return a call that samples, and one that takes the physics steps alone."""
    key = Key(0, Phase.TRAIN)
    tasks = family.sample_tasks(TASKS, seed=0)
    sampler = learner.sampler(TASKS, ROLLOUTS)
    sampler.set_tasks(tasks)
    parameters = {n: v.expand(TASKS, *v.shape) for n, v in learner.parameters.items()}
    rollouts = sampler.sample(learner.policy, parameters, key)
    play = played_back(family, tasks, rollouts, key)

    def physics() -> int:
        play()
        return rollouts.steps

    return lambda: sampler.sample(learner.policy, parameters, key).steps, physics


def pool(robot: str, scale: float) -> Call:
    """Return a call that steps as many environments as ours with EnvPool."""
    count = TASKS * ROLLOUTS
    env: Any = envpool.make_gymnasium(robot, num_envs=count, num_threads=torch.get_num_threads())
    size = env.action_space.shape[0]
    noise = np.random.default_rng(0).standard_normal((STEPS, count, size))
    actions = np.clip(scale * noise, -1.0, 1.0)

    def step() -> int:
        env.reset()
        for action in actions:
            env.step(action)
        return STEPS * count

    return step


def processes(learner: MAML, robot: str, kind: type) -> Call:
    """Return a call that steps processes of Gymnasium's environment under the learner's policy."""
    env: Any = kind([lambda: gymnasium.make(robot)] * PROCESSES)
    size = learner.policy.observation_size

    def step() -> int:
        observation = env.reset()
        observation = observation[0] if isinstance(observation, tuple) else observation
        with one_library_thread():
            for _ in range(STEPS):
                action, _ = learner.predict(observation[:, :size])
                observation = env.step(action)[0]
        return STEPS * PROCESSES

    return step


def rate(call: Call) -> float:
    """Return steps per second."""
    began = time.perf_counter()
    return call() / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    columns = ("family", "metarl, steps/s", "physics alone", "EnvPool, bare")
    print("| " + " | ".join((*columns, "AsyncVectorEnv", "SubprocVecEnv")) + " |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, robot in FAMILIES.items():
        family = envs.make(name, horizon=STEPS)
        learner = MAML(family, device="cpu")
        sampling, physics = ours(family, learner)
        calls = {
            "ours": sampling,
            "physics": physics,
            "pool": pool(robot, family.action_scale),
            "async": processes(learner, robot, AsyncVectorEnv),
            "subproc": processes(learner, robot, SubprocVecEnv),
        }
        rates: dict[str, list[float]] = {key: [] for key in calls}
        for call in calls.values():
            call()
        for _ in range(repeats):
            for key, call in calls.items():
                rates[key].append(rate(call))
        cells = [f"{statistics.median(rates['ours']):,.0f}"]
        for key in ("physics", "pool", "async", "subproc"):
            pairs = zip(rates["ours"], rates[key], strict=True)
            ratio = statistics.median(own / other for own, other in pairs)
            cells.append(f"{statistics.median(rates[key]):,.0f} ({ratio:.1f} x)")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
