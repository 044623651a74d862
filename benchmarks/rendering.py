"""How fast films are drawn, against MuJoCo's renderer alone.

    python benchmarks/rendering.py [--frames 200]

Both draw the same states of one robot with the same scene and size; ours adds the goal, the camera
that follows, the header and the copy into a page.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import closing

import mujoco
import numpy as np

from metarl import envs
from metarl.envs.drawing import Camera
from metarl.showing import film

SIZE = (640, 360)


def rate(frame: Callable[[int], object], count: int) -> float:
    """Return frames per second."""
    frame(0)
    began = time.perf_counter()
    for index in range(count):
        frame(index)
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    family = envs.make("HalfCheetahVel", horizon=arguments.frames)
    task = family.task({"velocity": 1.0})
    generator = np.random.default_rng(0)
    shape = (arguments.frames + 1, family.model.nq)
    states = np.zeros(shape)
    states[:] = generator.normal(0.0, 0.1, shape)
    take = film.Take("", states, np.zeros((len(states), 0)), np.zeros(len(states)))
    height = round(SIZE[1] / (1.0 - film.HEADER / 480.0))
    rates: dict[str, list[float]] = {"renderer": [], "camera": [], "film": []}
    with closing(Camera(family, SIZE)) as camera:
        renderer, data = camera._renderer, mujoco.MjData(camera._model)

        def alone(index: int) -> None:
            data.qpos[:] = states[index]
            mujoco.mj_forward(camera._model, data)
            renderer.update_scene(data)
            renderer.render()

        for _ in range(arguments.repeats):
            rates["renderer"].append(rate(alone, arguments.frames))
            rates["camera"].append(
                rate(lambda i: camera.take(states[i], task[0], 0.0), arguments.frames)
            )
            rows = [film.Row(task, [take, take])]
            pages = film.frames(family, rows, height=height, ghost=True)
            rates["film"].append(rate(lambda _, pages=pages: next(pages), arguments.frames - 1))
    print(f"{SIZE[0]} x {SIZE[1]}, frames a second, median of {arguments.repeats}")
    for name, found in rates.items():
        print(f"{name:>10}  {statistics.median(found):6.1f}")


if __name__ == "__main__":
    main()
