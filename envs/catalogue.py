"""The catalogue of named families, each made by its name, with a preset and changed fields.

The families stand in `gymnasium_families`, `fetch_families`, `menagerie_families` and
`metaworld_families`; `published_presets` has the variants of them that papers have published.
"""

from dataclasses import fields
from typing import Any

from metarl.envs import (
    fetch_families,
    gymnasium_families,
    menagerie_families,
    metaworld_families,
)
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.metaworld_families import is_metaworld
from metarl.envs.nearest import check_preset, nearest
from metarl.envs.published_presets import PRESETS
from metarl.envs.task_family import TaskFamily


def families() -> tuple[str, ...]:
    """Return the names of the families on robots that `make` knows.

    Fetch's only where gymnasium-robotics is installed, and those on robots of MuJoCo Menagerie only
    where there are models of them. `make` knows those of `metaworld_families` besides, which are
    third-party environments.
    """
    installed = (*fetch_families.families(), *menagerie_families.families())
    return (*gymnasium_families.ENTRIES, *installed)


def lacking() -> dict[str, str]:
    """Return the families that `make` would know with an extra, and how to install it."""
    return {
        **dict.fromkeys(fetch_families.missing(), fetch_families.HOW),
        **dict.fromkeys(menagerie_families.missing(), menagerie_families.HOW),
    }


def knows(name: str) -> bool:
    """Return whether `make` makes a family of this name, or says what to install for it."""
    return is_metaworld(name) or name in families()


def presets(name: str) -> tuple[str, ...]:
    """Return the published variants of a family that `make` knows."""
    if is_metaworld(name):
        return metaworld_families.presets(name)
    if name in fetch_families.ENTRIES:
        return fetch_families.presets(name)
    return tuple(PRESETS.get(name, {}))


def make(name: str, *, preset: str | None = None, **changes: Any) -> TaskFamily | Any:  # noqa: ANN401
    """Return a family by name.

    Args:
        name: one of `families()`, or of Meta-World's, which are a `ForeignFamily`.
        preset: a published variant of it, such as `maml2017`.
        changes: fields of the family to change, such as `horizon=200`.

    Raises:
        ValueError: for an unknown name, preset or field; the message lists what there is.
    """
    preset = preset or "default"
    if is_metaworld(name):
        return _changed(metaworld_families.make(name, preset), changes)
    if name in fetch_families.ENTRIES:
        return _changed(fetch_families.make(name, preset), changes)
    if name in gymnasium_families.ENTRIES:
        family = gymnasium_families.ENTRIES[name]()
    elif name in menagerie_families.ENTRIES:
        family = menagerie_families.make(name)
    else:
        raise ValueError(f"no family {name!r}{nearest(name, families())}")
    check_preset(name, preset, presets(name))
    if preset != "default":
        family = family.replace(preset=preset, **PRESETS[name][preset])
    return _changed(family, changes)


def made(family: TaskFamily | str, preset: str | None = None, **changes: Any) -> TaskFamily:  # noqa: ANN401
    """Return the family that environments are made of, by name or with some fields changed.

    Args:
        family: as it is, or its name.
        preset: a published variant, of one that is named; of a family as it is, its own or none.
        changes: fields of the family to change.

    Raises:
        ValueError: for an unknown name, preset or field, or for a family that is made of
            third-party environments.
    """
    if isinstance(family, str):
        named = make(family, preset=preset, **changes)
        if isinstance(named, TaskFamily):
            return named
        raise ValueError(
            f"{family} is made of third-party environments: metarl.envs.make({family!r})"
            f".environment(task) is the environment of a task"
        )
    if preset not in (None, "default", family.preset):
        raise ValueError(
            f"preset={preset!r} is of a family that is named, and {family.name} is given as it is, "
            f"with the preset {family.preset!r}: metarl.envs.make(name, preset={preset!r})"
        )
    return family.replace(**changes) if changes else family


def _changed(
    family: TaskFamily | ForeignFamily, changes: dict[str, Any]
) -> TaskFamily | ForeignFamily:
    """Return a family with some fields changed; ValueError for one that it does not have."""
    known = [f.name for f in fields(family) if f.init and f.name not in ("name", "preset")]
    for field in changes:
        if field not in known:
            raise ValueError(f"a family has no field {field!r}{nearest(field, known)}")
    return family.replace(**changes)
