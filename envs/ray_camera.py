"""`RayCamera`: pictures without OpenGL, by casting a ray through each pixel.

The scene, the camera's pose and the formula of the light are those of MuJoCo's renderer, so that
its pictures and these look alike. Pixels are computed independently of each other, by elementwise
NumPy and MuJoCo's rays: a picture does not depend on how many threads draw it.

Not drawn: skins, flexible bodies, reflections, haze; a mesh with texture coordinates has its
texture's mean colour.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.ray_casting import Array, Caster, Eye, Hits, Real, Single, Window, cross
from metarl.envs.ray_decor import decorations
from metarl.envs.ray_shading import Lamp, lamps, shade
from metarl.envs.ray_surfaces import Looks, Points, tints
from metarl.envs.ray_textures import Texture
from metarl.envs.studio import SKY, Studio
from metarl.envs.task_family import TaskFamily
from metarl.system.cores import cores

_GEOM = mujoco.mjtObj.mjOBJ_GEOM.value
_DECOR = mujoco.mjtCatBit.mjCAT_DECOR.value
_SKYBOX = mujoco.mjtTexture.mjTEXTURE_SKYBOX.value
_OPAQUE = 0.995
"""MuJoCo's renderer blends what is less."""
_BAND = 16_384
"""Rays that are computed together: their arrays stay within a core's cache."""
_SUBPIXELS = ((-0.375, -0.125), (-0.125, 0.375), (0.125, -0.375), (0.375, 0.125))
"""Where a pixel on an edge is looked through again: a rotated grid, each row and column once."""
_EDGE = 0.08
"""Neighbours whose brightness differs by more lie on an edge."""


class Layer(NamedTuple):
    """Geoms that are drawn as one: what stands behind another of them is not seen."""

    caster: Caster
    surface: NDArray[np.int64]
    """Index in the scene of each geom of the caster's model, [geom]."""
    view: tuple[Eye, Window]
    """Of the camera."""


class _Shot(NamedTuple):
    """All that one picture's pixels have in common."""

    eye: Eye
    far: float
    pixel: float
    """Slope from one pixel to the next."""
    looks: Looks
    lights: list[Lamp]
    opaque: list[Layer]
    translucent: list[Layer]


