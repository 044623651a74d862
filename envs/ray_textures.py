"""Textures seen through pixels: the mean colour of the rectangle that a pixel covers.

A pixel covers a piece of floor that is small nearby and wide far away; sampling one texel would
make the far squares flicker. The mean over a rectangle costs the same at any size from the integral
image (Crow 1984, summed-area tables): I(u, v) is the sum of the texels before u and v, and

    mean = (I(u1, v1) - I(u0, v1) - I(u1, v0) + I(u0, v0)) / ((u1 - u0) (v1 - v0)).

A texture is constant within a texel, therefore I is bilinear there and is interpolated exactly.

The usual floor is a checker of 2 x 2 squares, where a look-up is not needed: it is the product of
two square waves of +1 and -1, whose mean over a rectangle is the product of their means. The
integral of one from 0 to u is the triangle wave T(u) = 1/2 - |u - floor(u) - 1/2|, for u in
textures. That takes a seventh of the time.
"""

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Real = NDArray[np.floating]
_CUBE_FACES = 6


class Texture:
    """A texture of a model, on a plane or around a solid."""

    def __init__(self, model: mujoco.MjModel, index: int) -> None:
        """Sum the texels of the model's texture with this index."""
        height, width = int(model.tex_height[index]), int(model.tex_width[index])
        channels, start = int(model.tex_nchannel[index]), int(model.tex_adr[index])
        pixels = model.tex_data[start : start + height * width * channels]
        pixels = pixels.reshape(height, width, channels)
        colours = np.repeat(pixels, 3, axis=2) if channels < 3 else pixels[..., :3]
        self.mean = colours.mean((0, 1), dtype=np.float64)[:, None] / 255.0
        """[3, 1], 0 to 1."""
        self.is_cube = bool(model.tex_type[index] == mujoco.mjtTexture.mjTEXTURE_CUBE.value)
        self._size = width, height // _CUBE_FACES if self.is_cube else height
        palette, indices = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
        if len(palette) <= 2:  # a checker: one channel says how much of the second colour there is
            values = indices.reshape(height, width, 1)
            self._dark, self._light = palette[[0, -1], :, None] / 255.0
        else:
            values = colours
            self._dark, self._light = np.zeros((3, 1)), np.full((3, 1), 1.0 / 255.0)
        self._checker = None
        if not self.is_cube and _is_checker(values):
            dark = self._dark.astype(np.float32)
            self._checker = dark, self._light.astype(np.float32) - dark
        if not self.is_cube:
            # a rectangle that begins in the first tile and is no wider than one ends in the second
            values = np.tile(values, (2, 2, 1))
        sums = np.zeros((values.shape[2], values.shape[0] + 1, values.shape[1] + 1))
        sums[:, 1:, 1:] = values.transpose(2, 0, 1).cumsum(1, dtype=np.int64).cumsum(2)
        self._rows, self._columns = sums.shape[1:]
        self._sums = sums.reshape(len(sums), -1)

    def repeated(self, u: Array, v: Array, across: tuple[Array, Array]) -> Real:
        """Return mean colours of an endlessly repeated texture, [3, pixel], 0 to 1.

        Args:
            u: centre of the rectangle to the right, in textures, [pixel].
            v: centre downwards, in textures, [pixel].
            across: width and height of the rectangle, in textures, [pixel] each.
        """
        sizes = [
            np.clip(extent, 1.0 / texels, 1.0)
            for extent, texels in zip(across, self._size, strict=True)
        ]
        if self._checker:
            waves = [
                (_triangle(middle + 0.5 * size) - _triangle(middle - 0.5 * size)) / size
                for middle, size in zip((u, v), sizes, strict=True)
            ]
            light = (0.5 - 0.5 * waves[0] * waves[1]).astype(np.float32)
            return self._checker[0] + light * self._checker[1]
        edges = []
        for middle, size, texels in zip((u, v), sizes, self._size, strict=True):
            first = middle - 0.5 * size
            first -= np.floor(first)
            edges.append((first * texels, (first + size) * texels))
        return self._mean(*edges)

    def around(self, direction: tuple[Array, Array, Array], across: Array) -> Array:
        """Return mean colours of a cube's faces, [3, pixel], 0 to 1.

        Args:
            direction: x, y and z from the middle of the cube, [pixel] each.
            across: how wide a pixel is, where the cube's half side is 1, [pixel].
        """
        face, s, t = _cube_face(direction)
        texels = float(self._size[0])
        size = np.clip(0.5 * across, 1.0 / texels, 1.0)
        edges = []
        for middle, offset in ((s, 0.0), (t, face * texels)):
            first = np.clip(0.5 * (middle + 1.0) - 0.5 * size, 0.0, 1.0 - size)
            edges.append((first * texels + offset, (first + size) * texels + offset))
        return self._mean(*edges)

    def _mean(self, across: tuple[Array, Array], down: tuple[Array, Array]) -> Array:
        """Return mean colours between edges [texel], [3, pixel], 0 to 1."""
        texels = [np.minimum(u.astype(np.int64), self._columns - 2) for u in across]
        columns = [(texel, u - texel) for texel, u in zip(texels, across, strict=True)]
        texels = [np.minimum(v.astype(np.int64), self._rows - 2) for v in down]
        rows = [(texel * self._columns, v - texel) for texel, v in zip(texels, down, strict=True)]
        area = (across[1] - across[0]) * (down[1] - down[0])
        shares = []
        for sums in self._sums:
            first, second = (
                self._integral(sums, row, columns[1]) - self._integral(sums, row, columns[0])
                for row in rows
            )
            shares.append((second - first) / area)
        return self._dark + np.stack(shares) * (self._light - self._dark)

    def _integral(
        self,
        sums: Array,
        row: tuple[NDArray[np.int64], Array],
        column: tuple[NDArray[np.int64], Array],
    ) -> Array:
        """Return the sum of the texels before a row and a column, each whole and rest, [pixel]."""
        (start, below), (texel, right) = row, column
        at = start + texel
        corner = sums.take(at)
        at += 1
        upper = corner + (sums.take(at) - corner) * right
        at += self._columns
        corner = sums.take(at)
        at -= 1
        left = sums.take(at)
        lower = left + (corner - left) * right
        return upper + (lower - upper) * below


