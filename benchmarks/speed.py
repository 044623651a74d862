"""How close sampling and learning come to the physics engine.

    python benchmarks/speed.py [--repeats 5]

Everything is a ratio to `mujoco.batch` stepping the very same simulations, in this run: its
controls and the falls are recorded from the rollouts and played back with nothing else around them.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from metarl import envs
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.experience.memories import nothing_seen
from metarl.experience.rollouts import Rollouts
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase, Purpose, stream

Call = Callable[[], None]
SAMPLED = {
    "HalfCheetahDir": 100,
    "AntDir": 100,
    "HopperRandParams": 100,
    "HumanoidDir": 50,
    "Go1Vel": 50,
}
"""Families whose sampling is timed, and steps of a rollout; 10 with many simulations."""


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def played_back(family: TaskFamily, tasks: Tasks, rollouts: Rollouts, key: Key) -> Call:
    """Return a call that takes the physics steps of some rollouts with `mujoco.batch` alone.

    Args:
        family: of the rollouts.
        tasks: whose bodies and start states they had.
        rollouts: [task, rollout, time].
        key: what they were sampled with.
    """
    count = rollouts.rewards.shape[1]
    simulator = envs.Simulator(family, len(tasks) * count)
    simulator.set_tasks(tasks.repeat(count))
    numbers = [(task, rollout) for task in range(len(tasks)) for rollout in range(count)]
    simulator.reset(stream(key, Purpose.START, *pair) for pair in numbers)
    start = [simulator.fields[name].copy() for name in ("qpos", "qvel")]
    actions = rollouts.actions.flatten(0, 1).double().numpy() * family.action_scale
    low, high = family.robot.control_range(family.model)
    controls = (low + high) / 2.0 + (high - low) / 2.0 * np.clip(actions, -1.0, 1.0)
    controls = np.ascontiguousarray(controls.transpose(1, 0, 2))
    valid = np.ascontiguousarray(rollouts.valid.flatten(0, 1).numpy().T)
    masks: list[NDArray[np.bool_] | None] = [None if mask.all() else mask for mask in valid]

    def play() -> None:
        simulator.set_state(start[0], start[1])
        for commands, mask in zip(controls, masks, strict=True):
            if mask is not None and not mask.any():
                break
            family.robot.drive(simulator.fields, commands)
            simulator._batch.step(mask, nstep=family.robot.frame_skip)

    return play


def sampling(
    name: str, tasks: int, rollouts: int, horizon: int, repeats: int, *, context: str = "none"
) -> list[str]:
    """Return a table row: collecting rollouts with a new policy against the physics alone.

    With the context `siamese`, the policy remembers every step and sees its embedding.
    """
    family = envs.make(name, horizon=horizon)
    learner = MAML(family, tasks=tasks, rollouts=rollouts, context=context, device="cpu")
    drawn = family.sample_tasks(tasks, seed=0)
    sampler = learner.sampler(tasks, rollouts)
    sampler.set_tasks(drawn)
    key = Key(0, Phase.TRAIN)
    parameters = {n: v.expand(tasks, *v.shape) for n, v in learner.parameters.items()}
    rules = learner.state.memory
    if rules:  # a memory that was trained looks for changes
        rules = replace(rules, tolerance=1.0)

    def sample() -> Rollouts:
        memory = nothing_seen(rules, tasks)
        return sampler.sample(learner.policy, parameters, key, memory=memory)

    data = sample()
    physics = played_back(family, drawn, data, key)
    physics()
    raw, ours = zip(*((seconds(physics), seconds(sample)) for _ in range(repeats)), strict=True)
    ratio = statistics.median(r / o for r, o in zip(raw, ours, strict=True))
    return [
        name if context == "none" else f"{name}, with a memory",
        f"{tasks * rollouts:,}",
        f"{data.steps:,}",
        f"{data.steps / statistics.median(raw):,.0f}",
        f"{data.steps / statistics.median(ours):,.0f}",
        f"{ratio:.2f}",
    ]


class UpdateTime(BaseCallback):
    """Times the part of an iteration that follows its rollouts."""

    def _on_rollout_end(self) -> None:
        self._began = time.perf_counter()

    def _on_step(self) -> bool:
        self.seconds = time.perf_counter() - self._began
        return True


def iteration(name: str, tasks: int, rollouts: int, repeats: int) -> list[str]:
    """Return a table row: an iteration of MAML-TRPO, and its update, against its steps' physics."""
    family = envs.make(name)
    learner = MAML(family, tasks=tasks, rollouts=rollouts, device="cpu")
    learner.learn(1)
    raw, ours, updates = [], [], []
    update_time = UpdateTime()
    for _ in range(repeats):
        before = learner.state
        ours.append(seconds(lambda: learner.learn(1, update_time)))
        updates.append(update_time.seconds)
        # the same rollouts once more, for their physics
        key = Key(learner.config.seed, Phase.TRAIN, learner.iteration - 1)
        seed = (learner.config.seed, learner.iteration - 1)
        again = MAML(family, tasks=tasks, rollouts=rollouts, device="cpu")
        again.state = before
        drawn = family.sample_tasks(tasks, seed=seed)
        stages = again.adaptation(drawn, rollouts, [again.config.inner_lr], key)
        plays = [
            played_back(family, drawn, stage.rollouts, key._replace(step=step))
            for step, stage in enumerate(stages)
        ]
        raw.append(seconds(lambda plays=plays: [play() for play in plays]))
    ratio, part = (
        statistics.median(o / r for r, o in zip(raw, times, strict=True))
        for times in (ours, updates)
    )
    return [
        name,
        f"{tasks} x {rollouts} x {family.horizon}",
        f"{statistics.median(raw):.2f} s",
        f"{statistics.median(ours):.2f} s",
        f"{ratio:.2f}",
        f"{part:.2f}",
    ]


