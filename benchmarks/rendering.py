"""How fast pictures are drawn: with OpenGL, against MuJoCo's renderer alone, and by rays.

    python benchmarks/rendering.py [--frames 200]

The first table draws the same states of one robot with the same scene and size: ours adds the goal,
the camera that follows, the header and the copy into a page. The second compares the cameras, robot
by robot; OpenGL is software on a machine without a GPU, and takes as many cores as there are.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import closing

import mujoco
import numpy as np

from metarl import envs
from metarl.envs.drawing import Camera
from metarl.envs.opengl_camera import OpenGLCamera
from metarl.envs.ray_camera import RayCamera
from metarl.envs.tasks import Tasks
from metarl.showing import film, pages

SIZE = (640, 360)
SMALL = (480, 360)
ROBOTS = ("HalfCheetahVel", "AntDir", "HumanoidDir")


def rate(frame: Callable[[int], object], count: int) -> float:
    """Return frames per second."""
    frame(0)
    began = time.perf_counter()
    for index in range(count):
        frame(index)
    return count / (time.perf_counter() - began)


def films(frames: int, repeats: int) -> None:
    """Print how fast a film's pictures are drawn."""
    family = envs.make("HalfCheetahVel", horizon=frames)
    task = family.task({"velocity": 1.0})
    generator = np.random.default_rng(0)
    shape = (frames + 1, family.model.nq)
    states = np.zeros(shape)
    states[:] = generator.normal(0.0, 0.1, shape)
    nothing = np.zeros((len(states), 0))
    take = film.Take("", states, nothing, np.zeros(len(states)), nothing)
    height = round(SIZE[1] / (1.0 - pages.HEADER / 480.0))
    rates: dict[str, list[float]] = {"renderer": [], "camera": [], "film": []}
    with closing(OpenGLCamera(family, SIZE)) as camera:
        renderer, model = camera.renderer, camera.studio.model
        data = mujoco.MjData(model)

        def alone(index: int) -> None:
            data.qpos[:] = states[index]
            mujoco.mj_forward(model, data)
            renderer.update_scene(data)
            renderer.render()

        for _ in range(repeats):
            rates["renderer"].append(rate(alone, frames))
            rates["camera"].append(rate(lambda i: camera.take(states[i], task[0], 0.0), frames))
            drawn = pages.frames(family, [film.Row(task, [take, take])], height=height, ghost=True)
            rates["film"].append(rate(lambda _, drawn=drawn: next(drawn), frames - 1))
    print(f"OpenGL, {SIZE[0]} x {SIZE[1]}, frames a second, median of {repeats}")
    for name, measured in rates.items():
        print(f"{name:>10}  {statistics.median(measured):6.1f}")


def cameras(frames: int, repeats: int) -> None:
    """Print how long a picture of each robot takes, with OpenGL and by rays."""
    print(f"\n{SMALL[0]} x {SMALL[1]}, ms a picture, median of {repeats}")
    print(f"{'':16}  opengl  rays, 1 thread  rays, {os.cpu_count()} threads")
    for name in ROBOTS:
        family = envs.make(name)
        task = family.sample_tasks(1, seed=0)
        generator = np.random.default_rng(0)
        states = [family.robot.start(family.model, generator)[0] for _ in range(frames)]
        columns: tuple[Camera, ...] = (
            OpenGLCamera(family, SMALL),
            RayCamera(family, SMALL, threads=1),
            RayCamera(family, SMALL, threads=os.cpu_count()),
        )
        times = []
        for camera in columns:

            def picture(
                i: int, camera: Camera = camera, states: list = states, task: Tasks = task
            ) -> None:
                camera.take(states[i], task[0], 0.0)

            rates = [rate(picture, frames) for _ in range(repeats)]
            times.append(1e3 / statistics.median(rates))
            camera.close()
        print(f"{name:16}  {times[0]:6.1f}  {times[1]:14.1f}  {times[2]:15.1f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    films(arguments.frames, arguments.repeats)
    cameras(max(1, arguments.frames // 10), arguments.repeats)


if __name__ == "__main__":
    main()
