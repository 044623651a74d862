"""Rays against a model's geoms: what each hits first, without OpenGL.

MuJoCo casts a bundle of rays that start at one point (`mj_multiRay`, which releases the GIL) at any
type of geom. Most of a picture is floor and sky, so planes are intersected here, and MuJoCo is
asked only about the rays that pass near another geom.
"""

import copy
import math
from typing import NamedTuple, overload

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]
"""Single precision is enough for light, and half the memory."""
Real = NDArray[np.floating]
"""Of either precision."""
Triple = tuple[Array, Array, Array]
"""x, y and z, each of one shape."""
SingleTriple = tuple[Single, Single, Single]
Vectors = tuple[Real, Real, Real] | Real
"""x, y and z, along the first axis or as a tuple."""
_PLANE = mujoco.mjtGeom.mjGEOM_PLANE.value
_CELLS = 64
"""Of a window, along each side: finer ones are not faster."""
_MARGIN = 1e-6
_CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


class Eye(NamedTuple):
    """A point and a frame; the ray (a, b) leaves the point along forward + a right + b up."""

    origin: Array
    forward: Array
    right: Array
    up: Array

    def bundle(self, a: Array, b: Array) -> "Bundle":
        """Return rays by their slopes to the right and upwards, [ray] each."""
        x, y, z = (
            self.forward[axis] + a * self.right[axis] + b * self.up[axis] for axis in range(3)
        )
        return Bundle(a, b, (x, y, z))


class Bundle(NamedTuple):
    """Rays that leave an eye."""

    a: Array
    """Slope to the right, [ray]."""
    b: Array
    """Slope upwards, [ray]."""
    direction: Triple
    """Of length 1 along the eye's axis, [ray] each."""

    def __getitem__(self, at: NDArray[np.int64]) -> "Bundle":  # type: ignore[override]
        """Return some of the rays."""
        x, y, z = self.direction
        return Bundle(self.a[at], self.b[at], (x[at], y[at], z[at]))