class RayCamera:
    """Takes pictures of one model; follows the robot, and draws the goal into the scene."""

    def __init__(
        self,
        family: TaskFamily,
        size: tuple[int, int],
        model: mujoco.MjModel | None = None,
        threads: int | None = None,
    ) -> None:
        """Prepare the scene.

        Args:
            family: the robot and its goal.
            size: width and height of the pictures [pixel].
            model: of the body to draw; None for the family's unchanged one.
            threads: that draw a picture together; None for one a core, at most 8.
        """
        self._threads = threads or min(8, cores())
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None
        self._width, self._height = size
        self._studio = Studio(family, size, model)
        drawn = self._studio.model
        self._scene = mujoco.MjvScene(drawn, 10_000)
        self._textures = {
            index: Texture(drawn, index)
            for index in range(drawn.ntex)
            if drawn.tex_type[index] != _SKYBOX
        }
        option, view = mujoco.MjvOption(), mujoco.MjvCamera()
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mj_forward(drawn, self._studio.data)
        mujoco.mjv_updateScene(
            drawn, self._studio.data, option, mujoco.MjvPerturb(), view, everything, self._scene
        )
        shown = [
            (geom.objid, geom.rgba[3] >= _OPAQUE)
            for geom in self._scene.geoms[: self._scene.ngeom]
            if geom.objtype == _GEOM
        ]
        opaque = np.array([index for index, solid in shown if solid], np.int64)
        glass = np.array([index for index, solid in shown if not solid], np.int64)
        moving = np.array(
            [index for index, _ in shown if drawn.body_weldid[drawn.geom_bodyid[index]]], np.int64
        )
        self._opaque = Caster(drawn, opaque, self._threads)
        self._glass = Caster(drawn, glass, self._threads) if len(glass) else None
        self._ghost = Caster(drawn, moving, self._threads)

    def take(
        self, qpos: Array, task: Mapping[str, float], time: float, ghost: Array | None = None
    ) -> NDArray[np.uint8]:
        """Return a picture, [height, width, 3]; see `drawing.Camera.take`."""
        self._studio.compose(self._scene, qpos, task, time, ghost)
        shot = self._shot(ghost is not None)
        a, b = self._pixels(shot.pixel)
        colour, kind, bright = self._trace(shot, a, b)
        shape = self._height, self._width
        edge = np.flatnonzero(_edges(kind.reshape(shape), bright.reshape(shape)))
        fine = shot._replace(pixel=0.5 * shot.pixel)
        right, up = (np.array(_SUBPIXELS).T * shot.pixel)[:, :, None]
        samples = self._trace(fine, (a[edge] + right).ravel(), (b[edge] + up).ravel())[0]
        one, two, three, four = samples.reshape(3, 4, -1).transpose(1, 0, 2)
        colour[:, edge] = (one + two + three + four) / 4.0
        return (colour * 255.0 + 0.5).astype(np.uint8).T.reshape(*shape, 3)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _pixels(self, pixel: float) -> tuple[Array, Array]:
        """Return the slopes to the right and upwards of the rays through pixels, row by row."""
        rows, columns = np.divmod(np.arange(self._width * self._height), self._width)
        right = columns + (0.5 - 0.5 * self._width)
        return right * pixel, ((0.5 * self._height - 0.5) - rows) * pixel

    def _shot(self, with_ghost: bool) -> _Shot:
        """Return what the scene that was composed last shows."""
        model, scene = self._studio.model, self._scene
        view = mujoco.mjv_averageCamera(scene.camera[0], scene.camera[1])
        forward, up = np.array(view.forward, np.float64), np.array(view.up, np.float64)
        right = cross(forward, up)
        eye = Eye(np.array(view.pos, np.float64), forward, right, up)
        slope = (view.frustum_top - view.frustum_bottom) / view.frustum_near
        looks = Looks.of(scene)
        robot, shade = np.zeros(model.ngeom, np.int64), np.zeros(model.ngeom, np.int64)
        decor: tuple[list[int], list[int]] = ([], [])
        for index, geom in enumerate(looks.geoms):
            if geom.objtype == _GEOM:
                (shade if geom.category == _DECOR else robot)[geom.objid] = index
            else:
                decor[int(geom.rgba[3] < _OPAQUE)].append(index)
        self._opaque.pose(self._studio.data)
        casters: tuple[list, list] = ([(self._opaque, robot)], [])
        if self._glass is not None:
            self._glass.pose(self._studio.data)
            casters[1].append((self._glass, robot))
        for indices, group in zip(decor, casters, strict=True):
            if indices:
                group.append(decorations(looks.geoms, indices, self._threads))
        if with_ghost:
            self._ghost.pose(self._studio.ghost)
            casters[1].append((self._ghost, shade))
        opaque, translucent = (
            [Layer(caster, surface, (eye, caster.window(eye))) for caster, surface in group]
            for group in casters
        )
        middle = self._studio.data.xpos[self._studio.root].copy()
        lights = lamps(scene, self._opaque, float(model.stat.extent), middle)
        far = float(view.frustum_far)
        return _Shot(eye, far, slope / self._height, looks, lights, opaque, translucent)

    def _trace(self, shot: _Shot, a: Array, b: Array) -> tuple[Single, NDArray[np.int64], Array]:
        """Return colours [3, ray], which geoms are seen [ray], and brightness [ray]."""
        colour = np.empty((3, len(a)), np.float32)
        kind, bright = np.empty(len(a), np.int64), np.empty(len(a))

        def work(thread: int) -> None:
            for start in range(thread * _BAND, len(a), self._threads * _BAND):
                band = slice(start, start + _BAND)
                colour[:, band], kind[band], bright[band] = self._band(
                    shot, a[band], b[band], thread
                )

        if self._pool is None:
            work(0)
        else:
            list(self._pool.map(work, range(self._threads)))
        return colour, kind, bright

    def _band(
        self, shot: _Shot, a: Array, b: Array, thread: int
    ) -> tuple[Single, NDArray[np.int64], Array]:
        """Return what `_trace` does, of rays that one thread computes together."""
        rays = shot.eye.bundle(a, b)
        colour, bright = np.full((3, len(a)), SKY / 255.0, np.float32), np.ones(len(a))

        def look(layers: list[Layer]) -> Hits:
            hits = Hits.nothing(len(a))
            for layer in layers:
                layer.caster.cast(hits, layer.surface, layer.view, rays, shot.far, thread)
            return hits

        def shine(hits: Hits, at: NDArray[np.int64], caster: Caster | None) -> tuple[Real, Real]:
            points = Points.of(hits, at, rays, shot.eye, shot.pixel)
            tint = tints(self._textures, shot.looks, points, shot.eye)
            return shade(shot.looks, points, tint, shot.lights, caster, thread)

        solid = look(shot.opaque)
        kind = solid.surface
        at = np.flatnonzero(kind >= 0)
        colour[:, at], bright[at] = shine(solid, at, self._opaque)
        layers = [look([layer]) for layer in shot.translucent]
        order = np.argsort([-layer.depth for layer in layers], axis=0, kind="stable")
        # for each pixel from the farthest layer to the nearest
        for place, layer in np.ndindex(len(layers), len(layers)):
            hits = layers[layer]
            at = np.flatnonzero((order[place] == layer) & (hits.depth < solid.depth))
            if not len(at):
                continue
            surface = hits.surface[at]
            # MuJoCo's renderer blends translucent geoms twice, in both orders
            clear = (1.0 - shot.looks.rgba[3, surface]) ** 2
            colour[:, at] = clear * colour[:, at] + (1.0 - clear) * shine(hits, at, None)[0]
            kind[at] = (kind[at] + 1) * len(shot.looks.geoms) + surface
        return colour, kind, bright


def _edges(kind: NDArray[np.int64], bright: Array) -> NDArray[np.bool_]:
    """Return which pixels differ from a neighbour, [height, width]."""
    edge = np.zeros(kind.shape, dtype=bool)
    for one, other in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        differ = (kind[one] != kind[other]) | (np.abs(bright[one] - bright[other]) > _EDGE)
        edge[one] |= differ
        edge[other] |= differ
    return edge
