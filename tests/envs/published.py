"""What the sources of the families and presets state: formulas, numbers and ranges of tasks.

Written out again from the sources, apart from the catalogue, with MuJoCo's own arrays.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class State(NamedTuple):
    """A moment of one simulation, read from MuJoCo."""

    place: Array
    """Where the source looks at: root joint, torso, centre of mass, gripper or object."""
    tip: Array
    """Where Fetch's gripper is; of other robots, the same."""
    qpos: Array
    qvel: Array
    xpos: Array
    cfrc_ext: Array


class Step(NamedTuple):
    model: mujoco.MjModel
    before: State
    after: State
    seconds: float
    control: Array
    task: dict[str, float]

    @property
    def velocity(self) -> Array:
        return (self.after.place - self.before.place) / self.seconds

    def body(self, name: str) -> Array:
        return self.after.xpos[self.model.body(name).id]


def ahead(task: dict[str, float]) -> Array:
    angle = task.get("heading", 0.0)
    return task.get("direction", 1.0) * np.array([np.cos(angle), np.sin(angle)])


def goal(task: dict[str, float]) -> Array:
    if "corner" in task:
        return 2.0 * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])[int(task["corner"])]
    if "angle" in task:
        return np.array([np.cos(task["angle"]), np.sin(task["angle"])])
    return np.array([task[axis] for axis in "xyz" if axis in task])


def run(step: Step) -> float:
    return float(ahead(step.task) @ step.velocity)


def humanoid_run(step: Step) -> float:
    moved = step.after.place - step.before.place
    return 0.25 * float(ahead(step.task) @ moved) / step.model.opt.timestep


def keep_speed(step: Step) -> float:
    return -abs(step.velocity[0] - step.task["velocity"])


def yaw(state: State) -> float:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, state.qpos[3:7])
    return np.arctan2(matrix[3], matrix[0])


def turn(step: Step) -> float:
    rate = np.angle(np.exp(1j * (yaw(step.after) - yaw(step.before)))) / step.seconds
    return -abs(rate - step.task["rate"]) - np.hypot(*step.velocity)


def near(step: Step) -> float:
    return -float(np.linalg.norm(step.after.place - goal(step.task)))


def near_in_city_blocks(step: Step) -> float:
    return -np.abs(step.after.place - goal(step.task)).sum()


def near_half_circle(step: Step) -> float:
    return near(step) + 1.0 if near(step) >= -0.2 else 0.0


def gain_on_corner(step: Step) -> float:
    """Nothing around the origin, nor where another corner is nearer."""
    nearest = (np.sign(step.after.place) == np.sign(goal(step.task))).all()
    if np.abs(step.after.place).sum() < 0.5 or not nearest:
        return 0.0
    return near(step) - near(step._replace(after=step.before))


def reach(step: Step) -> float:
    return -float(np.linalg.norm(step.body("fingertip") - step.body("target")))


def push(step: Step) -> float:
    tip, thing, place = (step.body(name) for name in ("tips_arm", "object", "goal"))
    return -float(np.linalg.norm(thing - place) + 0.5 * np.linalg.norm(tip - thing))


def push_from_behind(step: Step) -> float:
    """The gripper belongs up to 6 cm beyond the object, seen from the goal."""
    missing = step.after.place - goal(step.task)
    distance = np.linalg.norm(missing)
    stand = step.after.place + 0.06 * distance / (distance + 0.02) * (missing / distance)
    return -float(distance + np.linalg.norm(step.after.tip - stand))


def fast(state: State) -> bool:
    return bool((np.abs(np.concatenate([state.qpos, state.qvel])[2:]) >= 100.0).any())


UPRIGHT: dict[str, Callable[[State], bool]] = {
    "always": lambda state: True,
    "ant": lambda state: 0.2 <= state.qpos[2] <= 1.0,
    "ProMP's ant": lambda state: 0.0 <= state.qpos[2] <= 1.0,
    "hopper": lambda s: s.qpos[1] > 0.7 and abs(s.qpos[2]) < 0.2 and not fast(s),
    "walker": lambda state: 0.8 < state.qpos[1] < 2.0 and abs(state.qpos[2]) < 1.0,
    "humanoid": lambda state: 1.0 <= state.qpos[2] <= 2.0,
}


