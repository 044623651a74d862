"""Servos: controls as offsets from how a robot stands, and models made fit for stepping fast.

A position servo is asked for an angle, and an action of 0 should ask for the angle at which the
robot stands. So controls are a keyframe's, plus an action times what each joint may be moved by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.actuators import JOINT_TRANSMISSIONS
from metarl.envs.model import Edit
from metarl.envs.nearest import nearest
from metarl.envs.plain import make_plain
from metarl.envs.robot import Array

_HINGE = mujoco.mjtJoint.mjJNT_HINGE.value
_TURN = 0.5
"""How far a servo turns its joint to each side, if nothing else is said [rad]."""


@dataclass(frozen=True)
class Servos:
    """How actions become controls."""

    keyframe: str | None = None
    """The keyframe that the robot starts from and that actions are offsets from; None for the
    first, or the model's zero pose where it has none."""
    stride: float | Mapping[str, float] | None = None
    """What an action at the end of the range adds to the keyframe's control: one number for all
    actuators or one for each by name, in the actuator's own units (rad, m); those not named have
    the default, and those of 0 stay where they are and take no action. None for the default:
    0.5 rad for position servos of hinges, half of the control range for all others."""
    gains: tuple[float, float] | None = None
    """Stiffness [N m/rad] and damping [N m s/rad] of position servos that replace the model's own
    actuators on joints, such as torque motors, whose limits of torque they keep."""
    rate: float = 50.0
    """How often an action is taken [1/s]; the servos run with the physics."""

    def __post_init__(self) -> None:
        make_plain(self)
        if not 0.0 < self.rate < np.inf:
            raise ValueError(f"rate must be actions a second, above 0, got {self.rate}")
        if self.gains is not None:
            gains = np.asarray(self.gains, np.float64)
            if gains.shape != (2,) or not (np.isfinite(gains) & (gains >= 0.0)).all():
                raise ValueError(f"gains must be stiffness and damping, not negative: {self.gains}")


@dataclass(frozen=True)
class Physics:
    """What is changed of a model for speed; None leaves what it says."""

    timestep: float | None = None
    """Of the physics [s]."""
    cone: Literal["pyramidal", "elliptic"] | None = None
    """Of friction. Pyramids are faster by a factor of two on Menagerie's quadrupeds."""
    collide: Literal["all", "feet"] = "all"
    """What of the robot can touch anything: all of it, or its feet alone."""


class Home(NamedTuple):
    """How a robot stands, and how it is driven from there."""

    qpos: Array
    """[nq]."""
    rest: dict[str, Array]
    """The other state fields: `ctrl` [nu], and `act`, `mocap_pos`, `mocap_quat` where there are."""
    driven: NDArray[np.intp]
    """The controls that take an action, as indices of `ctrl`, [action]."""
    stride: Array
    """What an action at the end of its range adds to them, [action]; the sum may exceed the
    actuator's range, which cuts it off."""


@cache  # a compiled model is kept by its edits, which count by identity
def edit(physics: Physics, gains: tuple[float, float] | None, feet: tuple[str, ...]) -> Edit:
    """Return what changes a model's description as asked for, before it is compiled.

    Args:
        physics: what to change for speed.
        gains: of position servos that replace the model's own; None to leave them.
        feet: the names of the bodies that are feet.
    """

    def change(spec: mujoco.MjSpec) -> None:
        _change_physics(spec, physics, feet)
        if gains is not None:
            _change_servos(spec, gains)

    return change


def _change_physics(spec: mujoco.MjSpec, physics: Physics, feet: tuple[str, ...]) -> None:
    if physics.timestep is not None:
        spec.option.timestep = physics.timestep
    if physics.cone is not None:
        pyramidal = physics.cone == "pyramidal"
        cone = mujoco.mjtCone.mjCONE_PYRAMIDAL if pyramidal else mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.cone = cone
        if pyramidal:
            spec.option.impratio = 1.0  # large ones are for elliptic cones
    if physics.collide == "feet":
        for geom in spec.geoms:
            body = geom.parent.name
            if body != "world" and body not in feet:
                geom.contype = geom.conaffinity = 0


