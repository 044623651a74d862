"""Films of a policy before and after adaptation, side by side, headless."""

import copy
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import reload
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
from mujoco.rendering.classic import gl_context
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agents.policy import Parameters
from envs.family import TaskFamily
from envs.goals import Marker
from envs.simulator import Simulator
from envs.tasks import Tasks
from metarl.collect import collect
from metarl.files import whole_file
from metarl.maml import MAML
from metarl.rollouts import Rollouts
from metarl.streams import Key, Phase, Purpose, stream

ENDINGS = (".mp4", ".gif")
PANEL = (480, 400)  # width and height [pixel]
GAP, HEADER = 16, 80
FLOOR = np.array([[178, 188, 200], [204, 212, 221]], np.uint8)  # dark and light squares
SKY = 246
INK, SOFT, PAPER = (25, 30, 40), (110, 118, 130), (250, 250, 248)
GOAL_COLOUR = np.array([0.85, 0.2, 0.15, 1.0], np.float32)

Frame = NDArray[np.uint8]


class Take(NamedTuple):
    """One filmed episode."""

    title: str
    qpos: NDArray[np.float64]
    """The state at the start and after each step, [time + 1, nq]."""
    rewards: NDArray[np.float64]
    """[time]."""


def render(
    learner: MAML,
    task: Tasks | Mapping[str, float],
    path: str | Path,
    *,
    rollouts: int = 20,
    steps: int = 1,
    seed: int = 0,
) -> Path:
    """Adapt to a task and film the policy before and after, from the same start state.

    The films show the most likely actions; adaptation itself explores as in training.

    Args:
        learner: the learner; it is not changed.
        task: one task's parameters, such as `{"velocity": 1.2}`.
        path: where to; `.mp4` (H.264) or `.gif`.
        rollouts: how many each inner step learns from.
        steps: inner steps.
        seed: decides the start state and exploration.

    Returns:
        The path.

    Raises:
        ValueError: for another ending, or a task that the family does not have.
        RuntimeError: when there is no OpenGL to draw with.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(f"a video's name must end in {' or '.join(ENDINGS)}, got {path.name!r}")
    table = learner.family.task(task)
    if len(table) != 1:
        raise ValueError(f"a video shows one task, got {len(table)}")
    key = Key(seed, Phase.ADAPT)
    with whole_file(path) as temporary:
        stages = list(learner.adaptation(table, rollouts, [learner.config.inner_lr] * steps, key))
        done = "1 inner step" if steps == 1 else f"{steps} inner steps"
        takes = [
            shoot(learner, table, stage.parameters, key, title)
            for stage, title in (
                (stages[0], "before adaptation"),
                (stages[-1], f"after {done}, {rollouts * steps} rollouts"),
            )
        ]
        write_video(temporary, frames(learner.family, table, takes), _rate(learner.family))
    return path


def shoot(learner: MAML, task: Tasks, parameters: Parameters, key: Key, title: str) -> Take:
    """Run one episode with the most likely actions and keep its states.

    Args:
        learner: gives the family and the policy.
        task: one.
        parameters: with a leading task axis of 1.
        key: decides the start state.
        title: written above the film.
    """
    simulator = Simulator(learner.family, 1, threads=1)
    simulator.set_tasks(task)
    on_cpu = {name: value.cpu() for name, value in parameters.items()}
    rollout = collect(simulator, learner.policy, on_cpu, 1, key, deterministic=True)
    rewards = rollout.rewards[0, 0, : int(rollout.lengths[0, 0])].double().numpy()
    return Take(title, replay(simulator, rollout, key), rewards)


def replay(simulator: Simulator, rollout: Rollouts, key: Key) -> NDArray[np.float64]:
    """Return the states of a rollout, [time + 1, nq], by taking its actions again.

    Args:
        simulator: one simulation, with its task set.
        rollout: one rollout of one task.
        key: what it was collected with.
    """
    simulator.reset([stream(key, Purpose.START, 0, 0)])
    states = [simulator.fields["qpos"][0].copy()]
    for action in rollout.actions[0, :, : int(rollout.lengths[0, 0])].transpose(0, 1):
        simulator.step(action.numpy())
        states.append(simulator.fields["qpos"][0].copy())
    return np.stack(states)


def frames(family: TaskFamily, task: Tasks, takes: Sequence[Take]) -> Iterator[Frame]:
    """Draw the takes side by side, one frame a control step, [height, width, 3] each.

    Args:
        family: of the takes.
        task: one.
        takes: as many as are to be compared; shorter ones stand still at their end.

    Raises:
        RuntimeError: when there is no OpenGL to draw with.
    """
    model = _studio(family.model)
    width = len(takes) * PANEL[0] + (len(takes) - 1) * GAP
    name = f"{family.name}   {task.label(0)}".rstrip()
    with ExitStack() as stack:
        renderer = stack.enter_context(_renderer(model))
        data = mujoco.MjData(model)
        for index in range(max(len(take.qpos) for take in takes)):
            page = Image.new("RGB", (width, PANEL[1] + HEADER), PAPER)
            pen = ImageDraw.Draw(page)
            pen.text((8, 6), name, INK, _font(20))
            pen.text((width - 8, 6), f"{index * family.dt:.2f} s", SOFT, _font(20), anchor="ra")
            for column, take in enumerate(takes):
                left = column * (PANEL[0] + GAP)
                at = min(index, len(take.qpos) - 1)
                data.qpos[:] = take.qpos[at]
                mujoco.mj_forward(model, data)
                picture = _draw(renderer, family, data, task[0], at * family.dt)
                page.paste(Image.fromarray(picture), (left, HEADER))
                pen.text((left + 8, HEADER - 40), take.title, INK, _font(17))
                score = f"return {take.rewards[:at].sum():.1f}"
                pen.text((left + PANEL[0] - 8, HEADER - 40), score, INK, _font(17), anchor="ra")
            yield np.asarray(page)


def write_video(path: Path, pictures: Iterator[Frame], rate: float) -> None:
    """Write frames to an H.264 mp4 or a gif, and hold the last one for a second.

    Args:
        path: the ending chooses.
        pictures: [height, width, 3] each, of one size.
        rate: frames a second.
    """
    import imageio.v2 as imageio

    if path.suffix == ".gif":
        options: dict[str, Any] = {"duration": 1000.0 / rate, "loop": 0}
    else:
        options = {"fps": rate, "codec": "libx264", "quality": 8, "macro_block_size": 2}
    writer: Any
    with imageio.get_writer(path, mode="I", **options) as writer:
        picture = None
        for picture in pictures:
            writer.append_data(picture)
        for _ in range(round(rate) if picture is not None else 0):
            writer.append_data(picture)


def _rate(family: TaskFamily) -> float:
    """Return frames a second: real time, unless a step is too long for that."""
    return 1.0 / family.dt if family.dt <= 0.1 else 20.0


def _renderer(model: mujoco.MjModel) -> mujoco.Renderer:
    if sys.platform == "linux" and not {"DISPLAY", "MUJOCO_GL"} & set(os.environ):
        # MuJoCo has chosen a window system when it was imported; let it choose again
        os.environ["MUJOCO_GL"] = "egl"
        reload(gl_context)
    try:
        return mujoco.Renderer(model, PANEL[1], PANEL[0])
    except Exception as error:
        raise RuntimeError(
            f"no OpenGL to draw with ({error}). On a headless Linux machine install EGL "
            f"(Debian, Ubuntu: apt install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0), "
            f"or set MUJOCO_GL to egl, osmesa or glfw."
        ) from error


def _studio(model: mujoco.MjModel) -> mujoco.MjModel:
    """Return a copy of the model with a calm, light sky and floor, without mirror images."""
    model = copy.copy(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = PANEL
    model.vis.quality.shadowsize = 1024
    model.vis.map.shadowclip = 0.5
    model.mat_reflectance[:] = 0.0
    model.mat_specular[:] = 0.1
    model.geom_rgba[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value, :3] = 1.0
    for texture in range(model.ntex):
        start = model.tex_adr[texture]
        size = model.tex_height[texture] * model.tex_width[texture]
        channels = model.tex_nchannel[texture]
        pixels = model.tex_data[start : start + size * channels].reshape(size, channels)
        if model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value:
            pixels[:] = SKY
        if model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D.value:
            continue
        light = pixels[:, :3].mean(1) > pixels[:, :3].mean()
        pixels[:, :3] = FLOOR[light.astype(int)]
        model.mat_rgba[(model.mat_texid == texture).any(axis=1)] = 1.0
    return model


def _draw(
    renderer: mujoco.Renderer,
    family: TaskFamily,
    data: mujoco.MjData,
    task: Mapping[str, float],
    time: float,
) -> Frame:
    marker = family.goal.marker(task, time) if family.goal.marker else None
    camera = mujoco.MjvCamera()
    camera.distance, camera.azimuth, camera.elevation = family.robot.camera
    robot = data.xpos[1]
    if marker and marker.kind == "point":
        camera.lookat[:] = (marker.x / 2.0, marker.y / 2.0, 0.0)
        camera.distance += float(np.hypot(marker.x, marker.y)) / 2.0
    else:
        camera.lookat[:] = robot
    data.light_xpos[:, :2] = robot[:2]  # shadows are drawn near the light only
    renderer.update_scene(data, camera)
    if marker:
        _mark(renderer.scene, marker, robot, family.robot.camera[0])
    return renderer.render()


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
        centre = np.array([marker.x, marker.y, 0.0])
        flat = np.array([0.03 * distance, 0.03 * distance, 0.002 * distance])
        disc = mujoco.mjtGeom.mjGEOM_CYLINDER
        mujoco.mjv_initGeom(geom, disc, flat, centre, upright, GOAL_COLOUR)
    geom.category = mujoco.mjtCatBit.mjCAT_DECOR.value  # casts no shadow
    scene.ngeom += 1


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
