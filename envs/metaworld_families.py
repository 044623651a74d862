"""Meta-World's meta-learning benchmarks as families: `MetaWorldML1-<environment>`, ML10 and ML45.

The protocol of Yu et al. 2019 ("Meta-World", version 3): the goal is hidden, an environment has 50
goals of training and 50 others, an episode has 500 steps and succeeds when any of them does. Of
ML10 and ML45, five environments are never trained on: the split `extrapolate`. Meta-World is
installed apart, and read when a family is made, never at import.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import Array, Distribution, Split
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.metaworld_environment import (
    GOALS,
    HORIZON,
    Goals,
    SawyerArm,
    available,
    draw_goals,
)
from metarl.envs.nearest import check_preset, nearest

HOW = "pip install --no-deps metaworld==3.1.1 (without --no-deps it replaces MuJoCo by 3.3.0)"
"""How to install Meta-World."""

SUMMARY = "MetaWorldML10, MetaWorldML45, and MetaWorldML1-reach, -push, ... of 50 environments"
"""The families, in short."""

ONE_HOT = "one-hot"
"""The preset of ML10 and ML45 in which the observation tells which environment it is."""

_ML1 = "MetaWorldML1-"
_SEVERAL = {"MetaWorldML10": "ML10_V3", "MetaWorldML45": "ML45_V3"}
_SEED = 0
"""Of the goals: what is called `seed` in `metaworld.ML1(name, seed)`."""


def is_metaworld(name: str) -> bool:
    """Return whether a name is that of a family of Meta-World, known or not."""
    return name.startswith("MetaWorld")


def families() -> tuple[str, ...]:
    """Return the families that there are; none where Meta-World is not installed."""
    if not available():
        return ()
    names = import_module("metaworld.env_dict").ALL_V3_ENVIRONMENTS
    return (*(_ML1 + name.removesuffix("-v3") for name in sorted(names)), *_SEVERAL)


def presets(name: str) -> tuple[str, ...]:
    """Return the variants of a family."""
    return (ONE_HOT,) if name in _SEVERAL else ()


def make(name: str, preset: str = "default") -> ForeignFamily:
    """Return a family.

    Raises:
        ValueError: for an unknown name or preset, or when Meta-World is not installed; the message
            says how to install it.
    """
    if not available():
        raise ValueError(f"{name} needs Meta-World: {HOW}")
    if name not in families():
        raise ValueError(f"no family {name!r}{nearest(name, families())}")
    check_preset(name, preset, presets(name))
    return _family(name, preset)


@dataclass(frozen=True, eq=False)
class ListedGoals(Distribution):
    """One of a benchmark's environments, and one of the goals that are listed for it."""

    kinds: tuple[str, ...]
    """The environments; those that are never trained on come last."""
    trained: int
    """How many of them are trained on."""
    goals: tuple[Array, ...]
    """Of each, [goal, number]: those of training, then those of tests where there are any."""
    points: tuple[Array, ...]
    """The same as points in a box of diameter 1, [goal, coordinate]."""

    @property
    def names(self) -> tuple[str, ...]:
        """The number of the environment, where there are several, and that of the goal."""
        return ("goal",) if len(self.kinds) == 1 else ("environment", "goal")

    @property
    def extrapolates(self) -> bool:
        """Whether there are environments that are never trained on."""
        return self.trained < len(self.kinds)

    def sample(self, generator: np.random.Generator, count: int, split: Split) -> Array:
        """Draw each environment, and each of its goals, as often as any other."""
        outside = split == "extrapolate"
        first, end = (self.trained, len(self.kinds)) if outside else (0, self.trained)
        kinds = first + _evenly(generator, end - first, count)
        goals = np.zeros(count)
        for kind in np.unique(kinds):
            of_kind = kinds == kind
            goals[of_kind] = _evenly(generator, GOALS, int(of_kind.sum()))
        goals += GOALS * (split == "test")
        return np.stack([kinds, goals][-len(self.names) :], axis=1).astype(np.float64)

    def contains(self, values: Array) -> NDArray[np.bool_]:
        """Whether there are such an environment and goal."""
        kinds, goals = self._columns(values)
        known = (kinds == kinds.astype(int)) & (kinds >= 0) & (kinds < len(self.kinds))
        counts = np.array([len(listed) for listed in self.goals])
        most = counts[np.where(known, kinds, 0).astype(int)]
        return known & (goals == goals.astype(int)) & (goals >= 0) & (goals < most)

    def coordinates(self, values: Array) -> Array:
        """Any two environments are equally far apart, and goals by where they are."""
        width = max(points.shape[1] for points in self.points)
        table = np.zeros((len(values), len(self.kinds) + width))
        for row, (kind, goal) in enumerate(zip(*self._columns(values), strict=True)):
            point = self.points[int(kind)][int(goal)]
            table[row, int(kind)] = 1.0 / np.sqrt(2.0)
            table[row, len(self.kinds) : len(self.kinds) + len(point)] = point
        return table if len(self.kinds) > 1 else table[:, 1:]

    def describe(self) -> str:
        """The environments by number."""
        goals = f"goal one of {GOALS}, in tests one of {GOALS} others"
        if len(self.kinds) == 1:
            return goals
        words = [f"{number} {kind}" for number, kind in enumerate(self.kinds)]
        return (
            f"environment one of {', '.join(words[: self.trained])} "
            f"(extrapolate: {', '.join(words[self.trained :])}); {goals}"
        )

    def _columns(self, values: Array) -> tuple[Array, Array]:
        """Return the environment and the goal of each row."""
        return (values[:, 0] if len(self.kinds) > 1 else np.zeros(len(values))), values[:, -1]


def _evenly(generator: np.random.Generator, below: int, count: int) -> NDArray[np.int64]:
    """Return numbers below one, in random order, none of them twice more often than another."""
    rounds = [generator.permutation(below) for _ in range(-(-count // below))]
    return np.concatenate(rounds)[:count]


@cache
def _family(name: str, preset: str) -> ForeignFamily:
    goals = _listed(name)

    def set_task(env: gymnasium.Env, task: dict[str, float]) -> None:
        kind = int(task.get("environment", 0))
        arm: Any = env.unwrapped
        arm.set_task(kind, goals.goals[kind][int(task["goal"])])

    return ForeignFamily(
        name,
        partial(SawyerArm, goals.kinds, tells_kind=preset == ONE_HOT),
        set_task,
        (goals,),
        horizon=HORIZON,
        action_scale=1.0,
        tells_success=True,
        succeeds_at_any_step=True,
        preset=preset,
    )


@cache
def _listed(name: str) -> ListedGoals:
    """Return the benchmark's goals, drawn as Meta-World's own classes draw them."""
    trained, outside = _kinds(name)
    goals = draw_goals(trained, (_SEED, _SEED + 1)) + draw_goals(outside, (_SEED,))
    return ListedGoals(
        (*trained, *outside),
        len(trained),
        tuple(of_kind.drawn for of_kind in goals),
        tuple(_points(of_kind) for of_kind in goals),
    )


def _kinds(name: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the environments that are trained on, and those that never are."""
    if name.startswith(_ML1):
        return (name.removeprefix(_ML1),), ()
    benchmark = getattr(import_module("metaworld.env_dict"), _SEVERAL[name])
    train, test = ([k.removesuffix("-v3") for k in benchmark[part]] for part in ("train", "test"))
    return train, test


def _points(goals: Goals) -> Array:
    """Return goals as points in a box of diameter 1."""
    drawn, low, high = goals
    varied = high > low
    return (drawn - low)[:, varied] / (high - low)[varied] / np.sqrt(varied.sum())
