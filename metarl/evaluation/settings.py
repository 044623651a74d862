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
from metarl.envs.plain import check_seed, plain, whole

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class TaskSettings:
    """New tasks to measure on."""

    tasks: int = 40
    """How many tasks to draw."""
    seed: int = 0
    """Decides tasks, start states and exploration."""

    def check(self) -> None:
        """Check every value but the tasks, which may be given instead.

        Raises:
            ValueError: with the setting's name, its value and what is allowed.
        """
        check_seed(self.seed)


@dataclass(frozen=True)
class AdaptationSettings(TaskSettings):
    """How far a learner adapts to new tasks."""

    steps: int | None = None
    """Inner steps: gradient steps of the adaptation. For a policy trained with a context, without
    gradient steps (siamese), step 1 only fills its memory with the rollouts; gradient steps follow
    from step 2. 3 when left out, 1 for such a policy."""
    halve: bool = False
    """Halve the inner step size after the first step, as Finn et al. (2017) do in their tests."""
    scored: int = 20
    """Rollouts of each task that a step is judged by, where it learns from fewer."""
    deterministic: bool = False
    """Judge the most likely actions, by rollouts that no step learns from."""

    def check(self) -> None:
        """Check every value; see `TaskSettings.check`."""
        super().check()
        whole("scored", self.scored)
        if self.steps is not None:
            whole("steps", self.steps)


@dataclass(frozen=True)
class EvaluationSettings(AdaptationSettings):
    """What one table of returns is of."""

    rollouts: int = 20
    """Rollouts of each task that each inner step learns from."""
    split: Split = "test"
    """Where tasks are drawn from: the training range, apart from the draws of training (test), or
    as in training (train), or outside the training range (extrapolate)."""

    def check(self) -> None:
        """Check every value; see `TaskSettings.check`."""
        super().check()
        whole("rollouts", self.rollouts)


@dataclass(frozen=True)
class TableSettings:
    """Tables of an evaluation, one for each of these."""

    rollouts: tuple[int, ...] = (EvaluationSettings.rollouts,)
    """Rollouts of each task that an inner step learns from; several numbers give a table each."""
    split: tuple[Split, ...] = (EvaluationSettings.split,)
    """New tasks from the training range (test), tasks from outside it (extrapolate), or both; a
    table each."""


@dataclass(frozen=True)
class ChangeSettings:
    """A task that changes in the middle of an episode."""

    change: str | None = None
    """When the task changes and to what: 2.5:direction=-1 is a new direction after 2.5 s; several
    parameters have commas between them; 2.5 alone draws another task for each."""
    memory_window: int | None = None
    """For a changing task: time constant [control steps] with which the policy's memory forgets, in
    addition to forgetting when it notices the change; no such window when left out."""


@dataclass(frozen=True)
class ComparisonSettings(TaskSettings):
    """What the methods of a comparison may use."""

    budget: int = 200_000
    """Environment steps that the other methods have for each task."""
    workers: int | None = None
    """Processes for Stable-Baselines3's PPO; one a core when left out."""

    def check(self) -> None:
        """Check every value but the budget; see `TaskSettings.check`."""
        super().check()
        if self.workers is not None:
            whole("workers", self.workers, 0)


class AdaptationKeywords(TypedDict, total=False):
    """Fields of `EvaluationSettings` that everything which adapts on new tasks takes."""

    seed: int
    steps: int | None
    halve: bool
    scored: int
    deterministic: bool
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
        ValueError: for a value of `TaskSettings` that is not allowed.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    for name in keywords:
        if name not in known:
            raise TypeError(f"no setting {name!r}{nearest(name, known)}")
    settings = kind(**{name: plain(value) for name, value in keywords.items()})
    if isinstance(settings, TaskSettings):
        settings.check()
    return settings
