"""A robot for tests: any MJCF, driven by its actuators, that observes its state."""

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs import Tasks
from metarl.envs.dynamics import Dynamics
from metarl.envs.goals import Goal
from metarl.envs.robot import Array, Fields, Robot, always
from metarl.envs.task_family import TaskFamily


class Rig(Robot):
    """Starts near the rest pose; its place is the first joint's."""

    name = "Rig"
    frame_skip = 2

    def __init__(self, mjcf: Path | str) -> None:
        self.mjcf = mjcf

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        return model.qpos0.copy(), generator.uniform(-0.5, 0.5, model.nv)

    def observe(self, fields: Fields) -> Array:
        return np.concatenate([fields["qpos"], fields["qvel"]], axis=1)

    def position(self, fields: Fields) -> Array:
        return fields["qpos"][:, :1]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        return always(fields)


STAND_STILL = Goal("stand still", (), lambda step, _: -np.abs(step.after[:, 0]))

ARM = """<body name="arm"><joint name="j" axis="0 1 0" damping="0.1"/>
<geom type="capsule" fromto="0 0 0 0.5 0 0" size="0.05"/></body>"""


def mjcf(folder: Path, actuators: str, body: str = ARM, before: str = "") -> Path:
    """Write a model with these actuators into a new file."""
    path = folder / f"{len(list(folder.iterdir()))}.xml"
    path.write_text(
        f"<mujoco>{before}<worldbody>{body}</worldbody><actuator>{actuators}</actuator></mujoco>"
    )
    return path


def family(robot: Robot, *varies: Dynamics, goal: Goal = STAND_STILL) -> TaskFamily:
    """Return the robot's family, its whole control range used."""
    return TaskFamily("rig", robot, goal, "", varies, horizon=20, action_scale=1.0)


def no_tasks(count: int) -> Tasks:
    """Return tasks without parameters."""
    return Tasks((), np.zeros((count, 0)))
