"""`Simulated`: what a family has to answer to be simulated."""

from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.goal import Goal
from metarl.envs.robot import Array, Fields, Robot
from metarl.envs.tasks import Tasks


class Simulated(Protocol):
    """What the simulator asks of a family: `TaskFamily` answers it.

    A protocol, because a family makes its simulators: it imports this file, not the reverse.
    """

    @property
    def name(self) -> str:
        """The name shown to people."""
        ...

    @property
    def robot(self) -> Robot:
        """What is driven and observed."""
        ...

    @property
    def goal(self) -> Goal:
        """What is rewarded."""
        ...

    @property
    def model(self) -> mujoco.MjModel:
        """The robot's compiled model."""
        ...

    @property
    def dt(self) -> float:
        """Length of a control step [s]."""
        ...

    @property
    def horizon(self) -> int:
        """Control steps in an episode."""
        ...

    @property
    def action_scale(self) -> float:
        """The part of the control range that an action of 1 asks for."""
        ...

    @property
    def falls(self) -> bool:
        """Whether an episode ends when the robot is no longer upright."""
        ...

    @property
    def sensor_noise(self) -> float | tuple[float, ...]:
        """Standard deviation of the noise on what is observed; 0 for none."""
        ...

    @property
    def reveals_task(self) -> bool:
        """Whether the observation ends with the task's coordinates."""
        ...

    def task(self, task: Tasks) -> Tasks:
        """Return a table of tasks with its columns in order, or raise ValueError."""
        ...

    def coordinates(self, tasks: Tasks) -> Array:
        """Return the points that stand for tasks, [task, coordinate]."""
        ...

    def bodies(self, tasks: Tasks) -> dict[str, NDArray]:
        """Return the model fields that tasks change, [task, ...] each, by name."""
        ...

    def charge(
        self, reward: Array, control: Array, healthy: NDArray[np.bool_], fields: Fields
    ) -> Array:
        """Return the goal's reward after the family's costs and bonus, [sim]."""
        ...
