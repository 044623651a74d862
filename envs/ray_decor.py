"""What a scene shows beside the model's geoms, for rays to hit: markers, sites and tendons."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.ray_casting import Caster

_TYPE = mujoco.mjtGeom
_PLAIN = (
    _TYPE.mjGEOM_SPHERE,
    _TYPE.mjGEOM_CAPSULE,
    _TYPE.mjGEOM_ELLIPSOID,
    _TYPE.mjGEOM_CYLINDER,
    _TYPE.mjGEOM_BOX,
)
_SIDES = 32
_TIP = 1.75
"""How much wider an arrow's tip is than its shaft, as MuJoCo draws it."""


def decorations(
    geoms: list[mujoco.MjvGeom], indices: list[int], threads: int
) -> tuple[Caster, NDArray[np.int64]]:
    """Return some of a scene's geoms as a model of their own, and each one's index in the scene.

    Arrows consist of a shaft and a tip. Lines, labels and triangles are left out.

    Args:
        geoms: of the scene.
        indices: of those that are wanted.
        threads: how many will cast rays at the same time.
    """
    spec, surface = mujoco.MjSpec(), []
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
    for index in indices:
        geom = geoms[index]
        frame = np.asarray(geom.mat, np.float64).reshape(3, 3)
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, frame.ravel())
        place = {"pos": np.asarray(geom.pos, np.float64), "quat": quat}
        size = np.asarray(geom.size, np.float64)
        if geom.type in _PLAIN:
            if geom.type in (_TYPE.mjGEOM_CAPSULE, _TYPE.mjGEOM_CYLINDER):
                size = size[[0, 2, 1]]
            spec.worldbody.add_geom(type=_TYPE(geom.type), size=size, **place)
            surface.append(index)
        elif geom.type == _TYPE.mjGEOM_ARROW:
            _add_arrow(spec, size, frame[:, 2], place)
            surface += [index, index]
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    caster = Caster(model, np.arange(model.ngeom), threads)
    caster.pose(data)
    return caster, np.array(surface, np.int64)


def _add_arrow(
    spec: mujoco.MjSpec, size: NDArray[np.float64], axis: NDArray[np.float64], place: dict
) -> None:
    """Add an arrow of a radius and a length; a third of the length is its tip."""
    radius, length = size[0], size[2]
    shaft = place | {"pos": place["pos"] + axis * length / 6.0}
    spec.worldbody.add_geom(type=_TYPE.mjGEOM_CYLINDER, size=[radius, length / 6.0, 0.0], **shaft)
    angles = 2.0 * np.pi * np.arange(_SIDES) / _SIDES
    rim = np.stack([np.cos(angles), np.sin(angles), np.zeros(_SIDES)], axis=1) * _TIP * radius
    tip = np.concatenate([rim, [[0.0, 0.0, length / 6.0]]])
    name = f"tip {len(spec.meshes)}"
    spec.add_mesh(name=name, uservert=tip.ravel())
    top = place | {"pos": place["pos"] + axis * length / 3.0}
    spec.worldbody.add_geom(type=_TYPE.mjGEOM_MESH, meshname=name, **top)
