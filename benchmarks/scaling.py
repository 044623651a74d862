"""What an iteration costs a step, and how much memory it needs, from few tasks to many.

    python benchmarks/scaling.py [--repeats 3]

Every size runs in a process of its own, so that its memory is its own. Memory is what training
adds to the process at its peak, besides the simulators, against the size of an iteration's rollouts
before and after adaptation. With `--busy`, an iteration is timed alone and beside one busy process
on each core.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np

from metarl import envs
from metarl.learner.maml import MAML
from metarl.sampling.collect import rollout_layout
from metarl.system.cores import cores

SIZES = ((10, 100), (30, 100), (100, 100), (300, 100), (1000, 100), (10, 20), (1000, 20))
"""Tasks, and steps of a rollout."""
ROLLOUTS = 20
BUSY = "while True: pass"


def peak() -> int:
    """Return the most memory this process has had [byte]."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def data_size(learner: MAML) -> int:
    """Return the size of an iteration's rollouts, before and after adaptation [byte]."""
    config = learner.config
    layout = rollout_layout(learner.family, config.tasks, config.rollouts).values()
    return 2 * sum(math.prod(shape) * dtype.itemsize for shape, dtype in layout)


def measure(tasks: int, steps: int, repeats: int) -> dict[str, float]:
    """Return seconds a step and memory of iterations with so many tasks."""
    MAML(envs.make("HalfCheetahDir", horizon=5), tasks=2, rollouts=2, device="cpu").learn(1)
    before = peak()
    family = envs.make("HalfCheetahDir", horizon=steps)
    learner = MAML(family, tasks=tasks, rollouts=ROLLOUTS, device="cpu")
    simulator = envs.Simulator(family, tasks * ROLLOUTS)
    simulator.set_tasks(family.sample_tasks(tasks * ROLLOUTS, seed=0))
    simulator.reset(np.random.default_rng(seed) for seed in range(simulator.count))
    for _ in range(20):
        simulator.step(np.zeros((simulator.count, family.action_size)))
    simulators = peak() - before
    del simulator
    stamps: list[float] = []
    iterations = max(1, repeats * 100 // tasks) + 1  # the first one warms up
    each = 2 * tasks * ROLLOUTS * steps
    learner.learn(iterations * each, lambda *_: stamps.append(time.perf_counter()) is None)
    times = [later - sooner for sooner, later in pairwise(stamps)]
    return {
        "microseconds": 1e6 * statistics.median(times) / each,
        "memory": peak() - before - simulators,
        "data": data_size(learner),
    }


def busy(repeats: int) -> tuple[float, float]:
    """Return seconds of an iteration alone, and beside one busy process on each core."""
    learner = MAML(envs.make("HalfCheetahDir"), tasks=40, rollouts=20, device="cpu")
    learner.learn(1)

    def iteration() -> float:
        began = time.perf_counter()
        learner.learn(1)
        return time.perf_counter() - began

    alone = statistics.median(iteration() for _ in range(repeats))
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores())]
    try:
        beside = statistics.median(iteration() for _ in range(repeats))
    finally:
        for other in others:
            other.kill()
            other.wait()
    return alone, beside


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, type=int, metavar=("TASKS", "STEPS"))
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    if options.one:
        tasks, steps = options.one
        print(json.dumps(measure(tasks, steps, options.repeats)))
        return
    if options.busy:
        alone, beside = busy(options.repeats)
        print(f"iteration alone {alone:.2f} s, beside busy processes {beside:.2f} s: ", end="")
        print(f"{beside / alone:.2f} times")
        return
    print("| tasks | steps of a rollout | microseconds a step | rollouts | memory | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tasks, steps in SIZES:
        command = [sys.executable, __file__, "--one", str(tasks), str(steps)]
        command += ["--repeats", str(options.repeats)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        data, memory = found["data"] / 2**20, found["memory"] / 2**20
        print(
            f"| {tasks:,} | {steps} | {found['microseconds']:.1f} | {data:.0f} MiB "
            f"| {memory:.0f} MiB | {memory / data:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
