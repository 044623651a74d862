"""Servos: controls as offsets from how a robot stands, and models made fit for stepping fast.

A position servo is asked for an angle, and an action of 0 should ask for the angle at which the
robot stands. So controls are a keyframe's, plus an action times what each joint may be moved by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, get_args

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.actuators import JOINT_TRANSMISSIONS, actuator_name
from metarl.envs.model import Edit
from metarl.envs.nearest import nearest
from metarl.envs.plain import make_plain
from metarl.envs.robot import Array

_HINGE = mujoco.mjtJoint.mjJNT_HINGE.value
_TURN = 0.5
"""How far a servo turns its joint to each side, if nothing else is said [rad]."""
_FILTERS = [mujoco.mjtDyn.mjDYN_FILTER.value, mujoco.mjtDyn.mjDYN_FILTEREXACT.value]
_INTEGRATOR = mujoco.mjtDyn.mjDYN_INTEGRATOR.value

Cone = Literal["pyramidal", "elliptic"]
Collide = Literal["all", "feet"]


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
    0.5 rad for position servos of hinges (times their gear, which their controls count in), half
    of the control range for other position servos, and for all else what is left of it on the
    wider side of the keyframe's control: all of it for a muscle at rest."""
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
    cone: Cone | None = None
    """Of friction. Pyramids are faster by a factor of two on Menagerie's quadrupeds."""
    collide: Collide = "all"
    """What of the robot can touch anything: all of it, or its feet alone."""

    def __post_init__(self) -> None:
        make_plain(self)
        if self.timestep is not None and not 0.0 < self.timestep < np.inf:
            raise ValueError(f"timestep must be seconds, above 0, got {self.timestep!r}")
        for name, kind in (("cone", Cone), ("collide", Collide)):
            value = getattr(self, name)
            if value not in get_args(kind) and not (name == "cone" and value is None):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(kind))}, got {value!r}"
                )


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
def edit(
    physics: Physics, gains: tuple[float, float] | None, base: int, feet: tuple[str, ...]
) -> Edit:
    """Return what changes a model's description as asked for, before it is compiled.

    Args:
        physics: what to change for speed.
        gains: of position servos that replace the model's own; None to leave them.
        base: the index of the body that carries all others of the robot.
        feet: the names of the bodies that are feet.
    """

    def change(spec: mujoco.MjSpec) -> None:
        _change_physics(spec, physics)
        if physics.collide == "feet":
            _leave_feet(spec, base, feet)
        if gains is not None:
            _change_servos(spec, gains)

    return change


def _change_physics(spec: mujoco.MjSpec, physics: Physics) -> None:
    if physics.timestep is not None:
        spec.option.timestep = physics.timestep
    if physics.cone is not None:
        pyramidal = physics.cone == "pyramidal"
        cone = mujoco.mjtCone.mjCONE_PYRAMIDAL if pyramidal else mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.cone = cone
        if pyramidal:
            spec.option.impratio = 1.0  # large ones are for elliptic cones


def _leave_feet(spec: mujoco.MjSpec, base: int, feet: tuple[str, ...]) -> None:
    """Let nothing of the robot but its feet touch anything; all else keeps its contacts."""
    # bodies stand in the order in which they are compiled
    own = [geom for geom in spec.bodies[base].find_all("geom") if geom.parent.name not in feet]
    for geom in own:
        geom.contype = geom.conaffinity = 0
    names = {geom.name for geom in own if geom.name}
    for pair in spec.pairs:
        if {pair.geomname1, pair.geomname2} & names:
            spec.delete(pair)


def _change_servos(spec: mujoco.MjSpec, gains: tuple[float, float]) -> None:
    """Replace the actuators on joints by position servos with the joint's own range.

    They drive the joint directly, without the gear that the motors had, and as strongly as these.
    """
    stiffness, damping = gains
    model = spec.compile()  # tells angles in radians, whatever units each part is written in
    _change_keyframes(spec, model)
    for actuator in spec.actuators:
        if actuator.trntype not in JOINT_TRANSMISSIONS:
            continue
        force = np.sort(np.multiply(_strongest(actuator), actuator.gear[0]))
        joint = spec.joint(actuator.target)
        low, high = model.joint(actuator.target).range
        if low >= high:
            if joint.type != mujoco.mjtJoint.mjJNT_HINGE:
                raise ValueError(
                    f"joint {joint.name!r} has no range, which Servos(gains=...) needs: give it "
                    f'one in the MJCF, such as range="-1 1"'
                )
            low, high = -np.pi, np.pi  # a turn in all
        actuator.set_to_position(kp=stiffness, kv=damping)
        actuator.actrange, actuator.actlimited = (0.0, 0.0), mujoco.mjtLimited.mjLIMITED_AUTO
        actuator.gear = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        actuator.ctrlrange = low, high
        if force[0] < force[1]:
            actuator.forcerange = force


