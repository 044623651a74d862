"""What a new user wants to know of a robot's MJCF file, and the lines that make a family of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from metarl.envs.actuators import JOINT_TRANSMISSIONS
from metarl.envs.model import load_model
from metarl.envs.robot import Array
from metarl.envs.robots.servo_robot import ServoRobot
from metarl.envs.servos import Physics, Servos, position_servos

_RATE = 50.0
_BOX = 0.15
"""Half the width of the box in which an arm is asked to reach a point [m]."""
_POSES = 300
"""Drawn poses of an arm, which tell how far its tip gets."""
_FREELY = {
    mujoco.mjtJoint.mjJNT_HINGE: (-np.pi, np.pi),
    mujoco.mjtJoint.mjJNT_SLIDE: (-_BOX, _BOX),
}
"""Where joints without limits are taken to move [rad, m]."""
_STIFFNESS, _DAMPING = 3.0, 0.1
"""Of servos in place of torque motors, in units of the middle motor's largest torque: all of it at
a third of a radian, or at 10 rad/s."""
_KINDS = {
    "joint": mujoco.mjtTrn.mjTRN_JOINT,
    "joint in parent": mujoco.mjtTrn.mjTRN_JOINTINPARENT,
    "tendon": mujoco.mjtTrn.mjTRN_TENDON,
    "site": mujoco.mjtTrn.mjTRN_SITE,
    "body": mujoco.mjtTrn.mjTRN_BODY,
    "slider crank": mujoco.mjtTrn.mjTRN_SLIDERCRANK,
}


def inspect(mjcf: Path | str) -> str:
    """Describe a robot's model, and write the lines that make a family of tasks of it.

    Args:
        mjcf: the file: a scene with a floor, for a robot that walks.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when MuJoCo cannot compile it; the message is MuJoCo's.
    """
    model = load_model(mjcf)
    parts = [
        f"{Path(mjcf)}: {_count(model.nbody - 1, 'body', 'bodies')}, "
        f"{_count(model.njnt, 'joint')}, {_count(model.nactuator, 'actuator')}, "
        f"{model.body_mass.sum():.4g} kg, a physics step is {model.opt.timestep:g} s",
        _block("bodies", _bodies(model)),
        _block("joints", _joints(model)),
        _block("actuators", _actuators(model)),
        _block("keyframes", [repr(model.key(k).name) for k in range(model.nkey)]),
        _block("sensors", _sensors(model)),
        _block("warnings", list(_warnings(model))),
    ]
    return "\n\n".join([*(part for part in parts if part), lines(mjcf)])


def lines(mjcf: Path | str) -> str:
    """Return a Python file with a function that makes a family of the robot."""
    model = load_model(mjcf)
    robot, settings = _robot(Path(mjcf), model)
    if robot.walks:
        goal = "goals.velocity_command((0.0, 1.0))"
        others = "horizon=250, survive_bonus=1.0"
    else:
        low, high = _box(robot, model)
        goal = f"goals.reach_in_box({low}, {high}, tracks=robot.tracks, success_within=0.05)"
        others = "horizon=100"
    arguments = "\n".join(f"        {argument}," for argument in (_quoted(str(mjcf)), *settings))
    return (
        "from metarl.envs import Physics, ServoRobot, Servos, TaskFamily, goals\n\n\n"
        "def family() -> TaskFamily:\n"
        f"    robot = ServoRobot(\n{arguments}\n    )\n"
        f"    goal = {goal}\n"
        f'    return TaskFamily({_quoted(robot.name)}, robot, goal, "my robot", {others})'
    )


def _robot(mjcf: Path, model: mujoco.MjModel) -> tuple[ServoRobot, list[str]]:
    """Return the robot with settings that suit it, and those settings as arguments in Python."""
    keyframe = model.key(0).name if model.nkey and model.key(0).name else None
    gains = _gains(model)
    steps = max(1, round(1.0 / (_RATE * model.opt.timestep)))
    rate = 1.0 / (steps * model.opt.timestep)
    servos = Servos(keyframe, gains=gains, rate=round(rate, 6))
    elliptic = model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC.value
    physics = Physics(cone="pyramidal" if elliptic else None)
    robot = ServoRobot(mjcf, servos=servos, physics=physics)
    arms: list[str] = []
    if robot.base:
        arms.append(f"base={_quoted(robot.base)}")
    if robot.walks:
        arms.append(f"feet={_quoted(robot.feet)}")
    else:
        arms.append(f"tip={_quoted(_tip(robot, model))}")
    changed = {"keyframe": keyframe, "gains": gains, "rate": servos.rate}
    arms.append(f"servos=Servos({_arguments(changed)})")
    if elliptic:
        arms.append('physics=Physics(cone="pyramidal")')
    return robot, [arm for arm in arms if not arm.endswith("=None")]


def _quoted(value: Any) -> str:  # noqa: ANN401
    """Return a value as Python, with the quotes that formatters prefer."""
    text = repr(value)
    return text if '"' in text else text.replace("'", '"')


def _arguments(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={_quoted(value)}" for name, value in values.items() if value is not None
    )


def _tip(robot: ServoRobot, model: mujoco.MjModel) -> str | None:
    field, index = robot.tip
    named = model.site(index) if field == "site_xpos" else model.body(index)
    return named.name or None


def _box(robot: ServoRobot, model: mujoco.MjModel) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the corners of a box around where an arm's tip is at its start [m].

    It ends where the arm does, so that a planar arm is not asked for points above it.
    """
    start = np.array(robot.home_qpos)
    tip, reached = _tip_at(robot, model, start), []
    generator = np.random.default_rng(0)
    for _ in range(_POSES):
        pose = start.copy()
        for joint in range(model.njnt):
            kind = mujoco.mjtJoint(model.jnt_type[joint])
            if kind in _FREELY:
                limits = model.jnt_range[joint] if model.jnt_limited[joint] else _FREELY[kind]
                pose[model.jnt_qposadr[joint]] = generator.uniform(limits[0], limits[1])
        reached.append(_tip_at(robot, model, pose))
    low = np.maximum(tip - _BOX, np.min([tip, *reached], axis=0))
    high = np.minimum(tip + _BOX, np.max([tip, *reached], axis=0))
    return tuple(np.round(low, 3).tolist()), tuple(np.round(high, 3).tolist())


