"""What rays have hit: the looks of a scene's geoms, and their textures as MuJoCo maps them."""

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.ray_casting import (
    Array,
    Bundle,
    Eye,
    Hits,
    Real,
    Single,
    SingleTriple,
    Triple,
    dot,
)
from metarl.envs.ray_textures import Texture

_BOX = mujoco.mjtGeom.mjGEOM_BOX.value
_PLANE = mujoco.mjtGeom.mjGEOM_PLANE.value
_FACES = ((1, 2), (0, 2), (0, 1))
"""Axes to the right and upwards of a texture on the faces of a box across x, y and z."""


class Looks(NamedTuple):
    """How the geoms of a scene look."""

    rgba: Single
    """[4, geom]."""
    emission: Single
    """[geom]."""
    specular: Single
    """[geom]."""
    exponent: NDArray[np.int64]
    """Of the highlight, [geom]."""
    exponents: list[int]
    """The different ones among geoms that have a highlight."""
    geoms: list[mujoco.MjvGeom]

    @classmethod
    def of(cls, scene: mujoco.MjvScene) -> "Looks":
        """Read a scene's geoms."""
        geoms = list(scene.geoms[: scene.ngeom])
        exponents = [round(128.0 * geom.shininess) for geom in geoms]
        shiny = {
            exponent for exponent, geom in zip(exponents, geoms, strict=True) if geom.specular > 0.0
        }
        return cls(
            np.array([geom.rgba for geom in geoms], np.float32).T.copy(),
            np.array([geom.emission for geom in geoms], np.float32),
            np.array([geom.specular for geom in geoms], np.float32),
            np.array(exponents, np.int64),
            sorted(shiny),
            geoms,
        )


class Points(NamedTuple):
    """Where rays have hit something."""

    surface: NDArray[np.int64]
    """Index of the scene's geom, [point]."""
    position: Triple
    """[m], [point] each."""
    normal: SingleTriple
    """Of length 1, [point] each."""
    ray: SingleTriple
    """From the camera, of length 1 along its axis, [point] each."""
    pixel: Array
    """How wide a pixel is here, across the view [m], [point]."""

    @classmethod
    def of(
        cls, hits: Hits, at: NDArray[np.int64], rays: Bundle, eye: Eye, pixel: float
    ) -> "Points":
        """Return the points that some rays hit.

        Args:
            hits: of all rays.
            at: indices of the rays that are wanted, each of which hit something.
            rays: all.
            eye: where they start.
            pixel: slope from one pixel to the next.
        """
        depth, (a, b, c) = hits.depth[at], rays[at].direction
        x, y, z = (eye.origin[axis] + depth * way for axis, way in enumerate((a, b, c)))
        single = np.float32
        return cls(
            hits.surface[at],
            (x, y, z),
            (hits.normal[0][at], hits.normal[1][at], hits.normal[2][at]),
            (a.astype(single), b.astype(single), c.astype(single)),
            pixel * depth,
        )


def tints(textures: dict[int, Texture], looks: Looks, points: Points, eye: Eye) -> Single | None:
    """Return the texture's colour at points, [3, point]; None when no geom has one.

    Args:
        textures: by index.
        looks: of the scene's geoms.
        points: where.
        eye: from where.
    """
    result = None
    for index in np.flatnonzero(np.bincount(points.surface, minlength=1)):
        geom = looks.geoms[index]
        texture = textures.get(int(geom.texid)) if geom.matid >= 0 else None
        if texture is None:
            continue
        at = np.flatnonzero(points.surface == index)
        if result is None:
            result = np.ones((3, len(points.surface)), np.float32)
        result[:, at] = _tint(geom, texture, points, at, eye)
    return result


