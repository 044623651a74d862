"""The named families, and the variants of them that papers have published.

Each entry composes a robot, a goal, what varies in the body, and costs; a preset says what it
changes of an entry. To add a family, add an entry. Numbers are those of the source that the entry
names, or differ from it as the entry says.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import cache, partial
from typing import Any

from metarl.envs import dynamics, goals, menagerie_families, metaworld_families
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.metaworld_families import is_metaworld
from metarl.envs.nearest import nearest
from metarl.envs.robots import (
    Ant,
    HalfCheetah,
    Hopper,
    Humanoid,
    Point,
    Pusher,
    Reacher,
    Swimmer,
    Walker2d,
    fetch,
)
from metarl.envs.task_family import TaskFamily

_MAML = "Finn et al. 2017 (MAML)"
_PROMP = "Rothfuss et al. 2018 (ProMP)"
_PEARL = "Rakelly et al. 2019 (PEARL)"
_CRIPPLED = "Clavera et al. 2019 (learning to adapt)"
_OURS = "metarl"

_ANT = Ant(contact_forces=False)
_HUMANOID = Humanoid(contact_forces=False)


def _entry(name: str, *parts: Any, **settings: Any) -> tuple[str, Callable[[], TaskFamily]]:  # noqa: ANN401
    """Return a name and a function that makes the family when it is first called, and keeps it."""
    return name, cache(partial(TaskFamily, name, *parts, **settings))


_ENTRIES = (
    _entry(
        "Point2D",
        Point(),
        goals.position_in_square(0.5, extrapolate=(0.5, 1.0), done_within=0.01),
        f"{_MAML}, 5.1",
        horizon=100,
        action_scale=1.0,
    ),
    _entry(
        "Point2DCorner",
        Point(stride=0.2, spread=0.2),
        goals.corner(2.0),
        f"{_PROMP}, point_env_2d_corner, dense reward",
        horizon=100,
        action_scale=1.0,
    ),
    _entry(
        "Point2DSparse",
        Point(),
        goals.position_on_half_circle(1.0, sparse_within=0.2),
        f"{_PEARL}, sparse-point-robot",
        horizon=20,
        action_scale=1.0,
    ),
    _entry(
        "HalfCheetahDir",
        HalfCheetah(),
        goals.direction(),
        f"{_MAML}, 5.3; horizon and observation of {_PROMP}",
        control_cost=0.05,
    ),
    _entry(
        "HalfCheetahVel",
        HalfCheetah(),
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{_MAML}, 5.3; range of {_PROMP}",
        control_cost=0.05,
    ),
    _entry(
        "HalfCheetahMass",
        HalfCheetah(),
        goals.forward(),
        _OURS,
        dynamics=(dynamics.body_mass(0.5, 2.0, extrapolate=(2.0, 3.0)),),
        control_cost=0.05,
    ),
    _entry(
        "HalfCheetahRandParams",
        HalfCheetah(),
        goals.forward(),
        f"{_OURS}, varied as rand_param_envs varies Hopper and Walker2d",
        dynamics=(dynamics.rand_params(HalfCheetah()),),
        control_cost=0.05,
    ),
    _entry(
        "HalfCheetahCrippled",
        HalfCheetah(),
        goals.forward(),
        f"{_CRIPPLED}; actuator 0 never in training, horizon 100 for 1000, "
        "the dead actuator's control costs as any other",
        dynamics=(dynamics.dead_actuator((1, 2, 3, 4, 5), extrapolate=(0,)),),
        control_cost=0.05,
    ),
    _entry(
        "HalfCheetahReversed",
        HalfCheetah(),
        goals.forward(),
        f"{_OURS}; all three actuators reversed never in training",
        dynamics=(
            dynamics.reversed_actuators(
                ("bthigh", "bshin", "fthigh"), extrapolate=((-1.0, -1.0, -1.0),)
            ),
        ),
        control_cost=0.05,
    ),
    _entry(
        "HalfCheetahSlope",
        HalfCheetah(),
        goals.forward(),
        _OURS,
        dynamics=(dynamics.ground_slope(0.3, extrapolate=(0.3, 0.5)),),
        control_cost=0.05,
    ),
    _entry(
        "AntDir",
        _ANT,
        goals.direction(),
        f"{_PROMP}, without contact forces, a fall being below 0.2 m as in Ant-v5",
        horizon=200,
        control_cost=0.5,
        survive_bonus=1.0,
    ),
    _entry(
        "AntDir2D",
        _ANT,
        goals.heading(),
        f"{_PROMP}, without contact forces, a fall being below 0.2 m as in Ant-v5",
        horizon=200,
        control_cost=0.5,
        survive_bonus=1.0,
    ),
    _entry(
        "AntVel",
        _ANT,
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{_MAML}, 5.3, survive bonus 1.05 in all, without contact forces",
        horizon=200,
        control_cost=0.005,
        survive_bonus=1.05,
    ),
    _entry(
        "AntGoal",
        _ANT,
        goals.position_in_disc(3.0, extrapolate=(3.0, 4.0)),
        f"{_PROMP}, without contact forces; falls and their bonus of 4 as in {_MAML}",
        horizon=200,
        control_cost=0.1,
        survive_bonus=4.0,
    ),
    _entry(
        "AntTurn",
        _ANT,
        goals.turn(1.0, extrapolate=(1.0, 1.5)),
        _OURS,
        horizon=200,
        control_cost=0.05,
        survive_bonus=1.0,
    ),
    _entry(
        "AntCrippled",
        _ANT,
        goals.forward(),
        f"{_CRIPPLED}; leg 3 never in training, horizon 200 for 1000",
        dynamics=(dynamics.crippled_leg(_ANT, (0, 1, 2), extrapolate=(3,)),),
        horizon=200,
        survive_bonus=0.05,
        falls=False,
    ),
    _entry(
        "HopperRandParams",
        Hopper(),
        goals.forward(),
        f"rand_param_envs, as used by {_PROMP} and {_PEARL}",
        dynamics=(dynamics.rand_params(Hopper()),),
        horizon=200,
        control_cost=1e-3,
        survive_bonus=1.0,
    ),
    _entry(
        "WalkerRandParams",
        Walker2d(),
        goals.forward(),
        f"rand_param_envs, as used by {_PROMP} and {_PEARL}",
        dynamics=(dynamics.rand_params(Walker2d()),),
        horizon=200,
        control_cost=1e-3,
        survive_bonus=1.0,
    ),
    _entry(
        "Walker2dDir",
        Walker2d(),
        goals.direction(),
        f"{_PROMP}; physics steps per control step as Walker2d-v5",
        horizon=200,
        control_cost=1e-3,
        survive_bonus=1.0,
    ),
    _entry(
        "Walker2dVel",
        Walker2d(),
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{_PROMP}, slower; physics steps per control step as Walker2d-v5",
        horizon=200,
        control_cost=1e-3,
        survive_bonus=3.0,
    ),
    _entry(
        "SwimmerVel",
        Swimmer(),
        goals.velocity(0.1, 0.2, extrapolate=(0.2, 0.3)),
        f"{_PROMP}, with the sign of the reward put right",
        horizon=200,
        action_scale=1.0,
        control_cost=1e-4,
    ),
    _entry(
        "HumanoidDir",
        _HUMANOID,
        goals.direction(1.25),
        f"{_PROMP}, without contact forces",
        horizon=200,
        control_cost=0.1,
        survive_bonus=5.0,
    ),
    _entry(
        "HumanoidDir2D",
        _HUMANOID,
        goals.heading(1.25),
        f"{_PROMP}, without contact forces",
        horizon=200,
        control_cost=0.1,
        survive_bonus=5.0,
    ),
    _entry(
        "ReacherGoal",
        Reacher(sees_target=False),
        goals.reach_in_disc(0.18, extrapolate=(0.18, 0.2)),
        f"{_OURS}; Reacher-v5 with a hidden target",
        horizon=50,
        control_cost=1.0,
    ),
    _entry(
        "PusherGoal",
        Pusher(sees_target=False),
        goals.push_to((0.3, -0.15), (0.6, 0.1), height=-0.323),
        f"{_OURS}; Pusher-v5 with a hidden target",
        horizon=100,
        control_cost=0.1,
    ),
)

CATALOGUE: dict[str, Callable[[], TaskFamily]] = dict(_ENTRIES)

_FETCH_EXTRA = "pip install 'metarl[robots]'"
_FETCH: dict[str, tuple[fetch.Task, float, float, str]] = {
    "FetchReach": ("reach", 0.15, 0.15, "goal in the cube around the gripper's start"),
    "FetchPush": ("push", 0.15, 0.0, "goal on the table"),
    "FetchSlide": ("slide", 0.3, 0.0, "goal on the table, 0.4 m ahead"),
    "FetchPickAndPlace": (
        "pick_and_place",
        0.15,
        0.45,
        "goal up to 0.45 m above the table, evenly, not half of them on it",
    ),
}
"""Family -> surroundings, half the goal's range in x and y, its range in z, remark."""


