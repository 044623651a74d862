"""Means with confidence intervals."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """A mean over tasks and its 95 % confidence interval."""

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
