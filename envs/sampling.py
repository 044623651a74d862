"""Drawing and checking tasks of a few distributions."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import SPLITS, Distribution, Split
from metarl.envs.tasks import Tasks


def sample_tasks(
    family: str,
    distributions: Sequence[Distribution],
    count: int,
    seed: int | tuple[int, ...],
    split: Split,
) -> Tasks:
    """Draw tasks; the same seed and split give the same tasks everywhere.

    Args:
        family: the name to use in messages.
        distributions: of the parameters, in order.
        count: how many tasks.
        seed: a non-negative number, or several, such as (seed, iteration).
        split: `train`; `test`, from the same distribution but other draws; or `extrapolate`, from
            outside the training range.

    Raises:
        ValueError: for an unknown split, or one that the family does not have.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if count < 1:
        raise ValueError(f"at least one task is needed, got {count}")
    outside = split == "extrapolate"
    if outside and not extrapolates(distributions):
        raise ValueError(f"{family} declares no range outside its training range")
    generator = np.random.default_rng([SPLITS.index(split), *np.atleast_1d(seed)])
    columns = [d.sample(generator, count, outside and d.extrapolates) for d in distributions]
    values = np.concatenate(columns, axis=1) if columns else np.zeros((count, 0))
    return Tasks(parameters(distributions), values)


def checked_tasks(
    family: str, distributions: Sequence[Distribution], task: Tasks | Mapping[str, float]
) -> Tasks:
    """Return `task` as a table with the family's columns in order.

    Raises:
        ValueError: when parameters are missing, unknown, or outside the declared range.
    """
    names = parameters(distributions)
    tasks = task if isinstance(task, Tasks) else Tasks.from_dicts([task])
    if set(tasks.names) != set(names):
        raise ValueError(
            f"{family} has the task parameters {', '.join(names) or '(none)'}; "
            f"got {', '.join(tasks.names) or '(none)'}"
        )
    for distribution in distributions:
        columns = np.stack([tasks[name] for name in distribution.names], axis=1)
        outside = np.flatnonzero(~distribution.contains(columns))
        if len(outside):
            given = ", ".join(f"{name} {tasks[name][outside[0]]:g}" for name in distribution.names)
            raise ValueError(f"{given} is outside the range: {distribution.describe()}")
    order = [tasks.names.index(name) for name in names]
    return Tasks(names, tasks.values[:, order])


def extrapolates(distributions: Sequence[Distribution]) -> bool:
    """Return whether there are tasks to draw from outside the training range."""
    return any(distribution.extrapolates for distribution in distributions)


def coordinates(distributions: Sequence[Distribution], tasks: Tasks) -> NDArray[np.float64]:
    """Return points whose distance tells how different tasks are, [task, coordinate].

    Args:
        distributions: of the parameters, in order.
        tasks: as `checked_tasks` returns them.
    """
    parts = [
        distribution.coordinates(np.stack([tasks[name] for name in distribution.names], axis=1))
        for distribution in distributions
    ]
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(tasks), 0))


def parameters(distributions: Sequence[Distribution]) -> tuple[str, ...]:
    """Return the names of the task parameters."""
    return tuple(name for distribution in distributions for name in distribution.names)