class Window(NamedTuple):
    """Slopes among which lies all that rays may hit, but for planes: cells of a rectangle."""

    low: tuple[float, float]
    """The lowest slopes to the right and upwards."""
    high: tuple[float, float]
    """The highest."""
    taken: NDArray[np.bool_]
    """Whether something may be hit in a cell, [cell upwards, cell to the right]."""

    @classmethod
    def around(cls, low: Array, high: Array) -> "Window":
        """Return the union of rectangles between slopes low and high, [rectangle, 2] each."""
        taken = np.zeros((_CELLS, _CELLS), dtype=bool)
        if not len(low):
            return cls((math.inf, math.inf), (-math.inf, -math.inf), taken)
        if not np.isfinite([low, high]).all():
            return cls((-math.inf, -math.inf), (math.inf, math.inf), ~taken)
        (left, bottom), (right, top) = low.min(axis=0).tolist(), high.max(axis=0).tolist()
        window = cls((left, bottom), (right, top), taken)
        cells = zip(*window._cells(low[:, 0], low[:, 1]), *window._cells(*high.T), strict=True)
        for row, column, last_row, last_column in cells:
            taken[row : last_row + 1, column : last_column + 1] = True
        return window

    def inside(self, a: Array, b: Array) -> NDArray[np.int64]:
        """Return the indices of the rays that pass through it."""
        (left, bottom), (right, top) = self.low, self.high
        at = np.flatnonzero((a >= left) & (a <= right) & (b >= bottom) & (b <= top))
        if math.isinf(left):
            return at
        return at[self.taken[self._cells(a[at], b[at])]]

    def _cells(self, a: Array, b: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return rows and columns of the cells of slopes within the rectangle."""
        column, row = (
            # less than all, that the highest slope is in the last cell
            ((slope - low) * (0.999999 * _CELLS / (high - low))).astype(np.intp)
            for slope, low, high in zip((a, b), self.low, self.high, strict=True)
        )
        return row, column


class Hits(NamedTuple):
    """What rays have hit so far."""

    surface: NDArray[np.int64]
    """Index of the scene's geom, [ray]; -1 for nothing."""
    depth: Array
    """In units of the ray's direction, [ray]; infinite for nothing."""
    normal: Single
    """Of the surface, [3, ray]; zero for nothing."""

    @classmethod
    def nothing(cls, count: int) -> "Hits":
        """Return the hits of as many rays before they are cast."""
        depth = np.full(count, math.inf)
        return cls(np.full(count, -1, np.int64), depth, np.zeros((3, count), np.float32))


class Caster:
    """Some geoms of a model, for rays to hit; a copy of the state for each thread.

    `mj_multiRay` allocates on the stack of its MjData, which threads therefore cannot share.
    """

    def __init__(self, model: mujoco.MjModel, geoms: NDArray[np.int64], threads: int) -> None:
        """Prepare a copy of the model in which a ray hits these geoms only.

        Args:
            model: any.
            geoms: indices, [geom].
            threads: how many will cast at the same time.
        """
        is_plane = model.geom_type[geoms] == _PLANE
        self._planes, self._solids = geoms[is_plane], geoms[~is_plane]
        # rays pass through what is quite transparent; materials would have a say, too
        self._model = copy.copy(model)
        self._model.geom_matid[:] = -1
        self._model.geom_rgba[:, 3] = 0.0
        self._model.geom_rgba[self._solids, 3] = 1.0
        self._data = [mujoco.MjData(self._model) for _ in range(threads)]

    def pose(self, data: mujoco.MjData) -> None:
        """Take over a state of the model, after its kinematics."""
        for copied in self._data:
            copied.geom_xpos[:], copied.geom_xmat[:] = data.geom_xpos, data.geom_xmat
            copied.xpos[:], copied.xmat[:] = data.xpos, data.xmat
            copied.xipos[:], copied.ximat[:] = data.xipos, data.ximat

    def window(self, eye: Eye) -> Window:
        """Return the window around the bounding boxes of all geoms but planes.

        A box is convex: seen from a point behind which none of it lies, it covers no more than the
        rectangle around its corners. The margin is for rounding.
        """
        data, geoms = self._data[0], self._solids
        frame = data.geom_xmat[geoms].reshape(-1, 3, 3)
        boxes = self._model.geom_aabb[geoms]
        corners = boxes[:, None, :3] + _CORNERS * boxes[:, None, 3:]
        place = (frame[:, None] * corners[:, :, None]).sum(axis=-1)
        place += data.geom_xpos[geoms, None] - eye.origin
        depth, aside, above = (
            (place * axis).sum(axis=-1) for axis in (eye.forward, eye.right, eye.up)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = np.stack([aside, above]) / np.where(depth > 0.0, depth, 0.0)
        low, high = slopes.min(axis=-1).T - _MARGIN, slopes.max(axis=-1).T + _MARGIN
        return Window.around(low, high)

    def cast(
        self,
        hits: Hits,
        surface: NDArray[np.int64],
        view: tuple[Eye, Window],
        rays: Bundle,
        far: float,
        thread: int,
    ) -> None:
        """Write what rays hit, where it is nearer than what they have hit so far.

        Args:
            hits: changed in place.
            surface: what to call each geom of the model, [geom].
            view: where the rays start, and the window of this caster.
            rays: which.
            far: the depth beyond which nothing is seen.
            thread: which copy of the state to use.
        """
        eye, window = view
        near = window.inside(rays.a, rays.b)
        geom, depth, normal = self._cast_solids(eye, rays[near], far, thread)
        hit = np.flatnonzero((geom >= 0) & (depth < hits.depth[near]))
        at = near[hit]
        hits.surface[at], hits.depth[at] = surface[geom[hit]], depth[hit]
        hits.normal[:, at] = normal[hit].T
        for plane in self._planes:
            self._cast_plane(plane, hits, int(surface[plane]), eye, rays, far)

    def shades(
        self, view: tuple[Eye, Window], rays: Bundle, depth: Array, thread: int
    ) -> NDArray[np.bool_]:
        """Return whether something stands before a depth, [ray]; planes shade nothing."""
        eye, window = view
        shaded = np.zeros(len(depth), dtype=bool)
        near = window.inside(rays.a, rays.b)
        geom, first, _ = self._cast_solids(eye, rays[near], math.inf, thread)
        shaded[near] = (geom >= 0) & (first < depth[near])
        return shaded

    def _cast_solids(
        self, eye: Eye, rays: Bundle, far: float, thread: int
    ) -> tuple[NDArray[np.int32], Array, Array]:
        """Return geom [ray], depth [ray] and normal [ray, 3] of what is hit that is no plane."""
        count = len(rays.a)
        geom, depth, normal = np.empty(count, np.int32), np.empty(count), np.empty(3 * count)
        if count:
            mujoco.mj_multiRay(
                m=self._model,
                d=self._data[thread],
                pnt=eye.origin,
                vec=np.stack(rays.direction, axis=1).ravel(),
                geomgroup=None,
                flg_static=True,
                bodyexclude=-1,
                geomid=geom,
                dist=depth,
                normal=normal,
                nray=count,
                cutoff=min(far, 1e10),
            )
        return geom, depth, normal.reshape(count, 3)

    def _cast_plane(
        self, plane: int, hits: Hits, surface: int, eye: Eye, rays: Bundle, far: float
    ) -> None:
        """Write where rays hit a plane from its front, if before what they hit so far."""
        frame = self._data[0].geom_xmat[plane].reshape(3, 3)
        offset = eye.origin - self._data[0].geom_xpos[plane]
        start = [float((offset * frame[:, axis]).sum()) for axis in range(3)]
        fall = dot(rays.direction, frame[:, 2])
        at = np.flatnonzero(fall < 0.0)
        depth = -start[2] / fall[at]
        hit = (depth > 0.0) & (depth < np.minimum(hits.depth[at], far))
        at, depth = at[hit], depth[hit]
        for axis in range(2):
            half = float(self._model.geom_size[plane, axis])
            if half > 0.0:
                slope = dot(rays.direction, frame[:, axis])[at]
                hit = np.abs(start[axis] + depth * slope) <= half
                at, depth = at[hit], depth[hit]
        hits.surface[at], hits.depth[at] = surface, depth
        for axis in range(3):
            hits.normal[axis][at] = frame[axis, 2]


@overload
def dot(a: Triple | Array, b: Triple | Array) -> Array: ...
@overload
def dot(a: SingleTriple, b: SingleTriple | Single) -> Single: ...
@overload
def dot(a: Vectors, b: Vectors) -> Real: ...
def dot(a: Vectors, b: Vectors) -> Real:
    """Return scalar products; of plain products and sums, which are the same on any machine."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Array, b: Array) -> Array:
    """Return the vector product, [3], of two vectors."""
    return np.array(
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    )
