"""`Comparison`: what each method reached on new tasks, and for how many environment steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.evaluation.interval import Interval, interval
from metarl.system.files import write_json


@dataclass(frozen=True, eq=False)
class Curve:
    """Return against environment steps on the new task."""

    steps: NDArray[np.int64]
    """[point], ascending."""
    returns: NDArray[np.float64]
    """[run, task, point]."""
    asked: int = 0
    """The point of a meta-learner at which its savings are asked for; 0 for other methods."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as arrays by name."""
        return {"steps": self.steps, "returns": self.returns, "asked": np.array(self.asked)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Curve":
        """Return the curve that `arrays` made these of."""
        return cls(arrays["steps"], arrays["returns"], int(arrays["asked"]))

    def intervals(self) -> list[Interval]:
        """Return the mean over tasks at each point; the interval is over runs if there are some."""
        samples = self.returns.mean(1) if len(self.returns) > 1 else self.returns[0]
        return [interval(column) for column in samples.T]

    def reaches(self, target: float) -> float:
        """Return how many environment steps the mean needs to reach a return; inf if it does not.

        Between two points (n0, r0) and (n1, r1) the return is taken to be linear in log n, since
        the numbers of steps are spaced evenly in the logarithm:

            log n = log n0 + (target - r0) / (r1 - r0) * (log n1 - log n0)

        From n0 = 0 there is no logarithm: n1, which is an upper bound, is the answer.
        """
        mean = self.returns.mean((0, 1))
        reached = np.flatnonzero(mean >= target)
        if not len(reached):
            return math.inf
        point = int(reached[0])
        if point == 0 or self.steps[point - 1] == 0:
            return float(self.steps[point])
        below, above = mean[point - 1], mean[point]
        log_before, log_after = np.log(self.steps[point - 1 : point + 1])
        fraction = (target - below) / (above - below)
        return float(np.exp(log_before + fraction * (log_after - log_before)))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Curves by method."""

    family: str
    curves: dict[str, Curve]
    budget: int
    """The environment steps that the others had for a task."""
    settings: dict[str, Any]
    """Seed, tasks, PPO's settings, the runs compared and versions."""

    def factors(self, method: str) -> dict[str, float]:
        """Return how many times the steps of a meta-learner others need for the same return.

        Args:
            method: a key of `curves`, of a meta-learner.
        """
        meta = self.curves[method]
        cost, target = meta.steps[meta.asked], float(meta.returns[:, :, meta.asked].mean())
        return {
            name: curve.reaches(target) / cost
            for name, curve in self.curves.items()
            if name != method and len(curve.steps) > 1
        }

    def answer(self) -> str:
        """Return what each meta-learner saves, a line each."""
        return "\n".join(self._saving(name) for name, curve in self.curves.items() if curve.asked)

    def _saving(self, method: str) -> str:
        """Return what one meta-learner saves, in words."""
        meta = self.curves[method]
        cost, target = int(meta.steps[meta.asked]), meta.returns[:, :, meta.asked].mean()
        parts = []
        for name, factor in self.factors(method).items():
            if self.curves[name].asked:
                continue
            most = int(self.curves[name].steps[-1])
            if factor == 0.0:
                parts.append(f"{name} reaches as much before its first step")
            elif math.isfinite(factor):
                parts.append(f"{name} needs {factor:,.1f} times as many")
            else:
                parts.append(
                    f"{name} does not get there in {most:,}, {most / cost:,.0f} times as many"
                )
        return (
            f"{method}: a return of {target:.1f} for {cost:,} environment steps of the task; "
            f"{'; '.join(parts)}."
        )

    def __str__(self) -> str:
        rows = [f"{self.family}: return against environment steps on the new task"]
        for name, curve in self.curves.items():
            rows.append(f"  {name}")
            rows += [
                f"    {steps:>10,}  {value}"
                for steps, value in zip(curve.steps, curve.intervals(), strict=True)
            ]
        return "\n".join([*rows, self.answer()])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as in `comparison.json`."""
        return {
            "family": self.family,
            "answer": self.answer(),
            "budget": self.budget,
            "curves": {
                name: {"steps": curve.steps.tolist(), "returns": curve.returns.tolist()}
                for name, curve in self.curves.items()
            },
            "settings": self.settings,
        }

    def save(self, folder: str | Path, name: str = "comparison") -> list[Path]:
        """Write the numbers as `comparison.json`; return the path, as a list of one.

        `metarl.showing.figures.save` writes the figure too.

        Args:
            folder: where to.
            name: of the file, without its ending.
        """
        numbers = Path(folder) / f"{name}.json"
        write_json(numbers, self.to_dict(), indent=None)
        return [numbers]


def joined(curves: list[tuple[str, Curve]]) -> dict[str, Curve]:
    """Return one curve a method: curves of the same name are its runs, which are averaged.

    Args:
        curves: by method, with as many points where the method is the same. Where robots fall, a
            rollout takes fewer environment steps in one run than in another: the mean is kept.
    """
    by_name: dict[str, list[Curve]] = {}
    for name, curve in curves:
        by_name.setdefault(name, []).append(curve)
    return {
        name: Curve(
            steps=np.mean([curve.steps for curve in runs], axis=0).round().astype(np.int64),
            returns=np.concatenate([curve.returns for curve in runs]),
            asked=runs[0].asked,
        )
        for name, runs in by_name.items()
    }
