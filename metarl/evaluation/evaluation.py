"""`Evaluation`: returns on new tasks before and after adaptation, as numbers, table and files."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.envs.tasks import Tasks
from metarl.evaluation.interval import Interval, interquartile, interval
from metarl.system.files import whole_file, write_json

_WORST, _WORDS = 3, 4


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Returns on new tasks before adaptation and after each inner step, of one run or several."""

    family: str
    algorithm: str
    tasks: Tasks
    returns: NDArray[np.float64]
    """Mean return over rollouts, [run, task, step]; step 0 is before adaptation."""
    success: NDArray[np.float64] | None
    """Fraction of rollouts that succeed, [run, task, step]; None where the family defines no
    success."""
    settings: dict[str, Any]
    """Seed, split, counts, step sizes, training so far and versions."""
    seen: dict[str, NDArray[np.float64]] | None = None
    """Return before gradient steps by what was seen of the task, in words, [run, task]: means over
    rollouts, or of a single task each rollout's, [run, rollout]; see `metarl.evaluation.seen`. None
    for a policy without memory."""
    parts: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """What each term of the reward adds to the return of one episode of the most likely actions,
    [run, task, step] by name; empty where the reward has no terms; `metarl.evaluation.parts`."""
    rollouts: NDArray[np.float64] | None = None
    """Returns of the only task in the only run, [rollout, step], from the same starts in each step;
    None where there are several of either."""

    @property
    def samples(self) -> NDArray[np.float64]:
        """What intervals are of, [run, sample, step]: tasks, or the rollouts of a single one."""
        return self.returns if self.rollouts is None else self.rollouts[None]

    @property
    def interval_over(self) -> str:
        """What intervals are over: tasks, runs where there are several, rollouts of one task."""
        if len(self.returns) > 1:
            return "runs"
        return "tasks" if self.rollouts is None else "rollouts"

    @property
    def steps(self) -> int:
        """Inner steps."""
        return self.returns.shape[2] - 1

    @property
    def sample(self) -> str:
        """What the returns are of, in words: draws may repeat where there are few tasks."""
        split = self.settings.get("split", "test")
        distinct = len(np.unique(self.tasks.values, axis=0))
        if distinct == len(self.tasks):
            return f"{distinct} {split} task{'s' if distinct > 1 else ''}"
        return f"{len(self.tasks)} draws of {distinct} {split} tasks"

    def curve(self) -> list[Interval]:
        """Return the mean return before adaptation and after each step."""
        return [self._mean(self.samples[:, :, step]) for step in range(self.steps + 1)]

    def middles(self) -> list[Interval]:
        """Return the interquartile mean of the return before adaptation and after each step."""
        return [interquartile(self.samples[:, :, step]) for step in range(self.steps + 1)]

    def seen_curve(self) -> dict[str, Interval]:
        """Return the mean return by what was seen of the task; nothing without a memory."""
        return {words: self._mean(values) for words, values in (self.seen or {}).items()}

    def gains(self) -> list[Interval]:
        """Return what each step adds to the return, paired by task (a single one's by rollout)."""
        gains = np.diff(self.samples, axis=2)
        return [self._mean(gains[:, :, step]) for step in range(self.steps)]

    @property
    def gain(self) -> Interval:
        """What adaptation adds to the return: after the last step less before, paired by task."""
        return self._mean(self.samples[:, :, -1] - self.samples[:, :, 0])

    def worst(self) -> list[tuple[str, float]]:
        """Return the tasks with the lowest return after the last step, in words, lowest first.

        There are none where all tasks would be named, or could not be in a few words.
        """
        distinct, which = np.unique(self.tasks.values, axis=0, return_inverse=True)
        if len(distinct) <= _WORST or len(self.tasks.names) > _WORDS:
            return []
        after = self.returns[:, :, -1].mean(0)
        means = np.bincount(which.ravel(), after) / np.bincount(which.ravel())
        order = means.argsort()[:_WORST]
        return [(Tasks(self.tasks.names, distinct).label(int(t)), float(means[t])) for t in order]

    def _mean(self, values: NDArray[np.float64]) -> Interval:
        """Return the mean over samples; its interval is over the runs where there are several."""
        return interval(values[0] if len(values) == 1 else values.mean(1))

    @property
    def title(self) -> str:
        """What was evaluated, in a line."""
        return f"{self.family}, {self.algorithm}: {self.sample}"

    @property
    def helps(self) -> bool:
        """Whether the gain's interval lies above 0."""
        return self.gain.low > 0.0

    def columns(self) -> dict[str, list[str]]:
        """Return the table's cells by column, a row an inner step."""
        columns = {
            "inner step": self.steps_in_words(),
            "mean return [95 %]": [str(value) for value in self.curve()],
            "interquartile mean [95 %]": [str(value) for value in self.middles()],
            "gain over previous": ["", *map(str, self.gains())],
        }
        if self.success is not None:
            columns["success"] = [f"{rate:.0%}" for rate in self.success.mean((0, 1))]
        return columns

    @property
    def remembers(self) -> bool:
        """Whether the first inner step is what a memory holds of the rollouts, and no gradient."""
        return self.settings.get("inner_lrs", [])[:1] == [0.0]

    def steps_in_words(self) -> list[str]:
        """Return the numbers of the inner steps; of a policy with a memory, what each is."""
        numbers = [str(step) for step in range(self.steps + 1)]
        if not self.remembers:
            return numbers
        seen = f"{self.settings['rollouts']} rollouts seen"
        words = ["nothing seen", seen, *(["and a gradient step"] * (self.steps - 1))]
        return [f"{number}: {each}" for number, each in zip(numbers, words, strict=True)]

    def seen_columns(self) -> dict[str, list[str]]:
        """Return the cells of the table of returns by what was seen; none without a memory."""
        if self.seen is None:
            return {}
        return {
            "experience of the task (quarters x 4)": list(self.seen),
            "mean return [95 %]": [str(mean) for mean in self.seen_curve().values()],
        }

    def parts_columns(self) -> dict[str, list[str]]:
        """Return the cells of the table of the return's parts; none where it has no parts."""
        if not self.parts:
            return {}
        means = [values.mean((0, 1)) for values in self.parts.values()]
        steps = {
            "before adaptation" if step == 0 else f"after step {step}": [
                f"{mean[step]:.2f}" for mean in means
            ]
            for step in range(self.steps + 1)
        }
        return {"return from": list(self.parts), **steps}

    def __str__(self) -> str:
        lines = _table(self.columns())
        if self.parts:
            lines += ["", *_table(self.parts_columns()), ""]
        if self.seen is not None:
            lines += ["", *_table(self.seen_columns()), ""]
        if self.worst():
            worst = "; ".join(f"{label} ({value:.1f})" for label, value in self.worst())
            lines.append(f"Worst after the last step: {worst}.")
        return "\n".join([*lines, self.verdict()])

    def verdict(self) -> str:
        """Return in one sentence whether adaptation helped.

        A policy that was trained to remember adapts in its first episode already, before anything
        that is gained later: what it saw and gradient steps on top are told apart.
        """
        if self.remembers:
            told = f"Rollouts seen before add {self.gains()[0]} to the first episode's return"
            if self.steps == 1:
                return f"{told}, {self.sample}."
            further = self._mean(self.samples[:, :, -1] - self.samples[:, :, 1])
            steps = "one gradient step" if self.steps == 2 else f"{self.steps - 1} gradient steps"
            return f"{told}; adding {steps} {_effect(further)}: {further}, {self.sample}."
        gain = self.gain
        finding = f"Adaptation {_effect(gain)}"
        steps = "1 inner step" if self.steps == 1 else f"{self.steps} inner steps"
        runs = f", {len(self.returns)} runs" if len(self.returns) > 1 else ""
        alone = (
            ""
            if self.rollouts is None
            else f"; intervals are over its {len(self.rollouts)} rollouts"
        )
        return f"{finding}: gain {gain} after {steps}, {self.sample}{runs}{alone}."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as in `evaluation.json`."""
        curve = [
            {"step": step, **mean.to_dict(), "interquartile": middle.to_dict()}
            for step, (mean, middle) in enumerate(zip(self.curve(), self.middles(), strict=True))
        ]
        for entry, gain in zip(curve[1:], self.gains(), strict=True):
            entry["gain_over_previous"] = gain.to_dict()
        if self.success is not None:
            for step, entry in enumerate(curve):
                entry["success"] = float(self.success[:, :, step].mean())
        per_task = [
            {"task": task, "returns": self.returns[:, index].mean(0).tolist()}
            for index, task in enumerate(self.tasks)
        ]
        if self.success is not None:
            for index, row in enumerate(per_task):
                row["success"] = self.success[:, index].mean(0).tolist()
        seen = {words: mean.to_dict() for words, mean in self.seen_curve().items()}
        parts = {name: values.mean((0, 1)).tolist() for name, values in self.parts.items()}
        return {
            "family": self.family,
            "algorithm": self.algorithm,
            "returns": curve,
            "gain": self.gain.to_dict(),
            "interval_over": self.interval_over,
            "per_task": per_task,
            **({"seen": seen} if seen else {}),
            **({"parts": parts} if parts else {}),
            "settings": self.settings,
        }

    def save(self, folder: str | Path, name: str = "evaluation") -> list[Path]:
        """Write `evaluation.json` and `evaluation.csv`, a row a task and run; return their paths.

        `metarl.showing.figures.save` writes the figure too.

        Args:
            folder: where to.
            name: of the files, without their endings.
        """
        numbers, table = (Path(folder) / f"{name}{ending}" for ending in (".json", ".csv"))
        write_json(numbers, self.to_dict())
        with whole_file(table) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            steps = range(self.steps + 1)
            success = [] if self.success is None else [f"success_{step}" for step in steps]
            returns = [f"return_{step}" for step in steps]
            writer.writerow(["run", *self.tasks.names, *returns, *success])
            for run in range(len(self.returns)):
                for index, values in enumerate(self.tasks.values):
                    rates = [] if self.success is None else self.success[run, index]
                    writer.writerow([run, *values, *self.returns[run, index], *rates])
        return [numbers, table]


def _effect(gain: Interval) -> str:
    if gain.low > 0.0:
        return "helps"
    if gain.high < 0.0:
        return "HURTS"
    return "is NOT shown to help (the interval includes 0)"


def _table(columns: dict[str, list[str]]) -> list[str]:
    """Return the lines of a table, from its cells by column."""
    widths = {name: max(len(name), *map(len, cells)) for name, cells in columns.items()}
    rows = [columns.keys(), *zip(*columns.values(), strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" for cell, width in zip(row, widths.values(), strict=True)
        ).rstrip()
        for row in rows
    ]
