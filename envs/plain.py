"""NumPy's numbers and arrays, and paths, as Python's own, which JSON and a checkpoint can hold."""

import dataclasses
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value with everything of NumPy's in it as Python's own; others as they are."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(entry) for entry in value)
    return value


def make_plain(instance: Any) -> None:  # noqa: ANN401
    """Make a frozen dataclass's fields Python's own, and those that are sequences tuples.

    When it is made: so it is hashable, and the same as one whose fields were in a file.
    """
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name, None)  # fields with `init=False` may come later
        if isinstance(value, np.generic | np.ndarray | PurePath | list | tuple | range):
            object.__setattr__(instance, field.name, _tuples(plain(value)))


def _tuples(value: Any) -> Any:  # noqa: ANN401
    """Return a list or a range, and those in it, as tuples; others as they are."""
    if type(value) not in (list, tuple, range):
        return value
    return tuple(_tuples(entry) for entry in value)


def require_several(name: str, values: Any, kind: type) -> None:  # noqa: ANN401, a user's
    """Raise TypeError unless values are a tuple or a list of instances of a class."""
    if not isinstance(values, tuple | list) or not all(isinstance(v, kind) for v in values):
        raise TypeError(
            f"{name} must be a tuple of {kind.__name__} objects, got {values!r}; of one, write "
            f"(one,), with a comma"
        )


def whole(name: str, value: Any, least: int = 1) -> int:  # noqa: ANN401, whatever a user gives
    """Return a count as Python's own whole number; NumPy's and 1e6 are counts too.

    Args:
        name: what is counted, for the message.
        value: the count.
        least: what it must be at least.

    Raises:
        ValueError: for another value, with its name and what is allowed.
    """
    value = plain(value)
    # neither infinity nor NaN equals what is left when a part of 1 is cut off
    if type(value) in (int, float) and value >= least and value == value // 1:
        return int(value)
    raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def check_seed(seed: Any) -> None:  # noqa: ANN401
    """Check a seed: it becomes a word of the key of random streams.

    Raises:
        ValueError: for another value, with what is allowed.
    """
    seed = plain(seed)
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number of at least 0 and below 2^63, got {seed!r}")


def check_horizon_and_scale(horizon: int, action_scale: float) -> None:
    """Check what every family has.

    Raises:
        ValueError: with the field's name, its value and what is allowed.
    """
    if not isinstance(horizon, int):
        raise ValueError(f"horizon must be a whole number of steps, got {horizon!r}")
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 step, got {horizon!r}")
    if not (isinstance(action_scale, int | float) and 0.0 < action_scale < float("inf")):
        raise ValueError(f"action_scale must be positive, got {action_scale!r}")
