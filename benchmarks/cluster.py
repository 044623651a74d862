"""Sampling on a Ray cluster of this machine's cores against sampling in this process.

    python benchmarks/cluster.py --tasks 80 --repeats 5

Both take turns within one run, with as many threads here as the cluster has cores; the ratio is of
the medians. It also counts the bytes that an iteration moves.
"""

import argparse
import statistics
import time

from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.sampling.cluster import Cluster
from metarl.sampling.collect import empty_rollouts
from metarl.sampling.sampler import Sampler, Sampling
from metarl.sampling.streams import Key, Phase, torch_generator
from metarl.system.cores import cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="HalfCheetahDir")
    parser.add_argument("--tasks", type=int, default=80)
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--horizon", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
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
    times: dict[str, list[float]] = {name: [] for name in samplers}
    for repeat in range(-1, given.repeats):  # the first round makes the simulations
        for name, sampler in samplers.items():
            sampler.set_tasks(tasks)
            began = time.perf_counter()
            sampled = sampler.sample(policy, parameters, Key(0, Phase.TRAIN, repeat + 1))
            if repeat >= 0:
                times[name].append(time.perf_counter() - began)
    there = sum(value.numel() * value.element_size() for value in parameters.values())
    back = sum(field.numel() * field.element_size() for field in sampled)
    medians = {name: statistics.median(of_name) for name, of_name in times.items()}
    for name, median in medians.items():
        print(f"{name}: {sampled.steps / median:,.0f} steps/s")
    ratio = medians["in this process"] / medians["Ray"]
    print(f"Ray / in this process, on {cores()} cores: {ratio:.2f}")
    print(f"bytes there: {there:,}; back: {back:,}, {back / sampled.steps:.0f} a step")


if __name__ == "__main__":
    main()
