"""`TaskSpace`: which tasks a family has, how they are drawn, and how far apart they are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import SPLITS, Distribution, Split
from metarl.envs.plain import check_seed, require_several
from metarl.envs.tasks import Tasks, which


@dataclass(frozen=True)
class TaskSpace:
    """The product of some distributions, one or more columns of the task table each."""

    family: str
    """Name of the family whose tasks these are, for error messages."""
    distributions: tuple[Distribution, ...]
    """In the order of the task table's columns."""

    def __post_init__(self) -> None:
        require_several(f"the distributions of {self.family}", self.distributions, Distribution)
        if len(set(self.names)) != len(self.names):
            raise ValueError(
                f"task parameters must have different names, got {', '.join(self.names)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the task parameters, in column order."""
        return tuple(name for distribution in self.distributions for name in distribution.names)

    @property
    def extrapolates(self) -> bool:
        """Whether any parameter has a range outside its training range."""
        return any(distribution.extrapolates for distribution in self.distributions)

    def sample(self, count: int, *, seed: int | tuple[int, ...], split: Split = "train") -> Tasks:
        """Draw tasks; the result depends on the arguments alone.

        Args:
            count: how many tasks.
            seed: a non-negative number, or several, such as (seed, iteration).
            split: `train`; `test`, other draws from the same distributions; or `extrapolate`, where
                every parameter that has a range outside its training range is drawn from there.

        Raises:
            ValueError: for an unknown split, fewer than one task, a negative seed, `extrapolate`
                where no parameter has such a range, or a distribution that draws another shape.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if count < 1:
            raise ValueError(f"at least 1 task is needed, got {count}")
        words = np.atleast_1d(np.asarray(seed, dtype=object))
        for word in words:
            check_seed(word)
        outside = split == "extrapolate"
        if outside and not self.extrapolates:
            raise ValueError(f"{self.family} declares no range outside its training range")
        # the split's number comes first in the seed: equal seeds of two splits share no stream
        generator = np.random.default_rng([SPLITS.index(split), *words])
        columns = [
            distribution.sample(
                generator, count, "train" if outside and not distribution.extrapolates else split
            )
            for distribution in self.distributions
        ]
        for distribution, column in zip(self.distributions, columns, strict=True):
            expected = (count, len(distribution.names))
            if np.shape(column) != expected:
                raise ValueError(
                    f"{type(distribution).__name__}.sample must return {list(expected)}, a row of "
                    f"{', '.join(distribution.names)} for each task, got {list(np.shape(column))}"
                )
        values = np.concatenate(columns, axis=1) if columns else np.zeros((count, 0))
        return Tasks(self.names, values)

    def check(self, task: Tasks | Mapping[str, float]) -> Tasks:
        """Return one task or a table of them as a table with this space's columns in order.

        Raises:
            TypeError: for something else than a mapping or a table.
            ValueError: when parameters are missing, unknown, or outside both of their ranges.
        """
        if not isinstance(task, Tasks | Mapping):
            names = ", ".join(f"{name!r}: ..." for name in self.names)
            raise TypeError(
                f"a task of {self.family} is {{{names}}} or a row of Tasks, got {task!r}"
            )
        tasks = task if isinstance(task, Tasks) else Tasks.from_dicts([task])
        if set(tasks.names) != set(self.names):
            raise ValueError(
                f"{self.family} has the task parameters {', '.join(self.names) or '(none)'}; "
                f"got {', '.join(tasks.names) or '(none)'}"
            )
        for distribution in self.distributions:
            columns = _columns(distribution, tasks)
            outside = np.flatnonzero(~distribution.contains(columns))
            if len(outside):
                pairs = zip(distribution.names, columns[outside[0]], strict=True)
                values = ", ".join(f"{name} {value:g}" for name, value in pairs)
                raise ValueError(
                    f"{values} is outside the range: {distribution.describe()}"
                    f"{which(int(outside[0]), len(tasks))}"
                )
        order = [tasks.names.index(name) for name in self.names]
        return Tasks(self.names, tasks.values[:, order])

    def coordinates(self, task: Tasks | Mapping[str, float]) -> NDArray[np.float64]:
        """Return points whose Euclidean distance tells how different tasks are.

        The training range of each parameter has diameter 1; see `Distribution.coordinates`.

        Returns:
            [task, coordinate], dimensionless.

        Raises:
            ValueError: as `check`.
        """
        tasks = self.check(task)
        parts = [
            distribution.coordinates(_columns(distribution, tasks))
            for distribution in self.distributions
        ]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(tasks), 0))

    def describe(self) -> list[str]:
        """Return each distribution's parameters and ranges in words."""
        return [distribution.describe() for distribution in self.distributions]


class HasTaskSpace(ABC):
    """What a family says about its tasks, read off its `space`."""

    @property
    @abstractmethod
    def space(self) -> TaskSpace:
        """The tasks of the family."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the task parameters."""
        return self.space.names

    @property
    def extrapolates(self) -> bool:
        """Whether there are tasks to draw from outside the training range."""
        return self.space.extrapolates

    def sample_tasks(
        self, count: int, *, seed: int | tuple[int, ...], split: Split = "train"
    ) -> Tasks:
        """Draw tasks; the same count, seed and split give the same tasks everywhere.

        Args:
            count: how many tasks.
            seed: a non-negative number, or several, such as (seed, iteration).
            split: `train`; `test`, from the same distribution but other draws; or `extrapolate`,
                from outside the training range.

        Raises:
            ValueError: for an unknown split, or one that the family does not have.
        """
        return self.space.sample(count, seed=seed, split=split)

    def task(self, task: Tasks | Mapping[str, float]) -> Tasks:
        """Return `task` as a checked table.

        Raises:
            ValueError: when parameters are missing, unknown, or outside the declared range.
        """
        return self.space.check(task)

    def coordinates(self, tasks: Tasks | Mapping[str, float]) -> NDArray[np.float64]:
        """Return points whose distance tells how different tasks are, [task, coordinate].

        The training range of each parameter has diameter 1; see `Distribution.coordinates`.
        """
        return self.space.coordinates(tasks)


def _columns(distribution: Distribution, tasks: Tasks) -> NDArray[np.float64]:
    """Return a distribution's own columns of a table, [task, len(distribution.names)]."""
    return np.stack([tasks[name] for name in distribution.names], axis=1)
