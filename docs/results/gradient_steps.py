"""Gradient steps on top of a memory, inside the training range and outside, by their size.

    python docs/results/gradient_steps.py     # minutes; writes gradient_steps.json and a table

Pretrained policies adapt from 20 rollouts: at first by what they remember of them, then by gradient
steps, each from 20 further rollouts. 40 tasks.
"""

from pathlib import Path

import tables

import metarl
from metarl.envs.distributions import Split
from metarl.system.checkpoint import versions
from metarl.system.files import write_json

HERE = Path(__file__).parent
FAMILIES = ("HalfCheetahVel", "HalfCheetahReversed", "HalfCheetahCrippled")
SPLITS: tuple[Split, ...] = ("test", "extrapolate")
SIZES = (0.1, 0.03)
STEPS = 3
WORDS = {"test": "", "extrapolate": ", outside"}


def measured() -> list[dict]:
    """Return the returns by family, split and size, [step] each."""
    rows = []
    for family in FAMILIES:
        for split in SPLITS:
            for size in SIZES:
                learner = metarl.load(f"pretrained:{family}", device="cpu", inner_lr=size)
                result = metarl.evaluate(learner, tasks=40, steps=1 + STEPS, split=split, seed=7)
                returns = [interval.to_dict() for interval in result.curve()]
                rows.append({"family": family, "split": split, "size": size, "returns": returns})
                print(family, split, size, *(f"{step['mean']:.1f}" for step in returns), flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Return the means as Markdown."""
    names = ["family", "size", "memory", "1 step", *(f"{n} steps" for n in range(2, STEPS + 1))]
    cells = [
        [
            f"{row['family']}{WORDS[row['split']]}",
            str(row["size"]),
            *(f"{step['mean']:.1f}" for step in row["returns"][1:]),
        ]
        for row in rows
    ]
    return tables.table(names, cells)


def main() -> None:
    rows = measured()
    data = {"seed": 7, "tasks": 40, "rows": rows, "versions": versions()}
    write_json(HERE / "gradient_steps.json", data, indent=None)
    tables.write(HERE / "README.md", "steps", table(rows))


if __name__ == "__main__":
    main()
