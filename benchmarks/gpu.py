"""What an iteration takes with its updates on the CPU and on a GPU, and whether the two agree.

    python benchmarks/gpu.py [--tasks 40 400 4000] [--algorithms maml-trpo promp siamese]
        [--devices cpu cuda] [--repeats 3]

Both devices get the very same rollouts, which are sampled once. An update is everything but
sampling: advantages, inner steps, the outer step and the encoder's training. Times are medians of
`--repeats` updates after one to warm up, or of fewer once 20 s are over. How far the devices are
apart is the distance of the parameters after the update, relative to the length of the update's
step on the first device.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from metarl import envs
from metarl.algorithms.fisher import flatten
from metarl.experience.memories import nothing_seen
from metarl.experience.rollouts import Rollouts
from metarl.learner.inner_loop import Stage, common, inner_step
from metarl.learner.iteration import tasks_of, training_sampler, update
from metarl.learner.maml import MAML
from metarl.learner.state import State
from metarl.sampling.streams import Key, Phase
from metarl.system.cores import cores

ALGORITHMS = ("maml-trpo", "promp", "siamese")
"""Derivatives by hand; by autograd through the inner step; none, but an encoder."""

PATIENCE = 20.0
"""After how many seconds an update is not repeated any more."""


def learner_of(algorithm: str, tasks: int, device: str) -> MAML:
    family = envs.make("HalfCheetahVel")
    return MAML(family, algorithm=algorithm, tasks=tasks, device=device)


def updated(learner: MAML, sampled: Sequence[Rollouts]) -> tuple[State, list[dict[str, Tensor]]]:
    """Return the state after an update, and every stage's parameters of the tasks.

    Args:
        learner: before the update; it is not changed.
        sampled: the rollouts of the stages that are there already; the outer step is taken when
            that is all of them.
    """
    state, recipe = learner.state, learner.recipe
    memory = nothing_seen(state.memory, learner.config.tasks)
    parameters = [common(state.parameters, learner.config.tasks)]
    stages = []
    for rollouts, inner in zip(sampled, [*recipe.inner_of_training, None], strict=False):
        stage = Stage(recipe, parameters[-1], rollouts, memory)
        stages.append(stage)
        if inner:
            parameters.append(inner_step(state.policy, stage, recipe, inner))
    if len(stages) > len(recipe.inner_of_training):
        state, _ = update(state, recipe, learner.family, stages)
    if learner.device.type == "cuda":
        torch.cuda.synchronize(learner.device)
    return state, parameters


def rollouts_of(learner: MAML) -> tuple[list[Rollouts], float]:
    """Return the rollouts of an iteration, stage by stage, and the seconds that they took."""
    state, config = learner.state, learner.config
    memory = nothing_seen(state.memory, config.tasks)
    sampled: list[Rollouts] = []
    seconds = 0.0
    with training_sampler(state, learner.recipe, learner.family) as sampler:
        sampler.set_tasks(tasks_of(state, learner.recipe, learner.family))
        for step in range(len(learner.recipe.inner_of_training) + 1):
            _, parameters = updated(learner, sampled)
            key = Key(config.seed, Phase.TRAIN, 0, step=step)
            began = time.perf_counter()
            rollouts = sampler.sample(state.policy, parameters[-1], key, memory=memory)
            seconds += time.perf_counter() - began
            # what comes from processes lies in memory that the next ones overwrite
            sampled.append(Rollouts(*(field.clone() for field in rollouts)))
    return sampled, seconds


def timed(learner: MAML, sampled: Sequence[Rollouts], repeats: int) -> tuple[State, float]:
    """Return the state after an update, and the median of the seconds that one takes."""
    state = learner.state
    seconds: list[float] = []
    while len(seconds) <= repeats and sum(seconds) < PATIENCE:
        began = time.perf_counter()
        state, _ = updated(learner, sampled)
        seconds.append(time.perf_counter() - began)
    return state, statistics.median(seconds[1:] or seconds)


def measure(algorithm: str, tasks: int, devices: Sequence[str], repeats: int) -> None:
    """Print a row of the table."""
    sampled, sampling = rollouts_of(learner_of(algorithm, tasks, "cpu"))
    steps = sum(part.steps for part in sampled)
    times: list[str] = []
    after: list[Tensor] = []
    peak = 0.0
    for device in devices:
        learner = learner_of(algorithm, tasks, device)
        if learner.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(learner.device)
        state, seconds = timed(learner, sampled, repeats)
        if learner.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(learner.device) / 2**30
        after.append(flatten(state.parameters).cpu())
        times.append(f"{seconds:.3f} s")
    start = flatten(learner_of(algorithm, tasks, "cpu").parameters)
    apart = [float((other - after[0]).norm() / (after[0] - start).norm()) for other in after[1:]]
    cells = [f"{tasks:,}", algorithm, f"{steps:,}", f"{sampling:.2f} s", *times]
    cells += [*(f"{number:.1e}" for number in apart), f"{peak:.2f} GiB"]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[40, 400, 4000])
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, choices=ALGORITHMS)
    parser.add_argument("--devices", nargs="+", default=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{gpu}, {cores()} cores of {platform.machine()}, torch {torch.__version__}\n")
    names = ["tasks", "algorithm", "steps", "sampling"]
    names += [f"update on {device}" for device in given.devices]
    names += [f"{device} apart" for device in given.devices[1:]] + ["memory on the GPU"]
    print(f"| {' | '.join(names)} |\n| {' | '.join('---' for _ in names)} |")
    for tasks in given.tasks:
        for algorithm in given.algorithms:
            measure(algorithm, tasks, given.devices, given.repeats)


if __name__ == "__main__":
    main()
