"""Rewards and observations that are not finite are reported in the step that produced them.

Otherwise they would be noticed an iteration later, as parameters that are not finite. In
third-party environments they end the episode, as diverging physics does in metarl's own.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from metarl.envs.family import Result

_LARGEST = np.finfo(np.float32).max
"""Rollouts are in float32: what is larger would be infinite there."""

_SHOWN = 12
"""Task parameters that a message shows at most."""


def not_finite(
    family: str,
    what: str,
    value: float,
    sim: int,
    tasks: Mapping[str, NDArray[np.float64]] | None,
) -> NoReturn:
    """Raise ValueError for a number of one simulation that is not finite.

    Args:
        family: its name.
        what: the number, and which function returned it.
        value: nan or an infinity.
        sim: the simulation's index.
        tasks: columns of the simulations' tasks, [sim] each; None before they have any.
    """
    task = {name: float(column[sim]) for name, column in (tasks or {}).items()}
    shown = ", ".join(f"{name!r}: {value!r}" for name, value in list(task.items())[:_SHOWN])
    rest = f", and {len(task) - _SHOWN} more" if len(task) > _SHOWN else ""
    raise ValueError(
        f"{family}: {what} is {value} in simulation {sim}, whose physics did not fail; "
        f"its task is {{{shown}{rest}}}"
    )


def first_not_finite(values: NDArray[np.float64], rows: NDArray[np.bool_]) -> Sequence[int] | None:
    """Return the index of the first element that is not finite, among some rows; None without.

    Args:
        values: [sim] or [sim, column].
        rows: the rows that count, [sim].
    """
    if np.isfinite(values).all():
        return None
    bad = ~np.isfinite(values)
    bad[~rows] = False
    where = np.argwhere(bad)
    return where[0].tolist() if len(where) else None


def require_finite_reward(
    family: str,
    goal: str,
    reward: NDArray[np.float64],
    stepped: NDArray[np.bool_],
    tasks: Mapping[str, NDArray[np.float64]] | None,
) -> None:
    """Check a goal's reward of a step: one finite number of each simulation, or one for all.

    Args:
        family: its name.
        goal: its name.
        reward: as the goal returned it.
        stepped: the simulations whose reward counts, [sim].
        tasks: see `not_finite`.

    Raises:
        ValueError: for another shape, or a number that is not finite.
    """
    count = len(stepped)
    if np.ndim(reward) > 1 or np.size(reward) not in (1, count):
        raise ValueError(
            f"the reward of the goal {goal!r} must be [{count}], one of each simulation, "
            f"got {list(np.shape(reward))}"
        )
    rewards = np.broadcast_to(reward, (count,))
    where = first_not_finite(rewards, stepped)
    if where:
        what = f"the reward of the goal {goal!r}"
        not_finite(family, what, float(rewards[where[0]]), where[0], tasks)


def require_finite_action(action: NDArray[np.floating], active: NDArray[np.bool_] | None) -> None:
    """Check that all actions are finite numbers.

    Args:
        action: [sim, action].
        active: the simulations that are stepped, [sim]; None for all.

    Raises:
        ValueError: with the first one that is not, if its simulation is stepped.
    """
    if np.isfinite(action).all():
        return
    bad = ~np.isfinite(action).all(axis=1)
    if active is None or (bad & active).any():
        sim, number = np.argwhere(~np.isfinite(action))[0]
        raise ValueError(
            f"action of simulation {sim} is not finite: number {number} is {action[sim, number]}"
        )


def without_bad_numbers(
    result: Result, before: NDArray, active: NDArray[np.bool_]
) -> tuple[Result, NDArray[np.bool_]]:
    """Return a step's result with an end to the episodes that blew up in it, and which, [sim].

    They end with what was observed before and a reward of 0. A number that is not finite would
    reach gradients even where its weight is 0: 0 * NaN is NaN.

    Args:
        result: of the step.
        before: the observations before it, [sim, observation].
        active: which simulations were stepped, [sim].
    """
    seen, earned = (np.abs(part) <= _LARGEST for part in (result.observation, result.reward))
    if seen.all() and earned.all() and active.all():
        return result, np.zeros_like(active)
    fails = ~(seen.all(-1) & earned)
    kept = fails | ~active  # of one that failed before, the environment would show what it had then
    clean = Result(
        observation=np.where(kept[:, None], before, result.observation),
        reward=np.where(fails, 0.0, result.reward),
        terminated=result.terminated | (fails & active),
        succeeded=result.succeeded & ~fails,
    )
    return clean, fails & active