def _tip_at(robot: ServoRobot, model: mujoco.MjModel, pose: Array) -> Array:
    """Return where an arm's tip is when its joints are so, [3]."""
    data = mujoco.MjData(model)
    data.qpos[:] = pose
    mujoco.mj_kinematics(model, data)
    field, index = robot.tip
    return getattr(data, field)[index].copy()


def _gains(model: mujoco.MjModel) -> tuple[float, float] | None:
    """Return gains of position servos for a robot of torque motors; None for one of servos."""
    on_joint = np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS)
    motors = (
        on_joint
        & (model.actuator_gaintype == mujoco.mjtGain.mjGAIN_FIXED.value)
        & (model.actuator_biastype == mujoco.mjtBias.mjBIAS_NONE.value)
        & (model.actuator_dyntype == mujoco.mjtDyn.mjDYN_NONE.value)
    )
    ranges = model.actuator_ctrlrange[:, 1] * np.abs(model.actuator_gear[:, 0])
    if not motors.any() or not motors[on_joint].all() or not (ranges[motors] > 0.0).all():
        return None
    torque = float(np.median(ranges[motors]))
    return round(torque * _STIFFNESS, 2), round(torque * _DAMPING, 3)


def _bodies(model: mujoco.MjModel) -> list[str]:
    tree = []
    for body in range(1, model.nbody):
        depth, parent = 0, int(model.body_parentid[body])
        while parent:
            depth, parent = depth + 1, int(model.body_parentid[parent])
        name = model.body(body).name or f"body{body}"
        tree.append(f"{'  ' * depth}{name}  {model.body_mass[body]:.3g} kg")
    return tree


def _joints(model: mujoco.MjModel) -> list[str]:
    kinds = {kind.value: kind.name[6:].lower() for kind in _joint_kinds()}
    rows = []
    for number in range(model.njnt):
        low, high = model.jnt_range[number]
        limits = f"  {low:.3g} to {high:.3g}" if model.jnt_limited[number] else ""
        name = model.joint(number).name or f"joint{number}"
        rows.append(f"{name}  {kinds[int(model.jnt_type[number])]}{limits}")
    return rows


def _joint_kinds() -> list[mujoco.mjtJoint]:
    joint = mujoco.mjtJoint
    return [joint.mjJNT_FREE, joint.mjJNT_BALL, joint.mjJNT_SLIDE, joint.mjJNT_HINGE]


def _actuators(model: mujoco.MjModel) -> list[str]:
    names = {kind.value: name for name, kind in _KINDS.items()}
    servos = position_servos(model)
    rows = []
    for number in range(model.nactuator):
        control = int(model.actuator_ctrladr[number])
        low, high = model.actuator_ctrlrange[control]
        driven = names.get(int(model.actuator_trntype[number]), "?")
        what = "position servo" if servos[control] else "actuator"
        none = model.actuator_biastype[number] == mujoco.mjtBias.mjBIAS_NONE.value
        what = "motor" if none and not servos[control] else what
        limits = f"  {low:.3g} to {high:.3g}" if low < high else "  no control range"
        name = model.actuator(number).name or f"actuator{number}"
        rows.append(f"{name}  {what} of a {driven}{limits}")
    return rows


def _sensors(model: mujoco.MjModel) -> list[str]:
    names = [model.sensor(n).name or f"sensor{n}" for n in range(model.nsensor)]
    sizes = [_count(int(size), "number") for size in model.sensor_dim]
    return [f"{name}  {size}" for name, size in zip(names, sizes, strict=True)]


def _warnings(model: mujoco.MjModel) -> Iterator[str]:
    low, high = model.actuator_ctrlrange.T
    if not model.nactuator:
        yield "no actuators: nothing can be driven"
    if count := int((low >= high).sum()):
        yield (
            f"{_count(count, 'actuator')} without ctrlrange: MuJoCo takes them for unlimited; "
            f"Servos(stride=...) says how far an action moves them"
        )
    if not model.nkey:
        yield "no keyframe: starts are the model's zero pose"
    if model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC.value:
        yield 'elliptic friction cones: Physics(cone="pyramidal") steps about twice as fast'
    masked = (model.geom_contype | model.geom_conaffinity) > 0
    meshes = masked & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH.value)
    if count := int(meshes.sum()):
        yield (
            f"{_count(count, 'mesh', 'meshes')} collide, which is slow: of a robot that walks, "
            f'Physics(collide="feet") leaves the feet alone'
        )
    if not (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value).any() and _floats(model):
        yield "no floor: take a scene that includes the robot"
    if (model.actuator_dyntype != mujoco.mjtDyn.mjDYN_NONE.value).any():
        yield "actuators with a state of their own (filters, integrators)"


def _floats(model: mujoco.MjModel) -> bool:
    return bool((model.jnt_type == mujoco.mjtJoint.mjJNT_FREE.value).any())


def _block(title: str, rows: list[str]) -> str:
    return "\n".join([title, *(f"    {row}" for row in rows)]) if rows else ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
