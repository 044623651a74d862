"""The settings that measurements share: declared once, with their defaults and descriptions.

Each dataclass is the command line of its command, whose help is made of the fields' docstrings, and
what the Python functions build from their keyword arguments. The `...Keywords` are the same fields
for type checkers: `Unpack` takes no dataclass.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from metarl.envs.distributions import Split
from metarl.envs.nearest import nearest
from metarl.envs.plain import plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class TaskSettings:
    """New tasks to measure on."""

    tasks: int = 40
    """How many tasks to draw."""
    seed: int = 0
    """Decides tasks, start states and exploration."""


@dataclass(frozen=True)
class AdaptationSettings(TaskSettings):
    """How far a learner adapts to new tasks."""

    steps: int = 3
    """Inner steps: gradient steps of the adaptation. Of a policy with a context the first one is
    what it remembers of the rollouts, without a gradient."""
    halve: bool = False
    """Halve the inner step size after the first step, as Finn et al. (2017) do in their tests."""


@dataclass(frozen=True)
class EvaluationSettings(AdaptationSettings):
    """What one table of returns is of."""

    rollouts: int = 20
    """Rollouts of each task that each inner step learns from."""
    split: Split = "test"
    """Where tasks are drawn from: the training range, apart from the draws of training (test), or
    as in training (train), or outside the training range (extrapolate)."""


@dataclass(frozen=True)
class ComparisonSettings(TaskSettings):
    """What the methods of a comparison may use."""

    budget: int = 200_000
    """Environment steps that the other methods have for each task."""
    workers: int | None = None
    """Processes for Stable-Baselines3's PPO; one a core when left out."""


class AdaptationKeywords(TypedDict, total=False):
    """Fields of `EvaluationSettings` that everything which adapts on new tasks takes."""

    seed: int
    steps: int
    halve: bool
    rollouts: int


class EvaluationKeywords(AdaptationKeywords, total=False):
    """Fields of `EvaluationSettings`; `tasks`, which may be a table, is an argument of its own."""

    split: Split


class ComparisonKeywords(TypedDict, total=False):
    """Fields of `ComparisonSettings`; `tasks`, which may be a table, is an argument of its own."""

    seed: int
    budget: int
    workers: int | None


S = TypeVar("S", bound="DataclassInstance")


def settings_of(kind: type[S], keywords: Mapping[str, Any]) -> S:
    """Return a settings dataclass with some fields given and the others at their defaults.

    Args:
        kind: the dataclass.
        keywords: values by field.

    Raises:
        TypeError: for a name that is no field, with the nearest one, as Python has it for an
            unexpected keyword argument.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    for name in keywords:
        if name not in known:
            raise TypeError(f"no setting {name!r}{nearest(name, known)}")
    return kind(**{name: plain(value) for name, value in keywords.items()})
