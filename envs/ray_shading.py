"""The light on what rays hit, as OpenGL's fixed pipeline computes it for MuJoCo's renderer.

For each light, with the directions to the light L and to the camera V, the normal N and
H = (L + V) / |L + V| (OpenGL 2.1 specification, 2.14.1):

    ambient + max(0, N.L) diffuse + [N.L > 0] (N.H)^(128 shininess) specular,

the first two times the surface's colour, all times the light's attenuation and its spot. The lights
that cast no shadow are added up and cut off at 1, then each other light is cut off at 1 and added
where nothing stands in its way.
"""

import math
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.ray_casting import (
    Array,
    Caster,
    Eye,
    Real,
    Single,
    SingleTriple,
    Window,
    cross,
    dot,
)
from metarl.envs.ray_surfaces import Looks, Points

_SPOT = mujoco.mjtLightType.mjLIGHT_SPOT.value
_DIRECTIONAL = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL.value
_SUN = 1e3
"""Parallel rays come from one point, this many of the scene's extents away: the shadow of what is a
tenth of the extent high, and an extent aside, is 1e-4 of the extent off."""
_TOUCHING = 1e-7
"""Shadow bias, as a fraction of the distance to the light: nearer hits are the surface itself. From
so far away, the roots of a sphere's equation are off by about 1e-11 of the distance."""
_NO_LIGHT = 0.3
"""Ambient light of a scene without lights."""


class Lamp(NamedTuple):
    """A light of the scene."""

    light: mujoco.MjvLight
    origin: Array
    """Where its rays come from [m], [3]."""
    aim: Single
    """Where it shines, [3]."""
    view: tuple[Eye, Window] | None
    """What it sees of what casts shadows; None when it makes no shadows."""
    ambient: float | Single
    """A number if it is grey, else [3, 1]."""
    diffuse: float | Single
    specular: float | Single
    is_directional: bool


def lamps(scene: mujoco.MjvScene, caster: Caster, extent: float, middle: Array) -> list[Lamp]:
    """Return a scene's lights.

    Args:
        scene: with its lights set.
        caster: what casts shadows, in its place.
        extent: of the scene [m].
        middle: what is looked at [m], [3].
    """
    result = []
    for light in scene.lights[: scene.nlight]:
        aim = np.array(light.dir, np.float64)
        origin = np.array(light.pos, np.float64)
        if light.type == _DIRECTIONAL:
            origin = middle - _SUN * extent * aim
        view = None
        if light.castshadow:
            right = cross(aim, np.eye(3)[np.argmin(np.abs(aim))])
            right /= np.sqrt(dot(right, right))
            eye = Eye(origin, aim, right, cross(right, aim))
            view = eye, caster.window(eye)
        result.append(
            Lamp(
                light,
                origin,
                aim.astype(np.float32),
                view,
                ambient=_by_channel(light.ambient),
                diffuse=_by_channel(light.diffuse),
                specular=_by_channel(light.specular),
                is_directional=bool(light.type == _DIRECTIONAL),
            )
        )
    return result


def shade(
    looks: Looks,
    points: Points,
    tint: Single | None,
    lights: list[Lamp],
    caster: Caster | None,
    thread: int,
) -> tuple[Real, Real]:
    """Return colours, and how bright the points are without their textures.

    Args:
        looks: of the scene's geoms.
        points: to be shaded.
        tint: the textures' colours, [3, point]; None for white.
        lights: of the scene.
        caster: what casts shadows; None for translucent points, which take none.
        thread: which of the caster's states to use.

    Returns:
        [3, point], 0 to 1, and [point], in which the edges of geoms and of shadows show.
    """
    colour = looks.rgba[:3].take(points.surface, axis=1)
    length: Single = np.sqrt(dot(points.ray, points.ray))
    x, y, z = (axis / -length for axis in points.ray)
    view, facing = (x, y, z), dot(points.normal, (x, y, z))
    ambient = 0.0 if lights else _NO_LIGHT
    steady = colour * (ambient + looks.emission[points.surface])
    shadowed = []
    for lamp in lights:
        lit, towards = _lit(lamp, looks, points, colour, view, facing)
        if lamp.view is None or caster is None:
            steady += lit
        else:
            seen = _seen(lamp.view, points, caster, thread, towards)
            shadowed.append(np.minimum(lit, 1.0) * seen)
    steady = np.minimum(steady, 1.0)
    total, bright = steady if tint is None else steady * tint, steady[1]
    for lit in shadowed:
        total, bright = total + (lit if tint is None else lit * tint), bright + lit[1]
    return np.minimum(total, 1.0), bright


