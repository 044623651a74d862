"""Distributions of task parameters.

A distribution names its columns of the task table, draws rows for them, and says which values
belong to it. It may declare a second range, `extrapolate`, outside the first: tasks that are never
trained on and are meant to be unlike the training tasks (faster, heavier, further away).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metarl.envs.plain import make_plain

Split = Literal["train", "test", "extrapolate"]
SPLITS: tuple[str, ...] = get_args(Split)
Array = NDArray[np.float64]


class Distribution(ABC):
    """Draws one or more named task parameters."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The parameters this distribution draws, in column order."""

    @property
    @abstractmethod
    def extrapolates(self) -> bool:
        """Whether there is a range outside the training range to draw from."""

    @abstractmethod
    def sample(self, generator: np.random.Generator, count: int, split: Split) -> Array:
        """Draw `count` rows, [count, len(names)], for one split of the tasks.

        Training and test tasks of a continuous distribution differ only in being other draws from
        it; the split `extrapolate` is drawn only from distributions that extrapolate.
        """

    @abstractmethod
    def contains(self, values: Array) -> NDArray[np.bool_]:
        """Whether each row of `values`, [count, len(names)], lies in either range."""

    @abstractmethod
    def coordinates(self, values: Array) -> Array:
        """Points whose distance tells how different tasks are, [count, coordinate].

        The training range of each parameter has diameter 1; of many (`LogUniforms`), each one's.
        Ratios count where a parameter is drawn log-uniformly, whole turns wrap, and any two values
        of a choice are equally far apart.
        """

    @abstractmethod
    def describe(self) -> str:
        """The ranges in words, for messages and tables."""


