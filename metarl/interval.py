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
    learning at the edge of the statistical precipice"). The bootstrap is stratified: tasks are
    drawn again within each run.

    Args:
        values: of every task in every run, [run, task]; at least 2 tasks.
        resamples: how many.
    """
    from scipy import stats

    def statistic(*runs: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return stats.trim_mean(np.concatenate(runs, axis=axis), 0.25, axis=axis)

    middle = float(statistic(*values, axis=-1))
    if np.ptp(values) == 0.0:
        return Interval(middle, middle, middle)
    found = stats.bootstrap(
        tuple(values),
        statistic,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(middle, float(found.low), float(found.high))