def _lit(
    lamp: Lamp, looks: Looks, points: Points, colour: Single, view: SingleTriple, facing: Single
) -> tuple[Real, Real]:
    """Return the light of one lamp, [3, point], and the cosine of its angle to the normal."""
    strength: float | Real = 1.0
    if lamp.is_directional:
        towards, along = dot(points.normal, -lamp.aim), dot(view, -lamp.aim)
    else:
        x, y, z = (lamp.origin[axis] - points.position[axis] for axis in range(3))
        distance = np.sqrt(dot((x, y, z), (x, y, z)))
        towards = dot(points.normal, (x, y, z)) / distance
        along = dot(view, (x, y, z)) / distance
        constant, linear, quadratic = (float(value) for value in lamp.light.attenuation)
        fading = constant + linear * distance + quadratic * distance * distance
        strength = 1.0 / np.maximum(fading, 1e-6)
        if lamp.light.type == _SPOT:
            cosine = -dot((x, y, z), lamp.aim) / distance
            inside = cosine >= math.cos(math.radians(float(lamp.light.cutoff)))
            strength *= np.where(inside, _power(cosine, round(float(lamp.light.exponent))), 0.0)
    lit = colour * ((lamp.ambient + lamp.diffuse * np.maximum(towards, 0.0)) * strength)
    if looks.exponents and np.any(lamp.specular):
        half = (towards + facing) / np.sqrt(np.maximum(2.0 + 2.0 * along, 1e-12))
        # below 0.9, a highlight of an exponent of 64 or more is less than a grey level
        low = 0.9 if min(looks.exponents) >= 64 else 0.0
        bright = np.flatnonzero((half > low) & (towards > 0.0))
        surface = points.surface[bright]
        shine = looks.specular[surface] * np.broadcast_to(strength, half.shape)[bright]
        base = half[bright]
        for exponent in looks.exponents:
            at = np.flatnonzero(looks.exponent[surface] == exponent)
            lit[:, bright[at]] += lamp.specular * (_power(base[at], exponent) * shine[at])
    return lit, towards


def _seen(
    view: tuple[Eye, Window], points: Points, caster: Caster, thread: int, towards: Real
) -> NDArray[np.bool_]:
    """Return which points face a lamp and see it, [point]."""
    eye, window = view
    x, y, z = (points.position[axis] - eye.origin[axis] for axis in range(3))
    depth = dot((x, y, z), eye.forward)
    seen = (towards > 0.0) & (depth > 0.0)
    a, b = (dot((x, y, z), axis) / np.where(seen, depth, 1.0) for axis in (eye.right, eye.up))
    near = window.inside(a, b)
    near = near[seen[near]]
    rays = eye.bundle(a[near], b[near])
    seen[near] = ~caster.shades(view, rays, depth[near] * (1.0 - _TOUCHING), thread)
    return seen


def _by_channel(value: NDArray[np.float32]) -> float | Single:
    """Return a colour as a number if it is grey, else [3, 1]."""
    red, green, blue = (float(channel) for channel in value)
    return red if red == green == blue else np.array([[red], [green], [blue]], np.float32)


def _power(base: Real, exponent: int) -> Real:
    """Return powers by squaring: a library's `pow` differs between machines in its last bits."""
    result = np.ones_like(base)
    while exponent:
        if exponent & 1:
            result = result * base
        base = base * base
        exponent >>= 1
    return result