def _tint(
    geom: mujoco.MjvGeom, texture: Texture, points: Points, at: NDArray[np.int64], eye: Eye
) -> Real:
    """Return a texture's colour at some points of a geom, [3, at], mapped as MuJoCo maps it.

    A cube lies around a geom that is scaled to half sides of 1, or unscaled. A texture in two
    dimensions lies on each face of a box, else on the geom's x and y, which is right for planes;
    MuJoCo's renderer wraps it around round geoms.
    """
    if geom.texcoord:
        return texture.mean  # rays do not say which triangle of a mesh they hit
    frame = np.asarray(geom.mat, np.float64).reshape(3, 3)
    if texture.is_cube:
        return _around(geom, texture, points, at)
    if geom.type != _BOX:
        return _flat(geom, texture, points, at, eye)
    a, b, c = points.normal
    facing = [np.abs(dot((a[at], b[at], c[at]), frame[:, axis])) for axis in range(3)]
    face, result = np.argmax(facing, axis=0), np.empty((3, len(at)))
    for across, axes in enumerate(_FACES):
        inside = np.flatnonzero(face == across)
        result[:, inside] = _flat(geom, texture, points, at[inside], eye, axes)
    return result


def _flat(
    geom: mujoco.MjvGeom,
    texture: Texture,
    points: Points,
    at: NDArray[np.int64],
    eye: Eye,
    axes: tuple[int, int] = (0, 1),
) -> Real:
    """Return the colour of a texture that lies on two of a geom's axes, [3, at].

    It lies there `texrepeat` times over the geom, or over 2 m if it is uniform.
    """
    frame = np.asarray(geom.mat, np.float64).reshape(3, 3)
    right, up, out = (points.position[axis][at] - float(geom.pos[axis]) for axis in range(3))
    pixel = points.pixel[at]
    coarse = frame.astype(np.float32)
    (a, b, c), (x, y, z) = points.normal, points.ray
    ray = x[at], y[at], z[at]
    normal = coarse[:, 2] if geom.type == _PLANE else (a[at], b[at], c[at])
    fall = dot(ray, normal)
    fall = np.where(np.abs(fall) > 1e-9, fall, np.float32(1e-9))
    asides = eye.right.astype(np.float32), eye.up.astype(np.float32)
    leans = [dot(normal, aside) for aside in asides]
    centre, across = [], []
    for direction, axis in enumerate(axes):
        scale = 0.5 * float(geom.texrepeat[direction])
        if not geom.texuniform and geom.size[axis] > 0.0:
            scale /= float(geom.size[axis])
        place = dot((right, up, out), frame[:, axis])
        centre.append((scale, -scale)[direction] * place - 0.5)
        # a pixel aside moves the point by pixel (aside - ray (aside.normal) / (ray.normal))
        slope = dot(ray, coarse[:, axis]) / fall
        moves = (
            np.abs(dot(coarse[:, axis], aside) - slope * lean)
            for aside, lean in zip(asides, leans, strict=True)
        )
        across.append(scale * pixel * sum(moves))
    return texture.repeated(centre[0], centre[1], (across[0], across[1]))


def _around(geom: mujoco.MjvGeom, texture: Texture, points: Points, at: NDArray[np.int64]) -> Array:
    """Return the colour of a cube around a geom, [3, at]."""
    frame = np.asarray(geom.mat, np.float64).reshape(3, 3)
    size = np.asarray(geom.size, np.float64)
    right, up, out = (points.position[axis][at] - float(geom.pos[axis]) for axis in range(3))
    place = [dot((right, up, out), frame[:, axis]) for axis in range(3)]
    stored_in_its_size = geom.dataid >= 0
    scale = np.ones(3) if geom.texuniform else 1.0 / np.maximum(size, 1e-12)
    if stored_in_its_size:
        scale = scale * size if geom.texuniform else np.ones(3)
    x, y, z = (place[axis] * scale[axis] for axis in range(3))
    reach = np.maximum(np.maximum(np.abs(x), np.abs(y)), np.maximum(np.abs(z), 1e-12))
    return texture.around((x, y, z), points.pixel[at] * float(scale.max()) / reach)
