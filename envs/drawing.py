"""Pictures of a robot and of its goal, headless."""

import copy
import os
import sys
from collections.abc import Mapping
from importlib import reload

import mujoco
import numpy as np
from mujoco.rendering.classic import gl_context
from numpy.typing import NDArray

from metarl.envs.goals import Marker
from metarl.envs.robot import Array
from metarl.envs.task_family import TaskFamily

FLOOR = np.array([[178, 188, 200], [204, 212, 221]], np.uint8)  # dark and light squares
SKY = 246
GOAL_COLOUR = np.array([0.85, 0.2, 0.15, 1.0], np.float32)
GHOST_COLOUR = np.array([0.25, 0.4, 0.75, 0.35], np.float32)

Frame = NDArray[np.uint8]


class Camera:
    """Takes pictures of one model; follows the robot, and draws the goal into the scene."""

    def __init__(
        self, family: TaskFamily, size: tuple[int, int], model: mujoco.MjModel | None = None
    ) -> None:
        """Prepare the scene.

        Args:
            family: the robot and its goal.
            size: width and height [pixel].
            model: of the body to draw; None for the family's unchanged one.

        Raises:
            RuntimeError: when there is no OpenGL to draw with.
        """
        self._family = family
        self._model = _studio(model or family.model, size)
        self._data = mujoco.MjData(self._model)
        self._ghost = mujoco.MjData(self._model)
        self._renderer = _renderer(self._model, size)
        skybox = mujoco.mjtTexture.mjTEXTURE_SKYBOX.value
        self._has_sky = bool((self._model.tex_type == skybox).any())

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
        self._data.qpos[:] = qpos
        mujoco.mj_forward(self._model, self._data)
        marker = self._family.goal.marker(task, time) if self._family.goal.marker else None
        camera = mujoco.MjvCamera()
        camera.distance, camera.azimuth, camera.elevation = self._family.robot.camera
        robot = self._data.xpos[1]
        middle = robot
        if ghost is not None:
            self._ghost.qpos[:] = ghost
            mujoco.mj_forward(self._model, self._ghost)
            middle = (robot + self._ghost.xpos[1]) / 2.0
        if self._family.robot.lookat is not None:
            camera.lookat[:] = self._family.robot.lookat
        elif marker and marker.kind == "point":
            camera.lookat[:] = (marker.x / 2.0, marker.y / 2.0, 0.0)
            camera.distance += float(np.hypot(marker.x, marker.y)) / 2.0
        else:
            camera.lookat[:] = middle
            camera.distance += 1.6 * float(np.linalg.norm(middle - robot))
        self._data.light_xpos[:, :2] = robot[:2]  # shadows are drawn near the light only
        self._renderer.update_scene(self._data, camera)
        if marker:
            size = self._family.robot.camera[0] if ghost is None else camera.distance
            _mark(self._renderer.scene, marker, robot, size)
        if ghost is not None:
            _haunt(self._renderer.scene, self._model, self._ghost)
        picture = self._renderer.render()
        if not self._has_sky:
            picture[(picture == 0).all(axis=-1)] = SKY
        return picture

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()


def draw_headless() -> None:
    """Let MuJoCo draw with EGL on Linux without a display, unless MUJOCO_GL says with what."""
    if sys.platform == "linux" and not {"DISPLAY", "MUJOCO_GL"} & set(os.environ):
        # MuJoCo has chosen a window system when it was imported; let it choose again
        os.environ["MUJOCO_GL"] = "egl"
        reload(gl_context)


def _renderer(model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.Renderer:
    draw_headless()
    try:
        return mujoco.Renderer(model, size[1], size[0])
    except Exception as error:
        raise RuntimeError(
            f"no OpenGL to draw with ({error}). On a headless Linux machine install EGL "
            f"(Debian, Ubuntu: apt install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0), "
            f"or set MUJOCO_GL to egl, osmesa or glfw."
        ) from error


def _studio(model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.MjModel:
    """Return a copy of the model with a calm, light sky and floor, without mirror images."""
    model = copy.copy(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = size
    model.vis.quality.shadowsize = 1024
    model.vis.map.shadowclip = 0.3  # beyond, shadows turn into dark wedges
    model.mat_reflectance[:] = 0.0
    model.mat_specular[:] = 0.1
    model.geom_rgba[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value, :3] = 1.0
    for texture in range(model.ntex):
        start = model.tex_adr[texture]
        extent = model.tex_height[texture] * model.tex_width[texture]
        channels = model.tex_nchannel[texture]
        pixels = model.tex_data[start : start + extent * channels].reshape(extent, channels)
        if model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value:
            pixels[:] = SKY
        if model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D.value:
            continue
        light = pixels[:, :3].mean(1) > pixels[:, :3].mean()
        pixels[:, :3] = FLOOR[light.astype(int)]
        model.mat_rgba[(model.mat_texid == texture).any(axis=1)] = 1.0
    return model


def _haunt(scene: mujoco.MjvScene, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Add what moves of another state of the model to a scene, translucent."""
    first = scene.ngeom
    moves = mujoco.mjtCatBit.mjCAT_DYNAMIC.value
    option, perturbation = mujoco.MjvOption(), mujoco.MjvPerturb()
    mujoco.mjv_addGeoms(model, data, option, perturbation, moves, scene)
    for geom in scene.geoms[first : scene.ngeom]:
        geom.rgba[:] = GHOST_COLOUR
        geom.matid = -1
        geom.category = mujoco.mjtCatBit.mjCAT_DECOR.value  # casts no shadow


def _mark(
    scene: mujoco.MjvScene, marker: Marker, robot: NDArray[np.float64], distance: float
) -> None:
    """Add a marker to a scene; its size goes with the camera's distance."""
    geom = scene.geoms[scene.ngeom]
    size, nowhere, upright = np.zeros(3), np.zeros(3), np.eye(3).ravel()
    arrow, capsule = mujoco.mjtGeom.mjGEOM_ARROW, mujoco.mjtGeom.mjGEOM_CAPSULE
    if marker.kind == "arrow":
        start = robot + np.array([0.0, 0.0, 0.17 * distance])
        tip = start + 0.2 * distance * np.array([marker.x, marker.y, 0.0])
        mujoco.mjv_initGeom(geom, arrow, size, nowhere, upright, GOAL_COLOUR)
        mujoco.mjv_connector(geom, arrow, 0.012 * distance, start, tip)
    elif marker.kind == "line":
        # a robot far behind sees it at the edge of the picture
        x = np.clip(marker.x, robot[0] - 0.45 * distance, robot[0] + 0.45 * distance)
        ends = np.array([[x, -0.25 * distance, 0.0], [x, 0.25 * distance, 0.0]])
        mujoco.mjv_initGeom(geom, capsule, size, nowhere, upright, GOAL_COLOUR)
        mujoco.mjv_connector(geom, capsule, 0.01 * distance, *ends)
    else:
        centre = np.array([marker.x, marker.y, marker.z])
        flat = np.array([0.03 * distance, 0.03 * distance, 0.002 * distance])
        disc = mujoco.mjtGeom.mjGEOM_CYLINDER
        mujoco.mjv_initGeom(geom, disc, flat, centre, upright, GOAL_COLOUR)
    geom.category = mujoco.mjtCatBit.mjCAT_DECOR.value  # casts no shadow
    scene.ngeom += 1
