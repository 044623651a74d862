"""Does it matter from how many rollouts Fisher products are computed?

    python docs/results/fisher_fraction.py    # about 8 minutes on two cores

HalfCheetahDir, three seeds, 3 M environment steps each; prints a table and writes
`fisher_fraction.json`.
"""

from pathlib import Path

import numpy as np

import metarl
from metarl import envs
from metarl.evaluation.interval import interval
from metarl.system.checkpoint import versions
from metarl.system.files import write_json

HERE = Path(__file__).parent
FRACTIONS = (0.1, 0.2)
SEEDS = (0, 1, 2)
STEPS = 3_000_000
SEEN = 500_000
"""Environment steps at the end of training whose returns count."""


def train(fraction: float, seed: int) -> list[tuple[int, float]]:
    """Return environment steps and the return after one step, at every iteration."""
    family = envs.make("HalfCheetahDir")
    learner = metarl.MAML(family, fisher_fraction=fraction, seed=seed, device="cpu")
    curve: list[tuple[int, float]] = []

    def keep(told: dict, _: dict) -> bool:
        curve.append((learner.num_timesteps, told["returns"][-1]))
        return True

    learner.learn(STEPS, keep)
    return curve


def main() -> None:
    found: dict[str, list[list[tuple[int, float]]]] = {}
    print("| part of the rollouts | return after one step, end of training | each seed |")
    print("| --- | --- | --- |")
    for fraction in FRACTIONS:
        curves = [train(fraction, seed) for seed in SEEDS]
        ends = np.array([float(np.mean([r for s, r in c if s > STEPS - SEEN])) for c in curves])
        each = ", ".join(f"{end:.0f}" for end in ends)
        print(f"| {fraction} | {interval(ends)} | {each} |", flush=True)
        found[str(fraction)] = curves
    record = {"family": "HalfCheetahDir", "seeds": SEEDS, "versions": versions(), "curves": found}
    write_json(HERE / "fisher_fraction.json", record, indent=None)


if __name__ == "__main__":
    main()