def _change_servos(spec: mujoco.MjSpec, gains: tuple[float, float]) -> None:
    """Replace the actuators on joints by position servos with the joint's own range.

    They drive the joint directly, without the gear that the motors had, and as strongly as these.
    """
    stiffness, damping = gains
    for actuator in spec.actuators:
        if actuator.trntype not in JOINT_TRANSMISSIONS:
            continue
        force = np.sort(np.multiply(_strongest(actuator), actuator.gear[0]))
        joint = spec.joint(actuator.target)
        in_degrees = spec.compiler.degree and joint.type == mujoco.mjtJoint.mjJNT_HINGE
        low, high = np.deg2rad(joint.range) if in_degrees else joint.range
        if low >= high:
            if joint.type != mujoco.mjtJoint.mjJNT_HINGE:
                raise ValueError(
                    f"joint {joint.name!r} has no range, which Servos(gains=...) needs: give it "
                    f'one in the MJCF, such as range="-1 1"'
                )
            low, high = -np.pi, np.pi  # a turn in all
        actuator.set_to_position(kp=stiffness, kv=damping)
        actuator.gear = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        actuator.ctrlrange = low, high
        if force[0] < force[1]:
            actuator.forcerange = force


def _strongest(actuator: mujoco.MjsActuator) -> NDArray:
    """Return the least and greatest force of an actuator before its gear; 0 twice for no limit."""
    if actuator.forcerange.any():
        return np.asarray(actuator.forcerange)
    if actuator.biastype != mujoco.mjtBias.mjBIAS_NONE:  # of a servo, a control is no force
        return np.zeros(2)
    return np.multiply(actuator.ctrlrange, actuator.gainprm[0])


def home(model: mujoco.MjModel, servos: Servos) -> Home:
    """Return how a robot stands in the keyframe that its servos begin from.

    Raises:
        ValueError: for a keyframe that the model does not have, a stride for an actuator that it
            does not have, or one that is negative, or when no actuator takes an action.
    """
    data = mujoco.MjData(model)
    key = _keyframe(model, servos.keyframe)
    if key is not None:
        mujoco.mj_resetDataKeyframe(model, data, key)
    # a keyframe that is written without controls has zeros: the servos would leave its pose
    if key is None or servos.gains is not None or not model.key_ctrl[key].any():
        mujoco.mj_fwdPosition(model, data)
        asked = position_servos(model)
        data.ctrl[asked] = np.repeat(data.actuator_length, model.actuator_ctrlnum)[asked]
    low, high = model.actuator_ctrlrange.T
    limited = low < high
    data.ctrl[limited] = np.clip(data.ctrl, low, high)[limited]
    names = ("ctrl", "act", "mocap_pos", "mocap_quat")
    rest = {name: getattr(data, name).copy() for name in names if getattr(data, name).size}
    strides = _strides(model, servos)
    driven = np.flatnonzero(strides > 0.0)
    if not model.nactuator:
        raise ValueError("the model has no actuators")
    if not len(driven):
        raise ValueError(
            'no actuator has a control range; write ctrlrange="-1 1" in the MJCF, or give '
            "Servos(stride=...)"
            if servos.stride is None
            else "no actuator takes an action: every stride is 0"
        )
    return Home(data.qpos.copy(), rest, driven, strides[driven])


def position_servos(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Return which controls ask for a length of their actuator, [nu]: force kp (u - length).

    Not those of `intvelocity`, whose integral does.
    """
    gain, bias = model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1]
    affine = model.actuator_biastype == mujoco.mjtBias.mjBIAS_AFFINE.value
    affine &= model.actuator_dyntype != mujoco.mjtDyn.mjDYN_INTEGRATOR.value
    return np.repeat(affine & (gain > 0.0) & (bias == -gain), model.actuator_ctrlnum)


def _strides(model: mujoco.MjModel, servos: Servos) -> Array:
    low, high = model.actuator_ctrlrange.T
    on_hinge = np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS)
    on_hinge &= model.jnt_type[model.actuator_trnid[:, 0]] == _HINGE
    hinges = position_servos(model) & np.repeat(on_hinge, model.actuator_ctrlnum)
    strides = np.where(hinges, _TURN, (high - low) / 2.0)
    names = [model.actuator(a).name for a in range(model.nactuator)]
    given = servos.stride
    if isinstance(given, Mapping):
        for name, value in given.items():
            if name not in names:
                raise ValueError(
                    f"Servos(stride=...) names the actuator {name!r}, which the model does not "
                    f"have{nearest(name, names)}"
                )
            first = model.actuator_ctrladr[names.index(name)]
            strides[first : first + model.actuator_ctrlnum[names.index(name)]] = value
    elif given is not None:
        strides[:] = given
    if not (strides >= 0.0).all():
        raise ValueError(f"strides must not be negative, got {strides}")
    return strides


def _keyframe(model: mujoco.MjModel, name: str | None) -> int | None:
    names = [model.key(number).name for number in range(model.nkey)]
    if name is None:
        return 0 if names else None
    if name not in names:
        raise ValueError(f"the model has no keyframe {name!r}{nearest(name, names)}")
    return names.index(name)
