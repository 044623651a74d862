"""The parts of a robot by their roles, read off its model: base, joints, legs, feet, tip."""

from typing import NamedTuple

import mujoco
import numpy as np

from metarl.envs.actuators import JOINT_TRANSMISSIONS
from metarl.envs.model import element_names
from metarl.envs.robot import Array, Leg

_HINGE_OR_SLIDE = [mujoco.mjtJoint.mjJNT_HINGE.value, mujoco.mjtJoint.mjJNT_SLIDE.value]
_NEAR_GROUND = 0.05
"""A limb that comes so near the lowest point of all limbs has a foot [m]."""


class Anatomy(NamedTuple):
    """Where the parts of one robot are in its model."""

    base: int
    """The body that carries everything else of it."""
    floats: bool
    """Whether the base has a free joint."""
    joints: tuple[int, ...]
    """Its hinges and slides, in the model's order."""
    legs: tuple[Leg, ...]
    """The driven limbs of a base that floats, each from behind the last fork on."""
    feet: tuple[str, ...]
    """Names of the bodies that stand on the ground."""
    tip: int
    """The body at the end of the driven chain, or of the robot where no joint is driven."""


def anatomy(model: mujoco.MjModel, base: int, qpos: Array) -> Anatomy:
    """Read the parts of the robot that a body carries.

    Args:
        model: the robot, with its surroundings.
        base: the index of the body.
        qpos: how it stands, [nq].
    """
    joint = int(model.body_jntadr[base])
    floats = joint >= 0 and model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE.value
    own = _subtree(model, base)
    joints = tuple(
        number
        for number in range(model.njnt)
        if model.jnt_bodyid[number] in own and model.jnt_type[number] in _HINGE_OR_SLIDE
    )
    legs = _limbs(model, base) if floats else ()
    return Anatomy(base, floats, joints, legs, _feet(model, legs, qpos), _tip(model, base))


def _subtree(model: mujoco.MjModel, root: int) -> set[int]:
    """Return a body and all that hang from it; children have larger numbers than their parents."""
    found = {root}
    for body in range(root + 1, model.nbody):
        if int(model.body_parentid[body]) in found:
            found.add(body)
    return found


def _driven_bodies(model: mujoco.MjModel) -> dict[int, int]:
    """Return the body that each actuator on a joint moves."""
    return {
        actuator: int(model.jnt_bodyid[model.actuator_trnid[actuator, 0]])
        for actuator in range(model.nactuator)
        if model.actuator_trntype[actuator] in JOINT_TRANSMISSIONS
    }


def _limbs(model: mujoco.MjModel, base: int) -> tuple[Leg, ...]:
    """Return the driven chains that hang from a body, behind where they branch last."""
    names, driven = element_names(model, "geom"), _driven_bodies(model)
    limbs = []
    for first in _branches(model, base, set(driven.values())):
        bodies = _subtree(model, first)
        actuators = tuple(a for a, body in driven.items() if body in bodies)
        geoms = tuple(names[geom] for geom in np.flatnonzero(np.isin(model.geom_bodyid, [*bodies])))
        limbs.append(Leg(model.body(first).name or f"body{first}", actuators, geoms))
    return tuple(limbs)


def _branches(model: mujoco.MjModel, body: int, driven: set[int]) -> list[int]:
    """Return the first bodies of the chains below a body that hold driven ones and do not fork."""
    children = [int(child) for child in np.flatnonzero(model.body_parentid == body) if child]
    starts = [child for child in children if _subtree(model, child) & driven]
    return [chain for start in starts for chain in _unforked(model, start, driven)]


def _unforked(model: mujoco.MjModel, start: int, driven: set[int]) -> list[int]:
    below = _branches(model, start, driven)
    return below if len(below) > 1 else [start]


def _feet(model: mujoco.MjModel, legs: tuple[Leg, ...], qpos: Array) -> tuple[str, ...]:
    """Return the body with the lowest colliding geom of each limb that reaches the ground."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    names = element_names(model, "geom")
    masked = np.flatnonzero(model.geom_contype | model.geom_conaffinity)
    colliding = {*masked, *model.pair_geom1, *model.pair_geom2}
    lowest: list[tuple[float, str]] = []
    for leg in legs:
        geoms = [names.index(name) for name in leg.geoms]
        solid = [geom for geom in geoms if geom in colliding]
        if solid:
            height, geom = min((_lowest_point(model, data, geom), geom) for geom in solid)
            lowest.append((height, model.body(model.geom_bodyid[geom]).name))
    ground = min((height for height, _ in lowest), default=0.0)
    return tuple(body for height, body in lowest if body and height < ground + _NEAR_GROUND)


def _lowest_point(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Return the height of the lowest corner of a geom's bounding box [m]."""
    centre, half = np.split(model.geom_aabb[geom], 2)
    vertical = data.geom_xmat[geom].reshape(3, 3)[2]
    return float(data.geom_xpos[geom, 2] + vertical @ centre - np.abs(vertical) @ half)


def _tip(model: mujoco.MjModel, base: int) -> int:
    """Return the robot's last body that actuators on joints move, or what is fixed to it behind it.

    Where none is on a joint, as those of tendons are not, the last body that moves.
    """
    own = _subtree(model, base)
    driven = own & set(_driven_bodies(model).values())
    tip = max(driven or {body for body in own if model.body_dofnum[body]}, default=base)
    while len(fixed := np.flatnonzero((model.body_parentid == tip) & (model.body_dofnum == 0))):
        tip = int(fixed[-1])
    return tip
