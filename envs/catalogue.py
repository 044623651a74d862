"""The named families, and the variants of them that papers have published.

Each entry is a composition; a preset says what it changes. Adding a family is adding an entry.
"""

import difflib
from collections.abc import Iterable
from typing import Any

from envs import goals
from envs.dynamics import body_mass
from envs.family import TaskFamily
from envs.robots import Ant, HalfCheetah, Point

_MAML = "Finn et al. 2017, Model-Agnostic Meta-Learning"
_PROMP = "Rothfuss et al. 2018, ProMP"

_ENTRIES = (
    TaskFamily(
        "Point2D",
        Point(),
        goals.position_in_square(0.5, extrapolate=(0.5, 1.0), done_within=0.01),
        f"{_MAML}, 5.1 (2D navigation)",
        horizon=100,
        action_scale=1.0,
    ),
    TaskFamily(
        "HalfCheetahDir",
        HalfCheetah(),
        goals.direction(),
        f"{_MAML}, 5.3; horizon and observation of {_PROMP}",
        control_cost=0.05,
    ),
    TaskFamily(
        "HalfCheetahVel",
        HalfCheetah(),
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{_MAML}, 5.3; range of {_PROMP}",
        control_cost=0.05,
    ),
    TaskFamily(
        "HalfCheetahMass",
        HalfCheetah(),
        goals.forward(),
        "metarl",
        dynamics=(body_mass(0.5, 2.0, extrapolate=(2.0, 3.0)),),
        control_cost=0.05,
    ),
    TaskFamily(
        "AntDir",
        Ant(),
        goals.direction(),
        f"{_PROMP}, without contact forces",
        horizon=200,
        control_cost=0.5,
        survive_bonus=1.0,
    ),
    TaskFamily(
        "AntDir2D",
        Ant(),
        goals.heading(),
        f"{_PROMP}, without contact forces",
        horizon=200,
        control_cost=0.5,
        survive_bonus=1.0,
    ),
    TaskFamily(
        "AntVel",
        Ant(),
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{_MAML}, 5.3, survive bonus 1 in all, without contact forces",
        horizon=200,
        control_cost=0.005,
        survive_bonus=1.05,
    ),
    TaskFamily(
        "AntGoal",
        Ant(),
        goals.position_in_disc(3.0, extrapolate=(3.0, 4.0)),
        f"{_PROMP}, without contact forces; falling ends the episode and forgoes the bonus",
        horizon=200,
        control_cost=0.1,
        survive_bonus=4.0,
    ),
)

CATALOGUE: dict[str, TaskFamily] = {family.name: family for family in _ENTRIES}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "Point2D": {"maml2017": {}},
    "HalfCheetahVel": {
        "maml2017": {
            "goal": goals.velocity(0.0, 2.0, extrapolate=(2.0, 3.0)),
            "horizon": 200,
            "action_scale": 1.0,
        },
        "promp2018": {"horizon": 200, "action_scale": 0.1},
    },
    "HalfCheetahDir": {
        "maml2017": {"horizon": 200, "action_scale": 1.0},
        "promp2018": {"horizon": 100, "action_scale": 0.1},
    },
}
"""Published variants: family -> preset -> what differs from the catalogue's entry."""


def families() -> tuple[str, ...]:
    """Return the names that `make` knows."""
    return tuple(CATALOGUE)


def presets(name: str) -> tuple[str, ...]:
    """Return the published variants of a family that `make` knows."""
    return tuple(PRESETS.get(name, {}))


def make(name: str, *, preset: str | None = None, **changes: Any) -> TaskFamily:  # noqa: ANN401
    """Return a family by name.

    Args:
        name: one of `families()`.
        preset: a published variant of it, such as `maml2017`.
        changes: fields of `TaskFamily` to change, such as `horizon=200`.

    Raises:
        ValueError: for an unknown name, preset or field; the message lists what there is.
    """
    if name not in CATALOGUE:
        raise ValueError(f"no family {name!r}{nearest(name, CATALOGUE)}")
    family = CATALOGUE[name]
    if preset is not None and preset != "default":
        known = PRESETS.get(name, {})
        if preset not in known:
            raise ValueError(f"{name} has no preset {preset!r}{nearest(preset, known)}")
        family = family.replace(preset=preset, **known[preset])
    try:
        return family.replace(**changes)
    except TypeError:
        fields = [f for f in TaskFamily.__dataclass_fields__ if f not in ("name", "preset")]
        unknown = next(field for field in changes if field not in fields)
        raise ValueError(f"a family has no field {unknown!r}{nearest(unknown, fields)}") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest ones, and all there are."""
    known = list(known)
    if not known:
        return "; there are none"
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"{hint} (there are: {', '.join(known)})"
