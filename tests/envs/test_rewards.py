"""Every family and preset against the formulas and numbers of its source, written out again."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from metarl import envs
from metarl.envs import Simulator

Array = NDArray[np.float64]
SIMS, STEPS = 36, 3


class State(NamedTuple):
    """A moment of one simulation, read from MuJoCo."""

    place: Array
    """Where the source looks at: root joint, torso, centre of mass, gripper or object."""
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
        name: (Row(near, tasks, 50, 1.0), {})
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
every_row = pytest.mark.parametrize(("name", "preset"), TABLE)


def scattered(simulator: Simulator, tasks: list[dict[str, float]]) -> tuple[Array, Array]:
    """States in which robots stand, lie and jump, rise and fall, or are near their goal."""
    robot, rng = simulator.family.robot.name, np.random.default_rng(2)
    qpos, qvel = (simulator.fields[name].copy() for name in ("qpos", "qvel"))
    if robot == "Point":
        for sim, task in enumerate(tasks):
            part, width = ((0.125, 0.3), (1.0, 0.3), (1.0, 0.012))[sim % 3]
            qpos[sim] = part * goal(task) + rng.uniform(-width, width, 2)
    elif not robot.startswith("Fetch"):
        own = {"Reacher": 2, "Pusher": 9}.get(robot)  # behind it come the target's joints
        qpos[1:, :own] += rng.uniform(-1.2, 1.2, qpos[1:, :own].shape)
        qvel[1:, :own] += rng.standard_normal(qvel[1:, :own].shape)
    if robot in ("Ant", "Humanoid"):
        qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
        qvel[::2, 2] -= rng.uniform(0.0, 100.0, len(qvel[::2]))
    if robot == "Hopper":
        qvel[0, 0] = 150.0  # upright, but too fast
    return qpos, qvel


def read(robot: str, model: mujoco.MjModel, data: mujoco.MjData) -> State:
    place = data.qpos[:2]
    if robot == "Ant":
        place = data.body("torso").xpos[:2]
    elif robot == "Humanoid":
        place = model.body_mass @ data.xipos[:, :2] / model.body_mass.sum()
    elif robot.startswith("Fetch"):
        place = data.site("robot0:grip" if robot == "FetchReach" else "object0").xpos
    return State(*(a.copy() for a in (place, data.qpos, data.qvel, data.xpos, data.cfrc_ext)))


def advance(
    robot: str, row: Row, model: mujoco.MjModel, data: mujoco.MjData, control: Array
) -> None:
    if robot == "Point":
        data.qpos += row.stride * control
    elif robot.startswith("Fetch"):
        hand = data.body("robot0:gripper_link")
        fingers = [data.joint(f"robot0:{side}_gripper_finger_joint").qpos for side in "lr"]
        data.mocap_pos[0] = hand.xpos + 0.05 * control[:3]
        data.mocap_quat[0] = hand.xquat + np.array([1.0, 0.0, 1.0, 0.0])
        if robot == "FetchPickAndPlace":
            data.ctrl[:] = np.concatenate(fingers) + control[3]
            mujoco.mj_step(model, data, nstep=20)
        else:
            mujoco.mj_step(model, data, nstep=20)
            fingers[0][:] = fingers[1][:] = 0.0
            mujoco.mj_forward(model, data)
    else:
        data.ctrl[:] = control
        mujoco.mj_step(model, data, nstep=physics_steps(robot))
        mujoco.mj_rnePostConstraint(model, data)


def physics_steps(robot: str) -> int:
    steps = {"Point": 1, "Reacher": 2, "Hopper": 4, "Walker2d": 4, "Swimmer": 4}
    return 20 if robot.startswith("Fetch") else steps.get(robot, 5)


def expected(robot: str, row: Row, step: Step) -> tuple[float, bool]:
    control, forces = step.control, step.after.cfrc_ext
    if robot == "Ant":
        forces = np.clip(forces, -1.0, 1.0)
    upright = UPRIGHT[row.upright](step.after)
    contact_cost = min(row.contact_cost * np.square(forces).sum(), row.contact_cost_limit)
    reward = row.reward(step) - row.control_cost * np.square(control).sum() - contact_cost
    close = row.done_within and (np.abs(step.after.place - goal(step.task)) < row.done_within).all()
    return reward + row.survive_bonus * upright, bool(close) or not upright


def test_the_table_is_complete():
    known = {(name, preset) for name in envs.families() for preset in envs.presets(name)}
    assert set(TABLE) == known | {(name, "default") for name in envs.families()}


@every_row
def test_rewards_and_ends_follow_the_formula(name: str, preset: str):
    """From scattered states, against MuJoCo itself: the first steps and some that follow them."""
    family, row = envs.make(name, preset=preset), TABLE[name, preset]
    robot, rng = family.robot.name, np.random.default_rng(0)
    simulator = Simulator(family, SIMS)
    tasks = list(family.sample_tasks(SIMS, seed=0))
    simulator.set_tasks(envs.Tasks.from_dicts(tasks))
    simulator.reset([np.random.default_rng([1, sim]) for sim in range(SIMS)])
    qpos, qvel = scattered(simulator, tasks)
    simulator.set_state(qpos, qvel)

    models = [simulator.model(sim) for sim in range(SIMS)]
    twins = [mujoco.MjData(model) for model in models]
    for model, data, *state in zip(models, twins, qpos, qvel, strict=True):
        data.qpos[:], data.qvel[:] = state
        mujoco.mj_forward(model, data)
    low, high = -np.ones(4), np.ones(4)
    if robot in ("FetchPush", "FetchSlide"):  # goals lie on the table, as objects do
        for task, data in zip(tasks, twins, strict=True):
            task["z"] = data.site("object0").xpos[2]
    if not robot.startswith("Fetch"):
        low, high = family.model.actuator_ctrlrange.T
    got, wanted = [], []
    for _ in range(STEPS):
        strength = rng.choice([0.05, 1.5], (SIMS, 1)) / family.action_scale
        action = strength * rng.uniform(-1.0, 1.0, (SIMS, len(low)))
        _, reward, terminated, _ = simulator.step(action)
        got += zip(reward, terminated, strict=True)
        scaled = np.clip(family.action_scale * action, -1.0, 1.0)
        controls = low + (high - low) * (scaled + 1.0) / 2.0
        for model, data, control, task in zip(models, twins, controls, tasks, strict=True):
            before = read(robot, model, data)
            advance(robot, row, model, data, control)
            seconds = model.opt.timestep * physics_steps(robot)
            step = Step(model, before, read(robot, model, data), seconds, control, task)
            wanted.append(expected(robot, row, step))
    assert not any(data.warning.number.any() for data in twins)
    np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-7)
    may_end = row.upright != "always" or row.done_within
    assert {end for _, end in wanted} == ({False, True} if may_end else {False})


@every_row
def test_numbers_are_the_stated_ones(name: str, preset: str):
    family, row = envs.make(name, preset=preset), TABLE[name, preset]
    numbers = Row._fields[2:8]
    assert {n: getattr(family, n) for n in numbers} == {n: getattr(row, n) for n in numbers}


@every_row
def test_tasks_fill_their_ranges_evenly(name: str, preset: str):
    tasks, row = envs.make(name, preset=preset).sample_tasks(4000, seed=0), TABLE[name, preset]
    columns = {parameter: tasks[parameter] for parameter in tasks.names}
    if "radius" in row.tasks:
        x, y = columns.pop("x"), columns.pop("y")
        columns["radius"] = np.hypot(x, y)
        eighths, _ = np.histogram(np.arctan2(y, x), 8, (-np.pi, np.pi))
        np.testing.assert_allclose(eighths / 4000, 1 / 8, atol=0.03)
    kinds = {p: next(kind for kind in row.tasks if p.startswith(kind)) for p in columns}
    assert set(kinds.values()) == set(row.tasks)
    for parameter, values in columns.items():
        span = row.tasks[kinds[parameter]]
        if isinstance(span, set):
            drawn, counts = np.unique(values, return_counts=True)
            assert set(drawn) == span
            np.testing.assert_allclose(counts / 4000, 1 / len(span), atol=0.04)
        else:
            low, high = span.even(span.low), span.even(span.high)
            tenths = np.quantile((span.even(values) - low) / (high - low), np.linspace(0, 1, 11))
            np.testing.assert_allclose(tenths, np.linspace(0, 1, 11), atol=0.04)
            assert tenths[0] > -1e-3  # Fetch's ranges are stated to a tenth of a millimetre
            assert tenths[-1] < 1.001


@pytest.mark.parametrize(("name", "left_out"), [("HalfCheetahCrippled", 0.0), ("AntCrippled", 3.0)])
def test_one_injury_is_left_out_of_training(name: str, left_out: float):
    outside = envs.make(name).sample_tasks(50, seed=0, split="extrapolate")
    assert set(outside.values.flat) == {left_out}


@pytest.mark.parametrize(("name", "preset"), [key for key in TABLE if key[0].startswith("Point")])
def test_points_start_anywhere_in_their_square(name: str, preset: str):
    family, spread = envs.make(name, preset=preset), TABLE[name, preset].spread
    simulator = Simulator(family, 2000)
    simulator.set_tasks(family.sample_tasks(2000, seed=0))
    starts = simulator.reset([np.random.default_rng([2, sim]) for sim in range(2000)])
    even = spread * np.linspace(-1.0, 1.0, 5)
    quarters = np.quantile(starts, np.linspace(0.0, 1.0, 5), axis=0)
    np.testing.assert_allclose(quarters, np.stack([even, even], axis=1), atol=0.1 * spread)
    assert np.abs(starts).max() <= spread
