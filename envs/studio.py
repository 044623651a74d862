"""The scene that every camera draws: a calm room, the robot, its goal, its ghost, and the view.

MuJoCo's abstract scene (`MjvScene`: geoms, lights and the camera's pose) is computed without
OpenGL, so that one function places everything for all cameras.
"""

import copy
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.goal import Marker
from metarl.envs.model import element_index
from metarl.envs.rest_fields import put_at_rest
from metarl.envs.robot import Array
from metarl.envs.task_family import TaskFamily

GROUND = 10.0
"""Half the side from which a plane is ground [m]."""
FLOOR = np.array([[178, 188, 200], [204, 212, 221]], np.uint8)
"""Colours of the dark and the light squares."""
SKY = 246
"""The grey level of the sky."""
GOAL_COLOUR = np.array([0.85, 0.2, 0.15, 1.0], np.float32)
GHOST_COLOUR = np.array([0.25, 0.4, 0.75, 0.35], np.float32)


class Studio:
    """A robot's model in calm colours, with its state and the state of its ghost."""

    def __init__(
        self, family: TaskFamily, size: tuple[int, int], model: mujoco.MjModel | None = None
    ) -> None:
        """Prepare the model.

        Args:
            family: the robot and its goal.
            size: width and height of the pictures [pixel].
            model: of the body to draw; None for the family's unchanged one.
        """
        self._family = family
        self.model = _calm(model or family.model, size)
        self.data = mujoco.MjData(self.model)
        """The robot's state in the scene composed last."""
        self.ghost = mujoco.MjData(self.model)
        """The ghost's state in the scene composed last, if it has one."""
        for data in (self.data, self.ghost):
            put_at_rest(family.robot, self.model, data)  # mocap bodies are where starts have them
        self.root = family.robot.root_body(self.model)
        """The body that the camera follows."""
        self._ground = _ground(self.model)
        self._steps = [_step(self.model, plane) for plane in self._ground]

    def compose(
        self,
        scene: mujoco.MjvScene,
        qpos: Array,
        task: Mapping[str, float],
        time: float,
        ghost: Array | None = None,
    ) -> None:
        """Fill a scene; the camera follows the robot, unless the robot's class says otherwise.

        Args:
            scene: what it held is replaced.
            qpos: the robot's position, [nq].
            task: its task, whose goal is marked.
            time: since the episode began [s].
            ghost: where another robot stands translucent, [nq]; both are kept in view.
        """
        self.data.qpos[:] = qpos
        mujoco.mj_forward(self.model, self.data)
        marker = self._family.goal.marker(task, time) if self._family.goal.marker else None
        camera = mujoco.MjvCamera()
        camera.distance, camera.azimuth, camera.elevation = self._family.robot.camera
        robot = self.data.xpos[self.root]
        middle = robot
        if ghost is not None:
            self.ghost.qpos[:] = ghost
            mujoco.mj_forward(self.model, self.ghost)
            middle = (robot + self.ghost.xpos[self.root]) / 2.0
        if self._family.robot.lookat is not None:
            camera.lookat[:] = self._family.robot.lookat
        elif marker and marker.kind == "point":
            camera.lookat[:] = (marker.x / 2.0, marker.y / 2.0, 0.0)
            camera.distance += float(np.hypot(marker.x, marker.y)) / 2.0
        else:
            camera.lookat[:] = middle
            camera.distance += 1.6 * float(np.linalg.norm(middle - robot))
        if self._family.robot.camera_name is not None:
            camera.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
            name = self._family.robot.camera_name
            camera.fixedcamid = element_index(self.model, "camera", name)
        self._move_ground(middle)
        self.data.light_xpos[:, :2] = robot[:2]  # OpenGL draws shadows near the light only
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        option, perturbation = mujoco.MjvOption(), mujoco.MjvPerturb()
        mujoco.mjv_updateScene(
            self.model, self.data, option, perturbation, camera, everything, scene
        )
        if marker:
            size = self._family.robot.camera[0] if ghost is None else camera.distance
            _mark(scene, marker, robot, size)
        if ghost is not None:
            _haunt(scene, self.model, self.ghost)

    def _move_ground(self, place: Array) -> None:
        """Let ground be drawn around a place, moved there by a quarter of its side at a time.

        Planes hold at any distance from their middle, but are drawn up to their size: half cheetahs
        run 40 m in 8 s. OpenGL draws them in quarters, which fall on each other wherever a quarter
        is so many whole squares: pictures are then the same as around the middle. (Larger planes
        get wrong shadows from Mesa's OpenGL more often than its one in 200 pictures.)
        """
        for plane, step in zip(self._ground, self._steps, strict=True):
            along = self.data.geom_xmat[plane].reshape(3, 3)[:, :2]
            away = (place - self.data.geom_xpos[plane]) @ along
            self.data.geom_xpos[plane] += along @ (np.round(away / step) * step)


