"""Pictures of a robot and of its goal, with OpenGL or without it."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Literal, Protocol, get_args

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.opengl_camera import OpenGLCamera
from metarl.envs.ray_camera import RayCamera
from metarl.envs.robot import Array
from metarl.envs.task_family import TaskFamily

Frame = NDArray[np.uint8]
Renderer = Literal["auto", "opengl", "rays"]
"""What draws: MuJoCo's OpenGL renderer; rays, which need no OpenGL; or the first that works."""

_LOG = logging.getLogger(__name__)


class Camera(Protocol):
    """Takes pictures of one model; follows the robot, and draws the goal into the scene."""

    def take(
        self, qpos: Array, task: Mapping[str, float], time: float, ghost: Array | None = None
    ) -> Frame:
        """Return a picture, [height, width, 3].

        Args:
            qpos: the robot's position, [nq].
            task: its task.
            time: since the episode began [s].
            ghost: where another robot is drawn translucent, [nq]; both are kept in the picture.
        """
        ...

    def close(self) -> None:
        """Free what the camera holds."""
        ...


def camera(
    family: TaskFamily,
    size: tuple[int, int],
    model: mujoco.MjModel | None = None,
    renderer: Renderer = "auto",
) -> Camera:
    """Return a camera.

    Args:
        family: the robot and its goal.
        size: width and height of the pictures [pixel].
        model: of the body to draw; None for the family's unchanged one.
        renderer: `opengl`, `rays`, or `auto`: OpenGL where it works, else rays.

    Raises:
        ValueError: for another renderer.
        RuntimeError: for `opengl` where there is none to draw with.
    """
    if renderer not in get_args(Renderer):
        raise ValueError(
            f"renderer must be one of {', '.join(get_args(Renderer))}, got {renderer!r}"
        )
    if renderer == "rays":
        return RayCamera(family, size, model)
    try:
        return OpenGLCamera(family, size, model)
    except RuntimeError as error:
        if renderer == "opengl":
            raise
        _say_once(str(error).partition(". ")[0])
        return RayCamera(family, size, model)


@cache
def _say_once(reason: str) -> None:
    _LOG.warning("%s: pictures are drawn by casting rays", reason)