@cache
def _fetch(name: str) -> TaskFamily:
    """Make a Fetch family. Its model is read first: the goal's range starts from the gripper."""
    task, reach, rise, remark = _FETCH[name]
    robot = fetch.Fetch(task)
    x, y, z = map(float, robot.grip)
    if task == "reach":
        low, high = (x - reach, y - reach, z - rise), (x + reach, y + reach, z + rise)
    else:
        x += 0.4 if task == "slide" else 0.0
        low = (x - reach, y - reach, robot.table)
        high = (x + reach, y + reach, robot.table + rise)
    tracks = ("x", "y", "z") if task == "reach" else ("object_x", "object_y", "object_z")
    return TaskFamily(
        name,
        robot,
        goals.reach_in_box(low, high, tracks=tracks, success_within=0.05),
        f"gymnasium-robotics {name}Dense-v4 with a hidden goal; {remark}",
        horizon=50,
        action_scale=1.0,
    )


_MAML_ANT = {
    "source": f"{_MAML}, 5.3, on Ant-v5's body and control steps",
    "robot": Ant(),
    "action_scale": 1.0,
    "control_cost": 0.005,
    "contact_cost": 5e-4,
    "survive_bonus": 0.05,
}
_PROMP_ANT = {
    "source": _PROMP,
    "robot": Ant(lowest=0.0),
    "action_scale": 0.1,
    "contact_cost": 5e-4,
}
_PEARL_ANT = {"source": f"{_PEARL}, without contact forces", "action_scale": 1.0}
_PROMP_HUMANOID = {
    "source": _PROMP,
    "robot": Humanoid(),
    "action_scale": 0.1,
    "contact_cost": 5e-7,
    "contact_cost_limit": 10.0,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "Point2D": {
        "maml2017": {},
        "promp2018": {
            "goal": goals.position_in_square(2.0, extrapolate=(2.0, 3.0)),
            "action_scale": 0.1,
        },
        "pearl2019": {
            "robot": Point(spread=1.0),
            "goal": goals.position_in_square(1.0, extrapolate=(1.0, 1.5)),
            "horizon": 20,
        },
    },
    "Point2DCorner": {
        "promp2018": {"goal": goals.corner(2.0, sparse_within=0.5), "action_scale": 0.1}
    },
    "Point2DSparse": {"pearl2019": {}},
    "HalfCheetahDir": {
        "maml2017": {"horizon": 200, "action_scale": 1.0},
        "promp2018": {"horizon": 100, "action_scale": 0.1},
        "pearl2019": {"horizon": 200, "action_scale": 1.0},
    },
    "HalfCheetahVel": {
        "maml2017": {
            "goal": goals.velocity(0.0, 2.0, extrapolate=(2.0, 3.0)),
            "horizon": 200,
            "action_scale": 1.0,
        },
        "promp2018": {"horizon": 100, "action_scale": 0.1},
        "pearl2019": {"horizon": 200, "action_scale": 1.0},
    },
    "AntDir": {"maml2017": _MAML_ANT, "promp2018": _PROMP_ANT},
    "AntDir2D": {"promp2018": _PROMP_ANT, "pearl2019": _PEARL_ANT},
    "AntVel": {"maml2017": {**_MAML_ANT, "survive_bonus": 1.05}},
    "AntGoal": {
        "maml2017": {
            **_MAML_ANT,
            "goal": goals.position_in_square(3.0, extrapolate=(3.0, 4.0), norm=1),
            "survive_bonus": 4.05,
        },
        "promp2018": {**_PROMP_ANT, "survive_bonus": 0.0, "falls": False},
        "pearl2019": {
            **_PROMP_ANT,
            "source": _PEARL,
            "action_scale": 1.0,
            "survive_bonus": 0.0,
            "falls": False,
        },
    },
    "HopperRandParams": {
        "promp2018": {"action_scale": 0.1},
        "pearl2019": {"action_scale": 1.0},
    },
    "WalkerRandParams": {
        "promp2018": {"action_scale": 0.1},
        "pearl2019": {"action_scale": 1.0},
    },
    "Walker2dDir": {"promp2018": {"action_scale": 0.1}},
    "Walker2dVel": {
        "promp2018": {
            "goal": goals.velocity(0.0, 10.0, extrapolate=(10.0, 12.0)),
            "action_scale": 0.1,
            "survive_bonus": 15.0,
        },
    },
    "SwimmerVel": {"promp2018": {"action_scale": 0.1}},
    "HumanoidDir": {"promp2018": _PROMP_HUMANOID},
    "HumanoidDir2D": {
        "promp2018": _PROMP_HUMANOID,
        "pearl2019": {**_PROMP_HUMANOID, "source": _PEARL, "action_scale": 1.0},
    },
}
"""Published variants: family -> preset -> what differs from the catalogue's entry."""