def _calm(model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.MjModel:
    """Return a copy of the model with a calm, light sky and floor, without mirror images.

    All else keeps its textures and colours; a texture that the floor shares with another geom, too.
    """
    model = copy.copy(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = size
    model.vis.quality.shadowsize = 1024
    model.vis.map.shadowclip = 0.3  # beyond, OpenGL's shadows turn into dark wedges
    if not model.nlight:  # MuJoCo's light at the camera leaves everything nearly black
        model.vis.headlight.ambient[:] = 0.35
        model.vis.headlight.diffuse[:] = 0.45
    model.mat_reflectance[:] = 0.0
    model.mat_specular[:] = 0.1
    is_plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value
    model.geom_rgba[is_plane, :3] = 1.0
    model.geom_rgba[is_plane & (model.geom_matid < 0), :3] = FLOOR[1] / 255.0
    floor, others = (_materials(model, chosen) for chosen in (is_plane, ~is_plane))
    for texture in range(model.ntex):
        start = model.tex_adr[texture]
        extent = model.tex_height[texture] * model.tex_width[texture]
        channels = model.tex_nchannel[texture]
        pixels = model.tex_data[start : start + extent * channels].reshape(extent, channels)
        if model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value:
            pixels[:] = SKY
        has_texture = (model.mat_texid == texture).any(axis=1)
        if (
            model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D.value
            or not (floor & has_texture).any()
            or (others & has_texture).any()
        ):
            continue
        light = pixels[:, :3].mean(1) > pixels[:, :3].mean()
        pixels[:, :3] = FLOOR[light.astype(int)]
        model.mat_rgba[has_texture] = 1.0
    return model


def _ground(model: mujoco.MjModel) -> NDArray[np.intp]:
    """Return the planes that are ground; small ones are tables and arenas."""
    is_plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value
    stands = model.body_weldid[model.geom_bodyid] == 0
    return np.flatnonzero(is_plane & stands & (model.geom_size[:, :2].min(axis=1) >= GROUND))


def _step(model: mujoco.MjModel, plane: int) -> Array:
    """Return about a quarter of a plane's sides, after which it looks the same, [2], in metres.

    A material's texture lies `texrepeat` times over a plane, or over 2 m if it is uniform.
    """
    material, size = model.geom_matid[plane], model.geom_size[plane, :2]
    if material < 0 or (model.mat_texrepeat[material] <= 0.0).any():
        return size / 2.0
    over = 2.0 if model.mat_texuniform[material] else 2.0 * size
    square = over / model.mat_texrepeat[material]
    return np.maximum(1.0, np.round(size / 2.0 / square)) * square


def _materials(model: mujoco.MjModel, geoms: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which materials some geoms use, [material]."""
    materials = model.geom_matid[geoms]
    return np.isin(np.arange(model.nmat), materials[materials >= 0])


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
        in_the_air = marker.z > 0.03 * distance
        disc, ball = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_SPHERE
        shape = np.array([0.02, 0.0, 0.0]) if in_the_air else np.array([0.03, 0.002, 0.0])
        kind = ball if in_the_air else disc
        mujoco.mjv_initGeom(geom, kind, distance * shape, centre, upright, GOAL_COLOUR)
    geom.category = mujoco.mjtCatBit.mjCAT_DECOR.value  # casts no shadow
    geom.objtype = mujoco.mjtObj.mjOBJ_UNKNOWN.value  # not set above: it may hold anything
    geom.objid = geom.segid = -1
    scene.ngeom += 1
