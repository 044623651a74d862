"""How long it takes until adaptation brings the best return published for HalfCheetahDir.

    python docs/results/time_to_result.py    # about 6 minutes on two cores

Default settings, three seeds; training stops when the return after one step, as the mean of five
iterations, passes 260. What it has learned is then evaluated on start states of its own. Prints a
table and writes `time_to_result.json`.
"""

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from running import machine

import metarl
from metarl import envs
from metarl.evaluation.evaluate import evaluate
from metarl.system.checkpoint import versions
from metarl.system.files import write_json

HERE = Path(__file__).parent
FAMILY = "HalfCheetahDir"
SEEDS = (0, 1, 2)
GOAL = 260.0
"""What RLlib's MAML reached after 211 M environment steps."""
ITERATIONS = 5
LONGEST = 12_000_000
"""Environment steps after which a seed counts as failed."""


def train(seed: int) -> dict:
    """Return when the goal was passed, and the return of what was learned."""
    began = time.perf_counter()
    learner = metarl.MAML(envs.make(FAMILY), seed=seed, device="cpu", verbose=0)
    last: list[float] = []

    def go_on(told: dict, _: dict) -> bool:
        last.append(told["returns"][-1])
        return float(np.mean(last[-ITERATIONS:])) < GOAL

    learner.learn(LONGEST, go_on)
    seconds = time.perf_counter() - began
    after = evaluate(learner, steps=1, seed=1).curve()[1]
    return {
        "config": asdict(learner.config),
        "passed": learner.num_timesteps < LONGEST,
        "steps": learner.num_timesteps,
        "seconds": seconds,
        "return": [after.mean, after.low, after.high],
        "curve": last,
    }


def main() -> None:
    print("| seed | environment steps | seconds | seconds for a million | evaluated |")
    print("| --- | --- | --- | --- | --- |")
    found = []
    for seed in SEEDS:
        one = train(seed)
        million = 1e6 * one["seconds"] / one["steps"]
        mean, low, high = one["return"]
        row = [str(seed), f"{one['steps']:,}", f"{one['seconds']:.0f}", f"{million:.1f}"]
        row.append(f"{mean:.1f} [{low:.1f}, {high:.1f}]")
        print("| " + " | ".join(row) + " |", flush=True)
        found.append(one)
    print(f"\nmedian {np.median([one['seconds'] for one in found]):.0f} s")
    record = {
        "family": FAMILY,
        "goal": GOAL,
        "machine": machine(torch.device("cpu")),
        "versions": versions(),
        "runs": found,
    }
    write_json(HERE / "time_to_result.json", record, indent=None)


if __name__ == "__main__":
    main()
