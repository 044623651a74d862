"""What a new user wants to know of a robot's MJCF file, and the lines that make a family of it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from metarl.envs.actuators import JOINT_TRANSMISSIONS
from metarl.envs.model import load_model
from metarl.envs.reachable import NEAR, box_within_reach, tip_of
from metarl.envs.robots.servo_robot import ServoRobot
from metarl.envs.servos import Physics, Servos, gears, position_servos, turning_servos

_RATE = 50.0
_STRIDE = 1.0
"""How far an arm's servos turn to each side, at most [rad]: further than legs do, or little is in
reach."""
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
    """Describe a robot's model, and write the lines that make a family of tasks of it, or why not.

    Args:
        mjcf: the file: a scene with a floor, for a robot that walks.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when MuJoCo cannot compile it; the message has MuJoCo's reason.
    """
    model = load_model(mjcf)
    parts = [
        f"{Path(mjcf)}: {_count(model.nbody - 1, 'body', 'bodies')}, "
        f"{_count(model.njnt, 'joint')}, {_count(model.nactuator, 'actuator')}, "
        f"{model.body_mass.sum():.4g} kg, a physics step is {model.opt.timestep:g} s",
        _block("bodies", _bodies(model)),
        _block("joints", _joints(model)),
        _block("actuators", _actuators(model)),
        _block("sites", _sites(model)),
        _block("keyframes", [repr(model.key(k).name) for k in range(model.nkey)]),
        _block("sensors", _sensors(model)),
        _block("warnings", list(_warnings(model))),
    ]
    try:
        end = lines(mjcf)
    except ValueError as error:
        end = f"no family is proposed: {error}"
    return "\n\n".join([*(part for part in parts if part), end])


def lines(mjcf: Path | str) -> str:
    """Return a Python file with a function that makes a family of the robot.

    Raises:
        ValueError: where no goal suits it: its base floats, but it has no legs, or its tip does not
            move with its joints' servos; or for what `ServoRobot` refuses.
    """
    model = load_model(mjcf)
    robot, settings = _robot(Path(mjcf), model)
    if robot.walks and not robot.legs:
        raise ValueError(
            "its base floats, but no actuator drives a joint of a limb to walk with; write a goal "
            "of your own (metarl.envs.goals.Goal)"
        )
    if robot.walks:
        goal = "    goal = goals.velocity_command((0.0, 1.0))"
        others = "horizon=250, survive_bonus=1.0"
    else:
        box = box_within_reach(robot, robot.load())
        if box.low == box.high:
            raise ValueError(
                "its tip stays in one place whatever servos of joints are asked, so where it can "
                "reach is not known; write a goal of your own (metarl.envs.goals.Goal)"
            )
        corners = f"{box.low}, {box.high}"
        near = f"{100 * NEAR:.0f} cm"
        goal = (
            f"    # the tip comes within {near} of {box.reachable:.0%} of these points\n"
            f"    goal = goals.reach_in_box(\n        {corners}, tracks=robot.tracks, "
            f"success_within={NEAR}\n    )"
        )
        others = "horizon=100, action_scale=1.0"
    path = Path(mjcf).resolve()
    arguments = "\n".join(f"        {argument}," for argument in (_quoted(str(path)), *settings))
    names = ["Physics"] if "physics=" in arguments else []
    names += ["ServoRobot", "Servos", "TaskFamily", "goals"]
    return (
        f"from metarl.envs import {', '.join(names)}\n\n\n"
        "def family() -> TaskFamily:\n"
        f"    robot = ServoRobot(\n{arguments}\n    )\n"
        f"{goal}\n"
        f"    return TaskFamily({_quoted(robot.name)}, robot, goal, {_quoted(path.name)}, {others})"
        "\n\n\n"
        "# saved as my_robot.py, it is trained by\n"
        "# metarl train my_robot.py:family --algorithm siamese --total-timesteps 2_000_000 "
        "--out runs/mine"
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
    tip = stride = None
    if not robot.walks:
        stride = _strides(robot)
        servos = dataclasses.replace(servos, stride=stride)
        tip = tip_of(robot, robot.load())
        robot = ServoRobot(mjcf, servos=servos, physics=physics, tip=tip)
    changed = {"keyframe": keyframe, "stride": stride, "gains": gains, "rate": servos.rate}
    arguments = {
        "base": _quoted(robot.base) if robot.base else None,
        "feet": _quoted(robot.feet) if robot.walks else None,
        "tip": _quoted(tip) if tip is not None else None,
        "servos": f"Servos({_arguments(changed)})",
        "physics": 'Physics(cone="pyramidal")' if elliptic else None,
    }
    return robot, [f"{name}={text}" for name, text in arguments.items() if text is not None]


def _strides(robot: ServoRobot) -> dict[str, float] | float | None:
    """Return how far an arm's servos may turn; None for the default, where none turns a hinge."""
    model = robot.load()
    turning, turns = turning_servos(model), _STRIDE * gears(model)
    if turning.all() and (turns == _STRIDE).all():
        return _STRIDE
    single = np.flatnonzero(model.actuator_ctrlnum == 1)  # a name stands for all controls of a pid
    controls = {model.actuator(a).name: int(model.actuator_ctrladr[a]) for a in single}
    return {
        name: round(float(turns[control]), 6)
        for name, control in controls.items()
        if name and turning[control]
    } or None


def _quoted(value: Any) -> str:  # noqa: ANN401
    """Return a value as Python, with the quotes that formatters prefer."""
    text = repr(value)
    return text if '"' in text else text.replace("'", '"')


def _arguments(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={_quoted(value)}" for name, value in values.items() if value is not None
    )


def _gains(model: mujoco.MjModel) -> tuple[float, float] | None:
    """Return gains of position servos for a robot of torque motors; None for one of servos."""
    on_joint = np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS)
    motors = (
        on_joint
        & (model.actuator_gaintype == mujoco.mjtGain.mjGAIN_FIXED.value)
        & (model.actuator_biastype == mujoco.mjtBias.mjBIAS_NONE.value)
        & (model.actuator_dyntype == mujoco.mjtDyn.mjDYN_NONE.value)
    )
    greatest = model.actuator_ctrlrange[model.actuator_ctrladr, 1] * model.actuator_gainprm[:, 0]
    ranges = np.abs(greatest * model.actuator_gear[:, 0])
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


def _sites(model: mujoco.MjModel) -> list[str]:
    sites = [model.site(number) for number in range(model.nsite)]
    return [
        f"{site.name}  on {model.body(int(site.bodyid[0])).name}" for site in sites if site.name
    ]


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
        yield (
            "no keyframe: starts are the model's zero pose; where that is stretched or folded, add "
            'a bent one, <keyframe><key qpos="..."/></keyframe>'
        )
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
    if count := int((model.jnt_type == mujoco.mjtJoint.mjJNT_BALL.value).sum()):
        yield f"{_count(count, 'ball joint')}: neither observed nor disturbed at a start"
    if (model.actuator_dyntype != mujoco.mjtDyn.mjDYN_NONE.value).any():
        yield "actuators with a state of their own (filters, integrators)"


def _floats(model: mujoco.MjModel) -> bool:
    return bool((model.jnt_type == mujoco.mjtJoint.mjJNT_FREE.value).any())


def _block(title: str, rows: list[str]) -> str:
    return "\n".join([title, *(f"    {row}" for row in rows)]) if rows else ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