def bodies(name: str, count: int, repeats: int) -> list[str]:
    """Return a table row: as many different bodies against as many copies of one."""
    family = envs.make(name)
    plain = family.replace(dynamics=())
    actions = np.random.default_rng(0).uniform(-1, 1, (50, count, family.action_size))

    def stepper(family: TaskFamily) -> tuple[Callable[[], None], float]:
        began = time.perf_counter()
        simulator = envs.Simulator(family, count)
        simulator.set_tasks(family.sample_tasks(count, seed=0))
        made = time.perf_counter() - began
        state = family.robot.start(family.model, np.random.default_rng(1))
        start = [np.tile(part, (count, 1)) for part in state]

        def step() -> None:
            simulator.set_state(start[0], start[1])
            for action in actions:
                simulator.step(action)

        step()
        return step, made

    (alike, _), (different, made) = stepper(plain), stepper(family)
    ratios = [seconds(different) / seconds(alike) for _ in range(repeats)]
    return [name, f"{count:,}", f"{made:.2f} s", f"{statistics.median(ratios):.2f}"]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(
        f"{platform.machine()}, {torch.get_num_threads()} cores, "
        f"torch {torch.__version__}, median of {repeats}\n"
    )
    samples = [
        sampling(name, tasks, 20, horizon if tasks < 400 else 10, repeats)
        for name, horizon in SAMPLED.items()
        for tasks in (2, 10, 40, 400)
    ]
    samples += [
        sampling("HalfCheetahDir", tasks, 20, 100, repeats, context="siamese")
        for tasks in (2, 10, 40)
    ]
    columns = ("family", "simulations", "steps", "mujoco.batch, steps/s", "metarl, steps/s", "part")
    print(table(columns, samples), flush=True)
    columns = (
        "family",
        "tasks x rollouts x steps",
        "physics alone",
        "iteration",
        "ratio",
        "update",
    )
    print("\n" + table(columns, [iteration("HalfCheetahDir", 40, 20, repeats)]), flush=True)
    columns = ("family", "bodies", "construction", "stepping, against one body")
    varied = ("HopperRandParams", "WalkerRandParams", "HalfCheetahRandParams", "AntCrippled")
    print("\n" + table(columns, [bodies(name, 1000, repeats) for name in varied]))


if __name__ == "__main__":
    main()
