"""Families on robots of MuJoCo Menagerie, which are installed apart; see `robots.menagerie`.

A robot is read from its model when the first family of it is made, never at import.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

from metarl.envs import dynamics, goals
from metarl.envs.robots.arm_with_puck import HALF_HEIGHT, ArmWithPuck
from metarl.envs.robots.menagerie import HOW, MenagerieRobot, available
from metarl.envs.servos import Physics, Servos
from metarl.envs.task_family import TaskFamily

_OURS = "metarl, on MuJoCo Menagerie's"
_FAST = Physics(timestep=0.005, cone="pyramidal", collide="feet")
_RATE = 25.0
"""Actions a second of the quadrupeds. At 50 a second, noise on actions is filtered by the servos
and moves the body half as far."""
_SECONDS = 5.0
"""Of an episode of walking."""


class Entry(NamedTuple):
    """A family, and the robot of Menagerie that it needs."""

    robot: str
    """The name of its folder."""
    make: Callable[[], TaskFamily]


@cache
def go1() -> MenagerieRobot:
    """Return Unitree's Go1: twelve servos, 25 actions a second."""
    return MenagerieRobot("unitree_go1", name="Go1", servos=Servos(rate=_RATE), physics=_FAST)


@cache
def spot() -> MenagerieRobot:
    """Return Boston Dynamics' Spot: twelve servos, 25 actions a second."""
    return MenagerieRobot(
        "boston_dynamics_spot", name="Spot", servos=Servos(rate=_RATE), physics=_FAST
    )


@cache
def panda() -> MenagerieRobot:
    """Return Franka's Panda: seven servos, 25 actions a second, its gripper held open."""
    strides = {f"actuator{number}": 1.0 for number in range(1, 8)} | {"actuator8": 0.0}
    return MenagerieRobot(
        "franka_emika_panda",
        name="Panda",
        servos=Servos(stride=strides, rate=25.0),
        physics=Physics(timestep=0.004),
    )


@cache
def g1() -> MenagerieRobot:
    """Return Unitree's G1: a humanoid of 29 servos, 50 actions a second."""
    return MenagerieRobot(
        "unitree_g1", scene="scene_mjx", name="G1", servos=Servos(keyframe="knees_bent")
    )


def _walking(
    name: str,
    robot: Callable[[], MenagerieRobot],
    goal: goals.Goal,
    varies: Callable[[MenagerieRobot], tuple[dynamics.Dynamics, ...]] = lambda robot: (),
) -> TaskFamily:
    walker = robot()
    return TaskFamily(
        name,
        walker,
        goal,
        f"{_OURS} {walker.name}",
        dynamics=varies(walker),
        horizon=round(_SECONDS / (walker.frame_skip * walker.load().opt.timestep)),
        action_scale=0.2,
        survive_bonus=1.0,
    )


def _reach(name: str, *varies: dynamics.Dynamics) -> TaskFamily:
    return TaskFamily(
        name,
        panda(),
        goals.reach_in_box(
            (0.35, -0.3, 0.3), (0.65, 0.3, 0.8), tracks=("x", "y", "z"), success_within=0.05
        ),
        f"{_OURS} Panda",
        dynamics=varies,
        horizon=50,
    )


def _push() -> TaskFamily:
    table = 0.48  # the fingers hang 0.03 m above it, and the hand above the puck
    return TaskFamily(
        "PandaPush",
        ArmWithPuck(panda(), place=(0.68, 0.0), table=table),
        goals.push_to((0.68, -0.2), (0.78, 0.2), height=table + HALF_HEIGHT, success_within=0.05),
        f"{_OURS} Panda",
        horizon=75,
    )


_SPEEDS = goals.velocity_command((0.0, 1.0), extrapolate=(1.0, 1.3))
_STEADY = goals.velocity_command(0.6)
_GO1, _SPOT, _G1 = "unitree_go1", "boston_dynamics_spot", "unitree_g1"
_PANDA = "franka_emika_panda"

ENTRIES: dict[str, Entry] = {
    "Go1Vel": Entry(_GO1, cache(partial(_walking, "Go1Vel", go1, _SPEEDS))),
    "Go1Payload": Entry(
        _GO1,
        cache(
            partial(
                _walking,
                "Go1Payload",
                go1,
                _STEADY,
                lambda robot: (dynamics.payload(5.0, body=robot.base, extrapolate=(5.0, 7.0)),),
            )
        ),
    ),
    "Go1Motors": Entry(
        _GO1,
        cache(
            partial(
                _walking,
                "Go1Motors",
                go1,
                _STEADY,
                # the motors of the legs FR, FL and RR fail in training, those of RL never
                lambda robot: (dynamics.dead_actuator(range(-1, 9), extrapolate=(9, 10, 11)),),
            )
        ),
    ),
    "Go1Crippled": Entry(
        _GO1,
        cache(
            partial(
                _walking,
                "Go1Crippled",
                go1,
                _STEADY,
                lambda robot: (
                    dynamics.crippled_leg(robot, (-1, 0, 1, 2), extrapolate=(3,), size=1.0),
                ),
            )
        ),
    ),
    "SpotVel": Entry(_SPOT, cache(partial(_walking, "SpotVel", spot, _SPEEDS))),
    "SpotPayload": Entry(
        _SPOT,
        cache(
            partial(
                _walking,
                "SpotPayload",
                spot,
                _STEADY,
                lambda robot: (dynamics.payload(14.0, body=robot.base, extrapolate=(14.0, 20.0)),),
            )
        ),
    ),
    "PandaReach": Entry(_PANDA, cache(partial(_reach, "PandaReach"))),
    "PandaLoose": Entry(
        _PANDA,
        cache(
            partial(
                _reach,
                "PandaLoose",
                # the forearm's and the wrist's roll give way in training, the wrist's bend never
                dynamics.dead_actuator((-1, 2, 4), extrapolate=(5,)),
            )
        ),
    ),
    "PandaPush": Entry(_PANDA, cache(_push)),
    "G1Vel": Entry(_G1, cache(partial(_walking, "G1Vel", g1, _SPEEDS))),
    "G1Payload": Entry(
        _G1,
        cache(
            partial(
                _walking,
                "G1Payload",
                g1,
                goals.velocity_command(0.4),
                lambda robot: (dynamics.payload(6.0, body="torso_link", extrapolate=(6.0, 9.0)),),
            )
        ),
    ),
}
"""Family -> what it needs and what makes it."""


def families() -> tuple[str, ...]:
    """Return the families whose robots' models are here, or can be downloaded."""
    return tuple(name for name, entry in ENTRIES.items() if available(entry.robot))


def missing() -> tuple[str, ...]:
    """Return the families whose robots' models are not here."""
    return tuple(name for name, entry in ENTRIES.items() if not available(entry.robot))


def make(name: str) -> TaskFamily:
    """Return a family.

    Raises:
        ValueError: when its robot's model is not here; the message says how to install it.
    """
    entry = ENTRIES[name]
    if not available(entry.robot):
        raise ValueError(f"{name} needs the model {entry.robot} of MuJoCo Menagerie: {HOW}")
    return entry.make()