class Range(NamedTuple):
    low: float
    high: float
    even: Callable = np.asarray
    """What of the number is uniform."""


Ranges = Mapping[str, Range | set[float]]


class Row(NamedTuple):
    """What a source states."""

    reward: Callable[[Step], float]
    tasks: Ranges
    """By the beginnings of the parameters' names."""
    horizon: int = 200
    action_scale: float = 0.3
    control_cost: float = 0.0
    survive_bonus: float = 0.0
    """For a step that ends upright."""
    contact_cost: float = 0.0
    contact_cost_limit: float = float("inf")
    upright: str = "always"
    """If it is not, the episode ends."""
    done_within: float = 0.0
    """The episode ends where x and y are both so near the goal."""
    stride: float = 0.1
    """How far a control of 1 moves a point."""
    spread: float = 0.0
    """How far from the origin points start, in x and in y."""


def speeds(low: float, high: float) -> Ranges:
    return {"velocity": Range(low, high)}


def box(**axes: tuple[float, float]) -> Ranges:
    return {axis: Range(middle - half, middle + half) for axis, (middle, half) in axes.items()}


def square(half: float) -> Ranges:
    return box(x=(0.0, half), y=(0.0, half))


def disc(radius: float) -> Ranges:
    return {"radius": Range(0.0, radius, np.square)}


SIGNS = {"direction": {-1.0, 1.0}}
ANGLES = {"heading": Range(0.0, 2.0 * np.pi)}
CORNERS = {"corner": {0.0, 1.0, 2.0, 3.0}}
HALF_CIRCLE = {"angle": Range(0.0, np.pi)}
REVERSED = {f"{motor}_sign": {1.0: 4 / 7, -1.0: 3 / 7} for motor in ("bthigh", "bshin", "fthigh")}
"""One combination of eight, all of them reversed, is left out."""
ACTUATORS = {"dead_actuator": {1.0, 2.0, 3.0, 4.0, 5.0}}
LEGS = {"crippled_leg": {0.0, 1.0, 2.0}}
SCALES = {
    **{name: Range(1.5**-3, 1.5**3, np.log) for name in ("mass", "inertia", "friction")},
    "damping": Range(1.3**-3, 1.3**3, np.log),
}

POINT = Row(near, square(0.5), 100, 1.0)
CHEETAH = Row(run, SIGNS, 100, control_cost=0.05)
ANT = Row(run, SIGNS, control_cost=0.5, survive_bonus=1.0, upright="ant")
WALKER = Row(run, SCALES, control_cost=1e-3, survive_bonus=1.0, upright="walker")
HUMANOID = Row(humanoid_run, SIGNS, control_cost=0.1, survive_bonus=5.0, upright="humanoid")

MAML = PEARL = {"horizon": 200, "action_scale": 1.0}
PROMP = {"action_scale": 0.1}
MAML_ANT = {**MAML, "control_cost": 0.005, "contact_cost": 5e-4}
PROMP_ANT = {**PROMP, "contact_cost": 5e-4, "upright": "ProMP's ant"}
GOAL_ANT = {"contact_cost": 5e-4, "survive_bonus": 0.0, "upright": "always"}
FORCES = {"contact_cost": 0.5e-6, "contact_cost_limit": 10.0}
RAND_PARAMS = {"promp2018": PROMP, "pearl2019": PEARL}