@dataclass(frozen=True)
class Uniform(Distribution):
    """A number drawn uniformly from [low, high], or log-uniformly."""

    name: str
    low: float
    high: float
    unit: str = ""
    extrapolate: tuple[float, float] | None = None
    log: bool = False

    def __post_init__(self) -> None:
        make_plain(self)
        for low, high in ((self.low, self.high), self.extrapolate or (self.low, self.high)):
            _check_range(self.name, low, high, positive=self.log)
        if self.extrapolate:
            _check_apart(self.name, (self.low, self.high), self.extrapolate)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def extrapolates(self) -> bool:
        return self.extrapolate is not None

    def sample(self, generator: np.random.Generator, count: int, split: Split) -> Array:
        outside = self.extrapolate if split == "extrapolate" else None
        low, high = outside or (self.low, self.high)
        if self.log:
            drawn = np.exp(generator.uniform(np.log(low), np.log(high), (count, 1)))
            return np.clip(drawn, low, high)  # exp(log(high)) may exceed high by rounding
        return generator.uniform(low, high, (count, 1))

    def contains(self, values: Array) -> NDArray[np.bool_]:
        value = values[:, 0]
        inside = (self.low <= value) & (value <= self.high)
        if self.extrapolate:
            inside |= (self.extrapolate[0] <= value) & (value <= self.extrapolate[1])
        return inside

    def coordinates(self, values: Array) -> Array:
        if self.unit == "rad" and np.isclose(self.high - self.low, 2.0 * np.pi):
            # a whole turn: points of a circle of diameter 1, so that 0 and 2 pi are the same task
            return np.concatenate([np.cos(values), np.sin(values)], axis=1) / 2.0
        low, high, value = self.low, self.high, values
        if self.log:
            low, high, value = np.log(low), np.log(high), np.log(values)
        return (value - low) / (high - low if high > low else 1.0)

    def describe(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        text = f"{self.name} in {self.low:g} to {self.high:g}{unit}"
        if self.extrapolate:
            text += f" (extrapolate: {self.extrapolate[0]:g} to {self.extrapolate[1]:g})"
        return text


@dataclass(frozen=True)
class LogUniforms(Distribution):
    """Many numbers of a kind, all drawn log-uniformly from [low, high], independently."""

    kind: str
    """What they scale, in words."""
    elements: tuple[str, ...]
    """The parameters' names."""
    low: float
    high: float

    def __post_init__(self) -> None:
        make_plain(self)
        _check_range(self.kind, self.low, self.high, positive=True)

    @property
    def names(self) -> tuple[str, ...]:
        return self.elements

    @property
    def extrapolates(self) -> bool:
        return False

    def sample(self, generator: np.random.Generator, count: int, split: Split) -> Array:
        bounds = np.log(self.low), np.log(self.high)
        drawn = np.exp(generator.uniform(*bounds, (count, len(self.elements))))
        return np.clip(drawn, self.low, self.high)  # exp(log(high)) may exceed high by rounding

    def contains(self, values: Array) -> NDArray[np.bool_]:
        inside = (self.low <= values) & (values <= self.high)
        return np.asarray(inside.all(axis=1))

    def coordinates(self, values: Array) -> Array:
        low, high = np.log(self.low), np.log(self.high)
        return (np.log(values) - low) / max(high - low, 1e-12)

    def describe(self) -> str:
        return (
            f"{len(self.elements)} scales of {self.kind}, each in {self.low:.2g} to {self.high:.2g}"
        )


@dataclass(frozen=True)
class Choice(Distribution):
    """One of a few values, each as likely as the others."""

    name: str
    values: tuple[float, ...]
    extrapolate: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        make_plain(self)
        if not self.values:
            raise ValueError(f"{self.name} needs at least one value to choose from")
        for choices in (self.values, self.extrapolate):
            if not isinstance(choices, tuple) or not all(
                isinstance(v, int | float) for v in choices
            ):
                raise ValueError(
                    f"{self.name} must be chosen from a tuple of numbers, got {choices!r}; number "
                    f"what has no number"
                )
        every = [*self.values, *self.extrapolate]
        if len(set(every)) < len(every):
            raise ValueError(f"{self.name} has a value twice: {', '.join(f'{v:g}' for v in every)}")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def extrapolates(self) -> bool:
        return bool(self.extrapolate)

    def sample(self, generator: np.random.Generator, count: int, split: Split) -> Array:
        values = self.extrapolate if split == "extrapolate" else self.values
        return generator.choice(values, (count, 1))

    def contains(self, values: Array) -> NDArray[np.bool_]:
        return np.asarray(self._chosen(values).any(axis=1))

    def coordinates(self, values: Array) -> Array:
        return self._chosen(values) / np.sqrt(2.0)  # one-hot vectors are sqrt(2) apart

    def _chosen(self, values: Array) -> NDArray[np.bool_]:
        """Return which choice each value is, [count, choice], as far as float32 tells."""
        return np.isclose(values, self.values + self.extrapolate, rtol=1e-6, atol=0.0)

    def describe(self) -> str:
        text = f"{self.name} one of {', '.join(f'{v:g}' for v in self.values)}"
        if self.extrapolate:
            text += f" (extrapolate: {', '.join(f'{v:g}' for v in self.extrapolate)})"
        return text


@dataclass(frozen=True)
class Signs(Distribution):
    """Several signs, 1 or -1, each combination as likely as the others."""

    signs: tuple[str, ...]
    """The parameters' names."""
    extrapolate: tuple[tuple[float, ...], ...] = ()
    """Combinations that are never in training."""

    def __post_init__(self) -> None:
        make_plain(self)
        for signs in self.extrapolate:
            if len(signs) != len(self.signs) or not set(signs) <= {-1.0, 1.0}:
                raise ValueError(
                    f"a combination of {', '.join(self.signs)} must be {len(self.signs)} numbers, "
                    f"1 or -1 each, got {signs}"
                )
        if not len(self._combinations(outside=False)):
            raise ValueError(f"no combination of {', '.join(self.signs)} is left for training")

    @property
    def names(self) -> tuple[str, ...]:
        return self.signs

    @property
    def extrapolates(self) -> bool:
        return bool(self.extrapolate)

    def sample(self, generator: np.random.Generator, count: int, split: Split) -> Array:
        return generator.choice(self._combinations(split == "extrapolate"), count)

    def contains(self, values: Array) -> NDArray[np.bool_]:
        return np.asarray((np.abs(values) == 1.0).all(axis=1))

    def coordinates(self, values: Array) -> Array:
        # corners of a cube of diameter 1: tasks differ by how many signs do
        return values / (2.0 * np.sqrt(len(self.signs)))

    def describe(self) -> str:
        text = f"{', '.join(self.signs)} each 1 or -1"
        if self.extrapolate:
            left_out = "; ".join(" ".join(f"{s:g}" for s in signs) for signs in self.extrapolate)
            text += f" (extrapolate: {left_out})"
        return text

    def _combinations(self, outside: bool) -> Array:
        """Return the combinations of the training range or those outside it, [n, sign]."""
        every = product((1.0, -1.0), repeat=len(self.signs))
        return np.array([s for s in every if (s in self.extrapolate) == outside])


@dataclass(frozen=True)
class Disc(Distribution):
    """A point (x, y) [m] drawn uniformly from a disc around the origin."""

    radius: float
    extrapolate: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        _check_range("radius", 0.0, self.radius)
        if self.extrapolate:
            _check_range("radius", *self.extrapolate)
            _check_apart("radius", (0.0, self.radius), self.extrapolate)

    @property
    def names(self) -> tuple[str, ...]:
        return ("x", "y")

    @property
    def extrapolates(self) -> bool:
        return self.extrapolate is not None

    def sample(self, generator: np.random.Generator, count: int, split: Split) -> Array:
        outside = self.extrapolate if split == "extrapolate" else None
        low, high = outside or (0.0, self.radius)
        # the area within r grows as r^2, so r^2 is drawn uniformly
        radius = np.sqrt(generator.uniform(low**2, high**2, count))
        angle = generator.uniform(0.0, 2.0 * np.pi, count)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    def contains(self, values: Array) -> NDArray[np.bool_]:
        # a point drawn on the rim may lie a rounding error outside it
        distance = np.linalg.norm(values, axis=1)
        low, high = distance * (1.0 - 1e-12), distance * (1.0 + 1e-12)
        inside = low <= self.radius
        if self.extrapolate:
            inside |= (self.extrapolate[0] <= high) & (low <= self.extrapolate[1])
        return inside

    def coordinates(self, values: Array) -> Array:
        return values / (2.0 * self.radius)

    def describe(self) -> str:
        text = f"x, y within {self.radius:g} m of the origin"
        if self.extrapolate:
            text += f" (extrapolate: {self.extrapolate[0]:g} to {self.extrapolate[1]:g} m)"
        return text


def _check_apart(name: str, training: tuple[float, float], other: tuple[float, float]) -> None:
    is_inside = training[0] < other[0] == other[1] < training[1]
    if is_inside or max(training[0], other[0]) < min(training[1], other[1]):
        raise ValueError(
            f"{name} extrapolates to {other[0]:g} to {other[1]:g}, which must be outside the "
            f"training range of {training[0]:g} to {training[1]:g}"
        )


def _check_range(name: str, low: float, high: float, positive: bool = False) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"{name} needs a range from low to high, got {low:g} to {high:g}")
    if positive and low <= 0.0:
        raise ValueError(f"{name} must be positive to be drawn log-uniformly, got {low:g}")