def _change_keyframes(spec: mujoco.MjSpec, model: mujoco.MjModel) -> None:
    """Leave out what the servos of joints do not have: activations, all controls but one."""
    replaced = np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS)
    controls, activations = [], []
    for actuator, goes in enumerate(replaced):
        first, count = model.actuator_ctrladr[actuator], model.actuator_ctrlnum[actuator]
        controls += range(first, first + (1 if goes else count))
        first, count = model.actuator_actadr[actuator], model.actuator_actnum[actuator]
        activations += [] if goes else range(first, first + count)
    for key in spec.keys:
        key.ctrl = np.asarray(key.ctrl)[controls] if len(key.ctrl) else key.ctrl
        key.act = np.asarray(key.act)[activations] if len(key.act) else key.act


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
            does not have, or one that is negative, when no actuator takes an action, or when one
            could take none for want of a range.
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
    if model.na and not data.act.any():
        _rest_activations(model, data)
    names = ("ctrl", "act", "mocap_pos", "mocap_quat")
    rest = {name: getattr(data, name).copy() for name in names if getattr(data, name).size}
    if not model.nactuator:
        raise ValueError("the model has no actuators")
    strides = _strides(model, servos, data.ctrl)
    driven = np.flatnonzero(strides > 0.0)
    if not len(driven):
        raise ValueError("no actuator takes an action: every stride is 0")
    return Home(data.qpos.copy(), rest, driven, strides[driven])


def _rest_activations(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Let activations hold the pose where a keyframe is written without them, as controls do."""
    mujoco.mj_fwdPosition(model, data)
    servos, by_length = position_servos(model), _asks_for_length(model)
    for actuator in np.flatnonzero(model.actuator_actnum):
        last = model.actuator_actadr[actuator] + model.actuator_actnum[actuator] - 1
        control = model.actuator_ctrladr[actuator]
        kind = model.actuator_dyntype[actuator]
        if kind in _FILTERS and servos[control]:
            data.act[last] = data.ctrl[control]
        elif kind == _INTEGRATOR and by_length[actuator]:
            data.act[last] = data.actuator_length[actuator]
        if model.actuator_actlimited[actuator]:
            data.act[last] = np.clip(data.act[last], *model.actuator_actrange[actuator])


def position_servos(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Return which controls ask for a length of their actuator, [nu]: force kp (u - length).

    Those of a `pid` that follows positions too; not those of `intvelocity`, whose integral does.
    """
    direct = _asks_for_length(model) & (model.actuator_dyntype != _INTEGRATOR)
    asked = np.repeat(direct, model.actuator_ctrlnum)
    pid = model.actuator_gaintype == mujoco.mjtGain.mjGAIN_PID.value
    pid &= (model.actuator_ctrlspec & mujoco.mjtCtrlInput.mjINPUT_POS.value) > 0
    asked[model.actuator_ctrladr[pid & (model.actuator_biasprm[:, 1] < 0.0)]] = True
    return asked


def _asks_for_length(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Return which actuators give kp (input - length), [actuator]."""
    gain, bias = model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1]
    affine = model.actuator_biastype == mujoco.mjtBias.mjBIAS_AFFINE.value
    return affine & (gain > 0.0) & (bias == -gain)


def turning_servos(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Return which controls ask for the angle of a hinge, times the actuator's gear, [nu]."""
    on_joint = np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS)
    hinge = np.zeros(model.nactuator, bool)
    hinge[on_joint] = model.jnt_type[model.actuator_trnid[on_joint, 0]] == _HINGE
    return position_servos(model) & np.repeat(hinge, model.actuator_ctrlnum)


def gears(model: mujoco.MjModel) -> Array:
    """Return how many times its joint's own position each control's actuator counts, [nu]."""
    return np.repeat(np.abs(model.actuator_gear[:, 0]), model.actuator_ctrlnum)


def _strides(model: mujoco.MjModel, servos: Servos, rest: Array) -> Array:
    low, high = model.actuator_ctrlrange.T
    wider = np.where(low < high, np.maximum(high - rest, rest - low), 0.0)
    strides = np.where(position_servos(model), (high - low) / 2.0, wider)
    strides = np.where(turning_servos(model), _TURN * gears(model), strides)
    given, is_given = servos.stride, np.zeros(model.nu, bool)
    names = [model.actuator(a).name for a in range(model.nactuator)]
    if isinstance(given, Mapping):
        for name, value in given.items():
            if name not in names:
                raise ValueError(
                    f"Servos(stride=...) names the actuator {name!r}, which the model does not "
                    f"have{nearest(name, names)}"
                )
            first = model.actuator_ctrladr[names.index(name)]
            own = slice(first, first + model.actuator_ctrlnum[names.index(name)])
            strides[own], is_given[own] = value, True
    elif given is not None:
        if np.shape(given) not in ((), (model.nu,)):
            raise ValueError(
                f"Servos(stride=...) must be one number, one for each of the {model.nu} controls, "
                f"or numbers by the actuators' names, got {given}"
            )
        strides[:], is_given[:] = given, True
    if not (strides >= 0.0).all():
        raise ValueError(f"strides must not be negative, got {strides}")
    _require_moved(model, (strides > 0.0) | is_given | (low < high))
    return strides


def _require_moved(model: mujoco.MjModel, moved: NDArray[np.bool_]) -> None:
    """Raise ValueError for an actuator of whose controls [nu] no action could move any."""
    for actuator in range(model.nactuator):
        first = model.actuator_ctrladr[actuator]
        if not moved[first : first + model.actuator_ctrlnum[actuator]].any():
            raise ValueError(
                f"actuator {actuator_name(model, actuator)} has no control range, so no action "
                f'would move it: write ctrlrange="-1 1", or what its limits are, in the MJCF, or '
                f"give Servos(stride=...), by name, with 0 for one that stays where it is"
            )


def _keyframe(model: mujoco.MjModel, name: str | None) -> int | None:
    names = [model.key(number).name for number in range(model.nkey)]
    if name is None:
        return 0 if names else None
    if name not in names:
        raise ValueError(f"the model has no keyframe {name!r}{nearest(name, names)}")
    return names.index(name)
