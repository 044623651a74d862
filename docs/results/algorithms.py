"""The meta-learners against each other and against plain pretraining, on tasks kept apart.

    python docs/results/algorithms.py train     # every run that has no file yet; hours
    python docs/results/algorithms.py show      # figures and tables of the files there are

Every run is evaluated as it trains: one inner step from 20 rollouts, on test tasks. Its file in
`algorithms/` holds the settings, seed, versions, and the returns before and after adaptation
against environment steps and seconds of training (those of the evaluations not counted).
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from running import machine
from scipy import stats
from stable_baselines3.common.callbacks import BaseCallback

import metarl
from metarl.evaluation.interval import interval
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file, write_json

HERE = Path(__file__).parent
FILES = HERE / "algorithms"
ALGORITHMS = ("maml-trpo", "promp", "fomaml", "meta-sgd", "pretrain")
SEEDS = (0, 1, 2)
STEPS = {"HalfCheetahDir": 4_000_000, "HalfCheetahVel": 3_000_000, "Point2D": 1_500_000}
POINTS = 10
"""Evaluations on the way."""


class Curve(BaseCallback):
    """Evaluates adaptation at even distances of environment steps."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.points: list[dict[str, Any]] = []
        self._every = every
        self._spent = 0.0

    def _on_training_start(self) -> None:
        self._began = time.monotonic()

    def _on_step(self) -> bool:
        if self.num_timesteps < self._every * (len(self.points) + 1):
            return True
        seconds = time.monotonic() - self._began - self._spent
        evaluation = metarl.evaluate(self.model, tasks=20, steps=1, seed=1)  # type: ignore[arg-type]
        before, after = (point.mean for point in evaluation.curve())
        self.points.append(
            {"steps": self.num_timesteps, "seconds": seconds, "before": before, "after": after}
        )
        self._spent = time.monotonic() - self._began - seconds
        return True


def train(family: str, algorithm: str, seed: int, path: Path) -> None:
    """Train one run and write its file."""
    learner = metarl.MAML(family, algorithm=algorithm, seed=seed, device="cpu")
    curve = Curve(STEPS[family] // POINTS)
    learner.learn(STEPS[family], curve)
    record = {
        "config": asdict(learner.config),
        "family": learner.family.describe(),
        "versions": versions(),
        "machine": machine(learner.device),
        "curve": curve.points,
        "final": metarl.evaluate(learner, tasks=40, steps=3).to_dict(),
    }
    write_json(path, record, indent=None)


def runs(family: str, algorithm: str) -> list[dict[str, Any]]:
    """Return the files of one curve, a seed each."""
    paths = sorted(FILES.glob(f"{family}_{algorithm}_*.json"))
    return [json.loads(path.read_text()) for path in paths]


def band(axes: Axes, x: np.ndarray, values: np.ndarray, **style: Any) -> None:  # noqa: ANN401
    """Draw the mean over seeds, [seed, point], with its 95 % interval."""
    mean = values.mean(0)
    line = axes.plot(x, mean, **style)[0]
    if len(values) > 1:
        margin = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
        low, high = mean - margin, mean + margin
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def figure(family: str) -> Figure:
    """Draw returns before and after adaptation against steps and seconds."""
    drawing = Figure(figsize=(10.0, 4.2), layout="constrained")
    steps_axes, seconds_axes = drawing.subplots(1, 2, sharey=True)
    for color, algorithm in enumerate(ALGORITHMS):
        curves = [run["curve"] for run in runs(family, algorithm)]
        if not curves:
            continue
        count = min(map(len, curves))
        column = {
            key: np.array([[point[key] for point in curve[:count]] for curve in curves])
            for key in ("steps", "seconds", "before", "after")
        }
        style = {"color": f"C{color}", "linewidth": 1.8}
        for axes, x in (
            (steps_axes, column["steps"].mean(0) / 1e6),
            (seconds_axes, column["seconds"].mean(0) / 60.0),
        ):
            band(axes, x, column["after"], label=algorithm, **style)
            axes.plot(x, column["before"].mean(0), linestyle=":", **style)
    steps_axes.set(xlabel="environment steps [million]", ylabel="return on test tasks")
    seconds_axes.set(xlabel="training time [min]")
    handles, labels = seconds_axes.get_legend_handles_labels()
    title = "after one step\n(dotted: before)"
    drawing.legend(handles, labels, loc="outside right center", frameon=False, title=title)
    for axes in (steps_axes, seconds_axes):
        axes.spines[["top", "right"]].set_visible(False)
    drawing.suptitle(f"{family}: mean of {len(SEEDS)} seeds with 95 % interval")
    return drawing


def table(family: str) -> str:
    """Return the final returns of 40 test tasks, with intervals over seeds, as Markdown."""
    rows = ["| algorithm | before | after 1 step | after 3 steps | steps/s |", "| --- " * 5 + "|"]
    for algorithm in ALGORITHMS:
        found = runs(family, algorithm)
        if not found:
            continue
        returns = np.array([[t["returns"] for t in run["final"]["per_task"]] for run in found])
        columns = [interval(returns[:, :, step].mean(1)) for step in (0, 1, 3)]
        last = [run["curve"][-1] for run in found]
        rate = float(np.median([point["steps"] / point["seconds"] for point in last]))
        rows.append(f"| `{algorithm}` | {' | '.join(map(str, columns))} | {rate:,.0f} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="The meta-learners against each other.")
    parser.add_argument("what", choices=("train", "show"))
    if parser.parse_args().what == "train":
        for seed in SEEDS:
            for family in STEPS:
                for algorithm in ALGORITHMS:
                    path = FILES / f"{family}_{algorithm}_{seed}.json"
                    if not path.exists():
                        train(family, algorithm, seed, path)
                        print(path.stem, flush=True)
        return
    for family in STEPS:
        with whole_file(HERE / f"algorithms_{family}.png") as temporary:
            figure(family).savefig(temporary, dpi=120)
        print(f"{family}\n\n{table(family)}\n")


if __name__ == "__main__":
    main()