STATED: dict[str, tuple[Row, dict[str, dict[str, Any]]]] = {
    "Point2D": (
        POINT._replace(done_within=0.01),
        {
            "maml2017": {},
            "promp2018": {**PROMP, "tasks": square(2.0), "done_within": 0.0},
            "pearl2019": {"tasks": square(1.0), "horizon": 20, "done_within": 0.0, "spread": 1.0},
        },
    ),
    "Point2DCorner": (
        POINT._replace(tasks=CORNERS, stride=0.2, spread=0.2),
        {"promp2018": {**PROMP, "reward": gain_on_corner}},
    ),
    "Point2DSparse": (Row(near_half_circle, HALF_CIRCLE, 20, 1.0), {"pearl2019": {}}),
    "HalfCheetahDir": (CHEETAH, {"maml2017": MAML, "promp2018": PROMP, "pearl2019": PEARL}),
    "HalfCheetahVel": (
        CHEETAH._replace(reward=keep_speed, tasks=speeds(0.0, 3.0)),
        {
            "maml2017": {**MAML, "tasks": speeds(0.0, 2.0)},
            "promp2018": PROMP,
            "pearl2019": PEARL,
        },
    ),
    "HalfCheetahMass": (CHEETAH._replace(tasks={"mass": Range(0.5, 2.0, np.log)}), {}),
    "HalfCheetahRandParams": (CHEETAH._replace(tasks=SCALES), {}),
    "HalfCheetahCrippled": (CHEETAH._replace(tasks=ACTUATORS), {}),
    "HalfCheetahReversed": (CHEETAH._replace(tasks=REVERSED), {}),
    "HalfCheetahSlope": (CHEETAH._replace(tasks={"slope": Range(-0.3, 0.3)}), {}),
    "AntDir": (ANT, {"maml2017": {**MAML_ANT, "survive_bonus": 0.05}, "promp2018": PROMP_ANT}),
    "AntDir2D": (ANT._replace(tasks=ANGLES), {"promp2018": PROMP_ANT, "pearl2019": PEARL}),
    "AntVel": (
        Row(keep_speed, speeds(0.0, 3.0), 200, 0.3, 0.005, 1.05, upright="ant"),
        {"maml2017": MAML_ANT},
    ),
    "AntGoal": (
        Row(near_in_city_blocks, disc(3.0), 200, 0.3, 0.1, 4.0, upright="ant"),
        {
            "maml2017": {**MAML_ANT, "tasks": square(3.0), "survive_bonus": 4.05},
            "promp2018": {**PROMP, **GOAL_ANT},
            "pearl2019": {**PEARL, **GOAL_ANT},
        },
    ),
    "AntTurn": (Row(turn, {"rate": Range(-1.0, 1.0)}, 200, 0.3, 0.05, 1.0, upright="ant"), {}),
    "AntCrippled": (Row(run, LEGS, survive_bonus=0.05), {}),
    "HopperRandParams": (WALKER._replace(upright="hopper"), RAND_PARAMS),
    "WalkerRandParams": (WALKER, RAND_PARAMS),
    "Walker2dDir": (WALKER._replace(tasks=SIGNS), {"promp2018": PROMP}),
    "Walker2dVel": (
        WALKER._replace(reward=keep_speed, tasks=speeds(0.0, 3.0), survive_bonus=3.0),
        {"promp2018": {**PROMP, "tasks": speeds(0.0, 10.0), "survive_bonus": 15.0}},
    ),
    "SwimmerVel": (Row(keep_speed, speeds(0.1, 0.2), 200, 1.0, 1e-4), {"promp2018": PROMP}),
    "HumanoidDir": (HUMANOID, {"promp2018": {**PROMP, **FORCES}}),
    "HumanoidDir2D": (
        HUMANOID._replace(tasks=ANGLES),
        {"promp2018": {**PROMP, **FORCES}, "pearl2019": {**PEARL, **FORCES}},
    ),
    "ReacherGoal": (Row(reach, disc(0.18), 50, control_cost=1.0), {}),
    "PusherGoal": (Row(push, box(x=(0.45, 0.15), y=(-0.025, 0.125)), 100, control_cost=0.1), {}),
}
if find_spec("gymnasium_robotics"):
    STATED |= {
        name: (
            Row(push_from_behind if name == "FetchPush" else near, tasks, 50, 1.0),
            {"plappert2018": {"reward": near}} if name == "FetchPush" else {},
        )
        for name, tasks in {
            "FetchReach": box(x=(1.3418, 0.15), y=(0.7491, 0.15), z=(0.5347, 0.15)),
            "FetchPush": box(x=(1.3628, 0.15), y=(0.7491, 0.15)),
            "FetchSlide": box(x=(1.4130, 0.3), y=(0.7491, 0.3)),
            "FetchPickAndPlace": box(x=(1.3419, 0.15), y=(0.7491, 0.15), z=(0.6499, 0.225)),
        }.items()
    }

TABLE = {
    (name, preset): row._replace(**changes)
    for name, (row, presets) in STATED.items()
    for preset, changes in {"default": {}, **presets}.items()
}
