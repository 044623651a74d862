"""A reward or an observation that is not a finite number is named where it arises.

Otherwise it would be noticed an iteration later, as parameters that are not finite.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

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