def families() -> tuple[str, ...]:
    """Return the names of the families on robots that `make` knows.

    Fetch's only where gymnasium-robotics is installed, and those on robots of MuJoCo Menagerie only
    where there are models of them. `make` knows those of `metaworld_families` besides, which are
    environments of others.
    """
    installed = _FETCH if fetch.available() else ()
    return (*CATALOGUE, *installed, *menagerie_families.families())


def lacking() -> dict[str, str]:
    """Return the families that `make` would know with an extra, and what brings it."""
    needed = {} if fetch.available() else dict.fromkeys(_FETCH, _FETCH_EXTRA)
    return {**needed, **dict.fromkeys(menagerie_families.missing(), menagerie_families.HOW)}


def knows(name: str) -> bool:
    """Return whether `make` makes a family of this name, or says what it takes to."""
    return is_metaworld(name) or name in families()


def presets(name: str) -> tuple[str, ...]:
    """Return the published variants of a family that `make` knows."""
    if is_metaworld(name):
        return metaworld_families.presets(name)
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
    if name in _FETCH and not fetch.available():
        raise ValueError(f"{name} needs gymnasium-robotics: {_FETCH_EXTRA}")
    makers = {**CATALOGUE, **{known: partial(_fetch, known) for known in _FETCH}}
    makers |= {
        known: partial(menagerie_families.make, known) for known in menagerie_families.ENTRIES
    }
    if name not in makers:
        raise ValueError(f"no family {name!r}{nearest(name, families())}")
    family = makers[name]()
    if preset != "default":
        known = PRESETS.get(name, {})
        if preset not in known:
            raise ValueError(f"{name} has no preset {preset!r}{nearest(preset, known)}")
        family = family.replace(preset=preset, **known[preset])
    return _changed(family, changes)


def made(family: TaskFamily | str, preset: str | None = None, **changes: Any) -> TaskFamily:  # noqa: ANN401
    """Return the family that environments are made of, by name or with some fields changed.

    Args:
        family: as it is, or its name.
        preset: a published variant, of one that is named.
        changes: fields of the family to change.

    Raises:
        ValueError: for an unknown name, preset or field, or for a family that is made of
            environments of others.
    """
    if isinstance(family, str):
        named = make(family, preset=preset, **changes)
        if isinstance(named, TaskFamily):
            return named
        raise ValueError(
            f"{family} is made of environments of others: metarl.envs.make({family!r})"
            f".environment(task) is the one of a task"
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
