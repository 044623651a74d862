"""The course of the reward in episodes whose task changes: dip, and the time until it is over."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.evaluation.interval import Interval, interval

SMOOTHED = 0.5
"""What rates are means over [s]: about two strides of a running robot."""
WITHIN = 2.0
"""Time after the change in which the dip is looked for, and recovery counts [s]."""
RECOVERED = 0.9
"""The part of the way from the dip to the new task's steady rate that counts as recovered. A part
of the rate itself (`regained`) says nothing where rewards have another zero: those of
HalfCheetahVel are negative, and a bonus for not falling is most of Hopper's. A part of the way asks
much of a robot that hardly dips: of one that loses a tenth, to be within a hundredth."""


@dataclass(frozen=True, eq=False)
class Course:
    """One policy's rewards in episodes in each of which the task changes once."""

    rewards: NDArray[np.float64]
    """Of every step, [task, time]; 0 once an episode has ended."""
    steady: NDArray[np.float64]
    """Reward of a step in the last half of an episode that was in the new task throughout, [task]:
    the level to recover to."""
    change: int
    """The first step in the new task."""
    dt: float
    """Length of a step [s]."""
    lengths: NDArray[np.integer] | None = None
    """Steps of each episode, [task]; None where all last to the end. Where rewards are below 0, a
    robot that has fallen earns more than one that runs, and yet has not recovered."""

    @property
    def before(self) -> NDArray[np.float64]:
        """Reward of a step in the second before the change, [task]."""
        first = max(0, self.change - self._steps(1.0))
        return self.rewards[:, first : self.change].mean(1)

    @property
    def rates(self) -> NDArray[np.float64]:
        """The smooth rewards after the change, each of a whole half second, [task, time]."""
        return self.smooth[:, self.change + self._window - 1 :]

    @property
    def smooth(self) -> NDArray[np.float64]:
        """Rewards as means of the half second before, but never across the change, [task, time]."""
        sums = np.pad(self.rewards.cumsum(1), ((0, 0), (1, 0)))
        ends = np.arange(1, sums.shape[1])
        begins = np.where(ends > self.change, self.change, 0)
        starts = np.maximum(ends - self._steps(SMOOTHED), begins)
        return (sums[:, ends] - sums[:, starts]) / (ends - starts)

    @property
    def soon(self) -> NDArray[np.float64]:
        """The rates within 2 s after the change, or until the episode's end, [task, time]."""
        return self.rates[:, : max(1, self._steps(WITHIN) - self._window + 1)]

    @property
    def dip(self) -> NDArray[np.float64]:
        """The lowest rate within 2 s after the change, [task]."""
        return self.soon.min(1)

    def seconds(self, part: float = RECOVERED) -> NDArray[np.float64]:
        """Return the time from the change until a part of the way up to the steady rate, [task].

        Infinite for one that does not get there in its episode. The end of the smoothing window
        counts, so that no time is shorter than that.

        Args:
            part: of the way from the dip.
        """
        return self._reaching(self.dip + part * (self.steady - self.dip))

    @property
    def recovered(self) -> float:
        """The share of tasks that recovered within 2 s."""
        return _in_time(self.seconds())

    @property
    def regained(self) -> float | None:
        """The share of tasks that reach nine tenths of the new task's rate within 2 s.

        None where steady rates are not above 0 on average, since a part of them says nothing then.
        A task whose own is not has nothing to come back to, and does not count as regained.
        """
        if self.steady.mean() <= 0.0:
            return None
        worth = np.where(self.steady > 0.0, RECOVERED * self.steady, np.inf)
        return _in_time(self._reaching(worth))

    def means(self) -> dict[str, Interval]:
        """Return the mean rewards of a step before the change, in the dip and 2 s later."""
        values = {"before": self.before, "dip": self.dip, "2 s later": self.soon[:, -1]}
        return {name: interval(each) for name, each in values.items()}

    def columns(self) -> dict[str, str]:
        """Return the cells of the table."""
        return {
            **{f"{name} [95 %]": mean_in_words(mean) for name, mean in self.means().items()},
            "half-way": median_in_words(self.seconds(0.5)),
            "90 %": median_in_words(self.seconds()),
            "90 % in 2 s": share_in_words(self.recovered),
            "of the rate": share_in_words(self.regained),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data; see `times`."""
        return {
            **self.times(),
            **{name.replace(" ", "_"): mean.to_dict() for name, mean in self.means().items()},
            "rewards": self.rewards.mean(0).tolist(),
        }

    def times(self) -> dict[str, Any]:
        """Return how soon tasks recovered, as plain data; a time is null where one never did."""
        return {
            "recovered_within_2_s": self.recovered,
            "regained_within_2_s": self.regained,
            "seconds": [time if np.isfinite(time) else None for time in self.seconds().tolist()],
        }

    def _reaching(self, threshold: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return when the rate first is so high, [task] [s]; infinite if never."""
        rates = self.rates
        there = rates >= threshold[:, None]
        if self.lengths is not None:
            ends = self.change + self._window + np.arange(rates.shape[1])
            there &= ends <= self.lengths[:, None]
        first = self.dt * (there.argmax(1) + self._window)
        return np.where(there.any(1), first, np.inf)

    @property
    def _window(self) -> int:
        return min(self._steps(SMOOTHED), self.rewards.shape[1] - self.change)

    def _steps(self, seconds: float) -> int:
        return max(1, round(seconds / self.dt))


def _in_time(seconds: NDArray[np.float64]) -> float:
    return float((seconds <= WITHIN + 1e-9).mean())


def mean_in_words(mean: Interval) -> str:
    """Return a mean with its interval."""
    return f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"


def share_in_words(share: float | None) -> str:
    """Return a share of tasks in words."""
    return "-" if share is None else f"{share:.0%}"


def median_in_words(seconds: NDArray[np.float64]) -> str:
    """Return the median of times in words."""
    middle = float(np.median(seconds))
    return f"{middle:.2f} s" if np.isfinite(middle) else "never"
