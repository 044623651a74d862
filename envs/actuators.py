"""How much force actuators give, for every kind of actuator.

An actuator's force is `gain(length, velocity) * (control or activation) + bias(length, velocity)`,
cut off at `forcerange`, and `gear` times that acts on the joint or tendon. `gear` scales the length
and the velocity that the gain and the bias are functions of as well: with another gear, a position
servo of force `kp (control - gear q) - kv gear qd` settles elsewhere. With another gain alone it
does too. So forces are scaled where they arise: gain, bias and limits by the same factor, which
multiplies the force in every state and moves no setpoint.
"""

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import mjtBias, mjtGain
from numpy.typing import NDArray

from metarl.envs.bodies import Bodies

Indices = NDArray[np.integer] | tuple[int, ...]

# kinds whose force is linear in the first three of their parameters
_LINEAR_GAIN = [
    mjtGain.mjGAIN_FIXED.value,
    mjtGain.mjGAIN_AFFINE.value,
    mjtGain.mjGAIN_PID.value,
    mjtGain.mjGAIN_SO3.value,
]
_GAIN_OF_CONTROL = [mjtGain.mjGAIN_FIXED.value, mjtGain.mjGAIN_AFFINE.value]
_LINEAR_BIAS = [
    mjtBias.mjBIAS_NONE.value,
    mjtBias.mjBIAS_AFFINE.value,
    mjtBias.mjBIAS_SO3.value,
]
_MUSCLE_FORCE, _MUSCLE_SCALE = 2, 3
"""Indices of a muscle's parameters: peak force, and the scale that replaces it if negative."""
JOINT_TRANSMISSIONS = [mujoco.mjtTrn.mjTRN_JOINT.value, mujoco.mjtTrn.mjTRN_JOINTINPARENT.value]


def scale_forces(bodies: Bodies, scale: NDArray[np.float64]) -> None:
    """Multiply the force of every actuator by `scale`, [sim], in every state.

    Limits of the force at the actuator, the joint and the tendon scale along. Passive parts stay:
    an actuator's `damping` and `armature`, and gravity compensation.

    Raises:
        ValueError: for an actuator whose force is not proportional to parameters of the model.
    """
    model = bodies.model
    _require_scalable(model)
    for field, kinds, linear in (
        ("actuator_gainprm", model.actuator_gaintype, _LINEAR_GAIN),
        ("actuator_biasprm", model.actuator_biastype, _LINEAR_BIAS),
    ):
        values = bodies[field]
        for actuator, kind in enumerate(kinds):
            if kind in linear:
                values[:, actuator, :3] *= scale[:, None]
            else:  # a muscle
                given = getattr(model, field)[actuator, _MUSCLE_FORCE] >= 0.0
                values[:, actuator, _MUSCLE_FORCE if given else _MUSCLE_SCALE] *= scale
    for field in ("actuator_forcerange", "jnt_actfrcrange", "tendon_actfrcrange"):
        if getattr(model, field).any():
            bodies[field] *= scale[:, None, None]


def reverse(bodies: Bodies, signs: NDArray[np.float64], actuators: list[int]) -> None:
    """Let actuators do the opposite of what their controls ask for, where the sign is -1.

    As with the wires of a motor crossed: the gain changes its sign. The bias, which holds a servo's
    spring and damper, stays, or nothing would hold the servo anywhere.

    Args:
        bodies: changed in place.
        signs: 1 or -1, [sim, reversed actuator].
        actuators: their indices.

    Raises:
        ValueError: for an actuator whose controls have one sign (a muscle, a damper), or whose gain
            makes its spring as well (a pid) or is no parameter of the model.
    """
    model = bodies.model
    for column, index in enumerate(actuators):
        control = model.actuator_ctrladr[index]
        one_sign = model.actuator_ctrllimited[control]
        one_sign = one_sign and model.actuator_ctrlrange[control, 0] >= 0.0
        kind = model.actuator_gaintype[index]
        if kind not in _GAIN_OF_CONTROL or model.actuator_plugin[index] >= 0 or one_sign:
            raise ValueError(
                f"actuator {actuator_name(model, index)} cannot be reversed: that takes a gain "
                f"that acts on the control alone, of gaintype fixed or affine, and controls of "
                f"both signs (no muscle, damper, pid, dcmotor, plugin or callback)"
            )
        bodies["actuator_gainprm"][:, index, :3] *= signs[:, column, None]


