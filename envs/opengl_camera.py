"""`OpenGLCamera`: pictures by MuJoCo's renderer, headless."""

import os
import sys
from collections.abc import Mapping
from importlib import reload

import mujoco
import numpy as np
from mujoco.rendering.classic import gl_context
from numpy.typing import NDArray

from metarl.envs.robot import Array
from metarl.envs.studio import SKY, Studio
from metarl.envs.task_family import TaskFamily

_PLATFORM = ("MUJOCO_GL", "PYOPENGL_PLATFORM")


class OpenGLCamera:
    """Takes pictures of one model; follows the robot, and draws the goal into the scene."""

    def __init__(
        self, family: TaskFamily, size: tuple[int, int], model: mujoco.MjModel | None = None
    ) -> None:
        """Prepare the scene; the arguments are those of `drawing.camera`.

        Raises:
            RuntimeError: when there is no OpenGL to draw with.
        """
        self.studio = Studio(family, size, model)
        self.renderer = _renderer(self.studio.model, size)
        skybox = mujoco.mjtTexture.mjTEXTURE_SKYBOX.value
        self._has_sky = bool((self.studio.model.tex_type == skybox).any())

    def take(
        self, qpos: Array, task: Mapping[str, float], time: float, ghost: Array | None = None
    ) -> NDArray[np.uint8]:
        """Return a picture, [height, width, 3]; see `drawing.Camera.take`."""
        self.studio.compose(self.renderer.scene, qpos, task, time, ghost)
        picture = self.renderer.render()
        if not self._has_sky:
            picture[self._is_sky(picture)] = SKY
        return picture

    def _is_sky(self, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return where a picture of a model without skybox shows nothing, [height, width].

        MuJoCo clears the picture to black, but something black may be seen, too: only a drawing of
        what is where (`segmentation`, -1 for nothing) tells them apart.
        """
        self.renderer.enable_segmentation_rendering()
        nothing = self.renderer.render()[..., 0] < 0
        self.renderer.disable_segmentation_rendering()
        return nothing & (picture == 0).all(axis=-1)

    def close(self) -> None:
        """Free the renderer."""
        self.renderer.close()


def draw_headless() -> None:
    """Let MuJoCo draw with EGL on Linux without a display, unless MUJOCO_GL says with what.

    Where EGL cannot be had, nothing changes.
    """
    before = {name: os.environ.get(name) for name in _PLATFORM}
    try:
        _choose_egl()
    except Exception:  # whatever PyOpenGL raises without its libraries
        _restore(before)


def _choose_egl() -> None:
    if sys.platform == "linux" and not {"DISPLAY", "MUJOCO_GL"} & set(os.environ):
        # MuJoCo has chosen a window system when it was imported; let it choose again
        os.environ["MUJOCO_GL"] = "egl"
        reload(gl_context)


def _renderer(model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.Renderer:
    before = {name: os.environ.get(name) for name in _PLATFORM}
    try:
        _choose_egl()
        return mujoco.Renderer(model, size[1], size[0])
    except Exception as error:  # without the libraries PyOpenGL raises an AttributeError, on None
        _restore(before)
        raise RuntimeError(
            f"no OpenGL to draw with ({error}). On a headless Linux machine install EGL "
            f"(Debian, Ubuntu: apt install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0), "
            f"set MUJOCO_GL to egl, osmesa or glfw, or draw with renderer='rays'."
        ) from error


def _restore(before: Mapping[str, str | None]) -> None:
    # a process that inherits MUJOCO_GL=egl where EGL is missing cannot even import mujoco
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
