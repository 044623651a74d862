"""Sampling on a Ray cluster of this machine's cores against sampling in this process.

    python benchmarks/cluster.py --tasks 80 --repeats 9

Both take turns within one run, with as many threads here as the cluster has cores. The ratio is
that of each pair of turns, by wall time and by CPU time: that of this process, and in Ray's turn of
everything below it, Ray's own processes included. Where other programs keep the cores busy, wall
time says little. It also counts the bytes that an iteration moves. Linux only: it reads `/proc`.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.sampling.cluster import Cluster
from metarl.sampling.collect import empty_rollouts
from metarl.sampling.sampler import Sampler, Sampling
from metarl.sampling.streams import Key, Phase, torch_generator
from metarl.system.cores import cores


class Cost(NamedTuple):
    """What has been spent so far [s]."""

    wall: float
    cpu: float
    """Of this process, and of all below it where they take part."""


def cost(with_processes: bool) -> Cost:
    """Return the time now, and what this process, or all below it too, have used of the cores."""
    if not with_processes:
        return Cost(time.perf_counter(), time.process_time())
    ticks = sum(
        sum(map(int, fields[11:15]))  # its own, in and out of the kernel, and of ended children
        for fields in below(os.getpid())
    )
    return Cost(time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"))


def below(root: int) -> Iterator[list[str]]:
    """Yield the fields of `/proc/PID/stat` from the third on, of a process and all below it."""
    try:
        yield Path(f"/proc/{root}/stat").read_text().rpartition(") ")[2].split()
        children = [file.read_text() for file in Path(f"/proc/{root}/task").glob("*/children")]
    except OSError:  # it has ended
        return
    for child in " ".join(children).split():
        yield from below(int(child))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="HalfCheetahDir")
    parser.add_argument("--tasks", type=int, default=80)
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--horizon", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    family = envs.make(given.family, horizon=given.horizon)
    policy = GaussianPolicy(family.observation_size, family.action_size)
    parameters = {
        name: value.expand(given.tasks, *value.shape).contiguous()
        for name, value in policy.initial(torch_generator(0)).items()
    }
    tasks = family.sample_tasks(given.tasks, seed=0)
    samplers: dict[str, Sampling] = {
        "in this process": Sampler(family, given.tasks, given.rollouts, threads=cores()),
        "Ray": Cluster(family, given.tasks, given.rollouts, address="ray"),
    }
    sampled = empty_rollouts(family, given.tasks, given.rollouts)
    costs: dict[str, list[Cost]] = {name: [] for name in samplers}
    for repeat in range(-1, given.repeats):  # the first round makes the simulations
        for name, sampler in samplers.items():
            sampler.set_tasks(tasks)
            before = cost(name == "Ray")
            sampled = sampler.sample(policy, parameters, Key(0, Phase.TRAIN, repeat + 1))
            after = cost(name == "Ray")
            if repeat >= 0:
                costs[name].append(Cost(after.wall - before.wall, after.cpu - before.cpu))
    there = sum(value.numel() * value.element_size() for value in parameters.values())
    back = sum(field.numel() * field.element_size() for field in sampled)
    for name, of_name in costs.items():
        wall, cpu = np.median(np.array(of_name), 0)
        print(
            f"{name}: {sampled.steps / wall:,.0f} steps/s, {1e6 * cpu / sampled.steps:.0f} us CPU"
        )
    here, ray = (np.array(of_name) for of_name in costs.values())
    for kind, ratios in zip(("wall", "CPU"), (here / ray).T, strict=True):
        print(
            f"Ray / in this process on {cores()} cores, by {kind} time: {np.median(ratios):.2f}, "
            f"{ratios.min():.2f} to {ratios.max():.2f} in {len(ratios)} pairs of turns"
        )
    print(f"bytes there: {there:,}; back: {back:,}, {back / sampled.steps:.0f} a step")


if __name__ == "__main__":
    main()
