"""Pictures that third-party environments render: kept in an episode, shown in films."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from metarl.envs.drawing import Frame


def packed(picture: Frame) -> bytes:
    """Return a picture as a PNG file: an episode of a thousand raw ones would take a gigabyte.

    Args:
        picture: [height, width, 3] of 0 to 255.

    Raises:
        ValueError: for what is not such a picture.
    """
    shape = np.shape(picture)
    if len(shape) != 3 or shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(
            f"an environment's render must return a picture [height, width, 3] of uint8, "
            f"got {type(picture).__name__} {list(shape)}"
        )
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


class Screen:
    """Shows packed pictures in a panel, in the place of a camera."""

    def __init__(self, size: tuple[int, int], paper: tuple[int, int, int]) -> None:
        """Prepare.

        Args:
            size: width and height of the panel [pixel].
            paper: colour of what the picture leaves free.
        """
        self._size = size
        self._paper = paper

    def take(
        self,
        state: bytes,
        task: Mapping[str, float],
        time: float,
        ghost: NDArray[np.float64] | None = None,
    ) -> Frame:
        """Return the picture, scaled to fit, [height, width, 3]; see `Camera.take`."""
        with Image.open(BytesIO(state)) as picture:
            return np.asarray(ImageOps.pad(picture, self._size, color=self._paper))

    def close(self) -> None:
        """Do nothing: there is no renderer."""
