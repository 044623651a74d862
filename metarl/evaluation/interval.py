"""Means and interquartile means with confidence intervals."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"

    def to_dict(self) -> dict[str, Any]:
        """Return it as `{"mean": ..., "ci95": [low, high]}`."""
        return {"mean": self.mean, "ci95": [self.low, self.high]}


def interval(values: NDArray[np.float64]) -> Interval:
    """Return the mean of independent values with Student's 95 % interval.

    Args:
        values: one a task, at least 2.
    """
    from scipy import stats

    mean = float(np.mean(values))
    error = float(stats.sem(values))
    margin = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Interval(mean, mean - margin, mean + margin)


def interquartile(values: NDArray[np.float64], *, resamples: int = 2000) -> Interval:
    """Return the mean of the middle half of all values with a bootstrap 95 % interval.

    Robust to a few tasks that go very well or very badly (Agarwal et al. 2021, "Deep reinforcement
    learning at the edge of the statistical precipice"). Tasks are drawn again, and whole runs where
    there are several, since a run's tasks share its luck. A bootstrap over few runs is narrow:
    Student's interval of the mean tells more about differences between them.

    Args:
        values: of every task in every run, [run, task]; at least 2 tasks.
        resamples: how many.
    """
    from scipy import stats

    runs, tasks = values.shape
    rng = np.random.default_rng(0)
    drawn_runs = rng.integers(runs, size=(resamples, runs, 1))
    drawn_tasks = rng.integers(tasks, size=(resamples, 1, tasks))
    again = values[drawn_runs, drawn_tasks].reshape(resamples, -1)
    middles = stats.trim_mean(again, 0.25, axis=1)
    low, high = np.quantile(middles, (0.025, 0.975))
    middle = stats.trim_mean(values, 0.25, axis=None)
    return Interval(float(middle), float(low), float(high))
