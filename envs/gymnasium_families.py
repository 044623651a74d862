"""Families on Gymnasium's MuJoCo robots, and a point: the field's standard ones and metarl's own.

Each entry composes a robot, a goal, what varies in the body, and costs. To add a family, add an
entry. Numbers are those of the source that the entry names, or differ from it as the entry says.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from metarl.envs import dynamics, goals
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
)
from metarl.envs.task_family import TaskFamily

MAML = "Finn et al. 2017 (MAML)"
PROMP = "Rothfuss et al. 2018 (ProMP)"
PEARL = "Rakelly et al. 2019 (PEARL)"
_CRIPPLED = "Clavera et al. 2019 (learning to adapt)"
_OURS = "metarl"

_ANT = Ant(contact_forces=False)
_HUMANOID = Humanoid(contact_forces=False)


def _entry(name: str, *parts: Any, **settings: Any) -> tuple[str, Callable[[], TaskFamily]]:  # noqa: ANN401
    """Return a name and a function that makes the family when it is first called, and keeps it."""
    return name, cache(partial(TaskFamily, name, *parts, **settings))


_MADE = (
    _entry(
        "Point2D",
        Point(),
        goals.position_in_square(0.5, extrapolate=(0.5, 1.0), done_within=0.01),
        f"{MAML}, 5.1",
        horizon=100,
        action_scale=1.0,
    ),
    _entry(
        "Point2DCorner",
        Point(stride=0.2, spread=0.2),
        goals.corner(2.0),
        f"{PROMP}, point_env_2d_corner, dense reward",
        horizon=100,
        action_scale=1.0,
    ),
    _entry(
        "Point2DSparse",
        Point(),
        goals.position_on_half_circle(1.0, sparse_within=0.2),
        f"{PEARL}, sparse-point-robot",
        horizon=20,
        action_scale=1.0,
    ),
    _entry(
        "HalfCheetahDir",
        HalfCheetah(),
        goals.direction(),
        f"{MAML}, 5.3; horizon and observation of {PROMP}",
        control_cost=0.05,
    ),
    _entry(
        "HalfCheetahVel",
        HalfCheetah(),
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{MAML}, 5.3; range of {PROMP}",
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
        f"{PROMP}, without contact forces, a fall being below 0.2 m as in Ant-v5",
        horizon=200,
        control_cost=0.5,
        survive_bonus=1.0,
    ),
    _entry(
        "AntDir2D",
        _ANT,
        goals.heading(),
        f"{PROMP}, without contact forces, a fall being below 0.2 m as in Ant-v5",
        horizon=200,
        control_cost=0.5,
        survive_bonus=1.0,
    ),
    _entry(
        "AntVel",
        _ANT,
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{MAML}, 5.3, survive bonus 1.05 in all, without contact forces",
        horizon=200,
        control_cost=0.005,
        survive_bonus=1.05,
    ),
    _entry(
        "AntGoal",
        _ANT,
        goals.position_in_disc(3.0, extrapolate=(3.0, 4.0)),
        f"{PROMP}, without contact forces; falls and their bonus of 4 as in {MAML}",
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
        f"rand_param_envs, as used by {PROMP} and {PEARL}",
        dynamics=(dynamics.rand_params(Hopper()),),
        horizon=200,
        control_cost=1e-3,
        survive_bonus=1.0,
    ),
    _entry(
        "WalkerRandParams",
        Walker2d(),
        goals.forward(),
        f"rand_param_envs, as used by {PROMP} and {PEARL}",
        dynamics=(dynamics.rand_params(Walker2d()),),
        horizon=200,
        control_cost=1e-3,
        survive_bonus=1.0,
    ),
    _entry(
        "Walker2dDir",
        Walker2d(),
        goals.direction(),
        f"{PROMP}; physics steps per control step as Walker2d-v5",
        horizon=200,
        control_cost=1e-3,
        survive_bonus=1.0,
    ),
    _entry(
        "Walker2dVel",
        Walker2d(),
        goals.velocity(0.0, 3.0, extrapolate=(3.0, 4.0)),
        f"{PROMP}, slower; physics steps per control step as Walker2d-v5",
        horizon=200,
        control_cost=1e-3,
        survive_bonus=3.0,
    ),
    _entry(
        "SwimmerVel",
        Swimmer(),
        goals.velocity(0.1, 0.2, extrapolate=(0.2, 0.3)),
        f"{PROMP}, with the sign of the reward put right",
        horizon=200,
        action_scale=1.0,
        control_cost=1e-4,
    ),
    _entry(
        "HumanoidDir",
        _HUMANOID,
        goals.direction(1.25),
        f"{PROMP}, without contact forces",
        horizon=200,
        control_cost=0.1,
        survive_bonus=5.0,
    ),
    _entry(
        "HumanoidDir2D",
        _HUMANOID,
        goals.heading(1.25),
        f"{PROMP}, without contact forces",
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

ENTRIES: dict[str, Callable[[], TaskFamily]] = dict(_MADE)
"""Family -> what makes it."""