def _is_checker(values: NDArray[np.integer]) -> bool:
    """Return whether a texture [height, width, channel] is 0 1 over 1 0, in squares."""
    height, width, channels = values.shape
    if channels > 1 or height % 2 or width % 2:
        return False
    quarters = values.reshape(2, height // 2, 2, width // 2).swapaxes(1, 2)
    return bool((quarters == np.array([[0, 1], [1, 0]])[:, :, None, None]).all())


def _triangle(u: Array) -> Array:
    """Return the integral from 0 to u of a wave that is 1 in the first half of [0, 1], then -1."""
    return 0.5 - np.abs(u - np.floor(u) - 0.5)


def _cube_face(direction: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Return the face of a cube that directions hit, and where on it: s and t, -1 to 1.

    The faces' order and axes are those of OpenGL's cube maps (specification 4.6, table 8.19).
    """
    x, y, z = direction
    sizes = np.abs(np.stack([x, y, z]))
    axis = np.argmax(sizes, axis=0)
    on_x, on_y = axis == 0, axis == 1
    major = np.where(on_x, x, np.where(on_y, y, z))
    positive = major > 0.0
    scale = 1.0 / np.maximum(np.abs(major), 1e-12)
    sign = np.where(positive, 1.0, -1.0)
    s = np.where(on_x, -sign * z, np.where(on_y, x, sign * x)) * scale
    t = np.where(on_y, sign * z, -y) * scale
    return 2.0 * axis + ~positive, s, t
