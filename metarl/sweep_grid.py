"""The grid of a sweep: values of settings as words of the command line, checked."""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from typing import Any

from metarl.envs.nearest import nearest
from metarl.family_option import Variant
from metarl.learner.config import Config, check_types

Point = tuple[tuple[str, str], ...]
"""Settings at a point of the grid, each with its value as it was written."""

_OF_ALL_RUNS = {field.name for field in fields(Variant)} | {"total_timesteps"}
"""Options of a sweep that are no settings, which a grid cannot have."""


def grid_of(words: Iterable[str]) -> list[Point]:
    """Return the points of a grid: every combination of the values of its settings.

    Args:
        words: `NAME=VALUE,VALUE,...` each, such as `inner_lr=0.05,0.1` or `hidden=64x64,100x100`.

    Raises:
        ValueError: for a word of another form, an unknown setting, a value of another type, or what
            is named twice.
    """
    known = [field.name for field in fields(Config) if field.name != "seed"]
    axes: dict[str, list[tuple[str, str]]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.replace("-", "_")
        if not equals or not all(values.split(",")):
            raise ValueError(f"a setting of the grid is NAME=VALUE,VALUE,..., got {word!r}")
        if name in ("seed", "seeds"):
            raise ValueError("seeds are given by --seeds, not by the grid")
        if name in _OF_ALL_RUNS:
            raise ValueError(f"{name} is of all runs: give --{name.replace('_', '-')}")
        if name not in known:
            raise ValueError(f"no setting {name!r}{nearest(name, known)}")
        if name in axes:
            raise ValueError(f"{name} is named twice in the grid")
        known_values = []
        for value in values.split(","):
            parsed = _value(name, value)
            check_types(Config(**{name: parsed}))  # what is allowed depends on the other settings
            if parsed in known_values:
                raise ValueError(f"{name}={value} is named twice in the grid")
            known_values.append(parsed)
        axes[name] = [(name, value) for value in values.split(",")]
    return list(itertools.product(*axes.values()))


def _value(name: str, word: str) -> Any:  # noqa: ANN401
    """Return a setting's value from the command line's word for it.

    It is the word itself where that is of another type, which `check_types` says.
    """
    default = getattr(Config, name)
    try:
        if isinstance(default, tuple):
            return tuple(int(size) for size in word.split("x"))
        if isinstance(default, bool):
            return {"true": True, "false": False}.get(word.lower(), word)
        return type(default)(word)
    except ValueError:
        if isinstance(default, tuple):
            raise ValueError(f"{name} must be sizes such as 64x64, got {word!r}") from None
        return word


def options(settings: Any, names: Collection[str]) -> list[str]:  # noqa: ANN401
    """Return the words that give some fields of these settings to `metarl train`."""
    values = asdict(settings).items()
    return [word for name, value in values if name in names for word in option(name, value)]


def changed(settings: Any) -> set[str]:  # noqa: ANN401
    """Return the names of the fields that differ from their defaults."""
    return {
        field.name for field in fields(settings) if getattr(settings, field.name) != field.default
    }


def option(name: str, value: Any) -> list[str]:  # noqa: ANN401
    """Return the words that give a setting to `metarl train`."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    return [f"--{dashed}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]


def settings_at(point: Point) -> dict[str, Any]:
    """Return the values of settings at a point of the grid."""
    return {name: _value(name, word) for name, word in point}