def disable(bodies: Bodies, sims: NDArray[np.integer], actuators: Indices) -> None:
    """Let actuators give no force at all: neither bias nor damping.

    A limit of zero holds for every kind of actuator, and the implicit integrators leave out the
    derivatives of a force at its limit: the motion is, bit for bit, that of a model without the
    actuator. Its `armature` stays: the rotor still turns.

    Args:
        bodies: changed in place.
        sims: indices of simulations, broadcast against `actuators`.
        actuators: indices of the actuators that give no force.
    """
    model = bodies.model
    bodies["actuator_forcelimited"][sims, actuators] = True
    bodies["actuator_forcerange"][sims, actuators] = 0.0
    for field in ("actuator_damping", "actuator_dampingpoly"):
        if getattr(model, field).any():
            bodies[field][sims, actuators] = 0.0
    # gravity compensation that actuators give is the joint's: without a driver, there is none
    dead = bodies["actuator_forcelimited"] & ~bodies["actuator_forcerange"].any(axis=-1)
    on_joint = np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS)
    for joint in np.flatnonzero(model.jnt_actgravcomp):
        drivers = on_joint & (model.actuator_trnid[:, 0] == joint)
        if drivers.any():
            idle = dead[:, drivers].all(axis=1)
            bodies["jnt_actfrclimited"][idle, joint] = True
            bodies["jnt_actfrcrange"][idle, joint] = 0.0


def require_actuators(model: mujoco.MjModel, indices: Sequence[int], role: str) -> None:
    """Check that a model has actuators of these indices.

    Args:
        model: the robot.
        indices: of actuators; -1 for none.
        role: what one cannot do that is not there, for the message.

    Raises:
        ValueError: for an index that is too large.
    """
    last = max(indices, default=-1)
    if last >= model.nactuator:
        raise ValueError(
            f"the robot has {model.nactuator} actuators, 0 to {model.nactuator - 1}; "
            f"actuator {last} cannot {role}"
        )


def actuator_name(model: mujoco.MjModel, index: int) -> str:
    """Return the name of an actuator, or its number and what it drives."""
    name = model.actuator(index).name
    if name:
        return repr(name)
    if model.actuator_trntype[index] in JOINT_TRANSMISSIONS:
        joint = model.joint(model.actuator_trnid[index, 0]).name
        return f"{index} (of joint {joint!r})" if joint else f"{index}"
    return f"{index}"


def _require_scalable(model: mujoco.MjModel) -> None:
    for index in range(model.nactuator):
        gain, bias = int(model.actuator_gaintype[index]), int(model.actuator_biastype[index])
        feedforward = (
            gain == mjtGain.mjGAIN_PID.value
            and model.actuator_ctrlspec[index] & mujoco.mjtCtrlInput.mjINPUT_FF.value
        )
        scalable = (
            gain in (*_LINEAR_GAIN, mjtGain.mjGAIN_MUSCLE.value)
            and bias in (*_LINEAR_BIAS, mjtBias.mjBIAS_MUSCLE.value)
            and model.actuator_plugin[index] < 0
        )
        if not scalable or feedforward:
            raise ValueError(
                f"the strength of actuator {actuator_name(model, index)} cannot be scaled: no "
                f"parameters of the model multiply the force of a dcmotor, a plugin, a callback "
                f"or a pid with the input 'ff'; leave motor_strength out, or use another actuator"
            )
