"""`TaskFamily`: a robot, a goal, what varies in the body, and how long an episode is."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle
import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import Distribution, Split
from metarl.envs.dynamics import Bodies, Dynamics
from metarl.envs.goals import Goal
from metarl.envs.robot import Robot
from metarl.envs.sampling import checked_tasks, coordinates, extrapolates, parameters, sample_tasks
from metarl.envs.tasks import Tasks


@dataclass(frozen=True)
class TaskFamily:
    """A family of tasks that share a robot and differ in goal or body."""

    name: str
    robot: Robot
    goal: Goal
    source: str
    """Where the definition comes from."""
    dynamics: tuple[Dynamics, ...] = ()
    horizon: int = 100
    """Control steps in an episode, unless it terminates before."""
    action_scale: float = 0.3
    """The part of the control range that an action of 1 asks for. Policies begin with unit standard
    deviation, so this decides how widely a new policy explores."""
    control_cost: float = 0.0
    """The reward loses this times the sum of squared controls."""
    survive_bonus: float = 0.0
    """The reward gains this in every step that does not end in a fall, as in Gymnasium's v5."""
    contact_cost: float = 0.0
    """The reward loses this times the sum of squared contact forces of the robot."""
    contact_cost_limit: float = float("inf")
    """What the contact cost takes off in a step is at most this."""
    falls: bool = True
    """Whether an episode ends when the robot is no longer upright."""
    reveals_task: bool = False
    """Whether the observation ends with the task's coordinates: for a policy that is told the task,
    which shows what adaptation could reach at best."""
    preset: str = "default"
    """The published variant that the numbers follow."""

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {self.horizon}")
        if self.action_scale <= 0:
            raise ValueError(f"action_scale must be positive, got {self.action_scale}")
        missing = [track for track in self.goal.tracks if track not in self.robot.tracks]
        if missing:
            raise ValueError(
                f"the goal '{self.goal.name}' needs the tracks {', '.join(self.goal.tracks)}, "
                f"but {self.robot.name} has {', '.join(self.robot.tracks)} only"
            )
        if self.contact_cost and "cfrc_ext" not in self.robot.fields:
            raise ValueError(
                f"a contact cost needs contact forces: {self.robot.name}(contact_forces=True)"
            )
        names = self.parameters
        if len(set(names)) != len(names):
            raise ValueError(f"task parameters must have different names, got {', '.join(names)}")
        self.bodies(self.sample_tasks(1, seed=0))  # says what the model lacks
        if self.extrapolates:
            self.bodies(self.sample_tasks(1, seed=0, split="extrapolate"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value, with the functions that goals and dynamics are made of."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return _unpickle, (cloudpickle.dumps(fields),)

    @property
    def distributions(self) -> tuple[Distribution, ...]:
        """The distributions of the goal's parameters, then of the body's."""
        bodies = (d for dynamics in self.dynamics for d in dynamics.distributions)
        return (*self.goal.distributions, *bodies)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the task parameters."""
        return parameters(self.distributions)

    @property
    def extrapolates(self) -> bool:
        """Whether there are tasks to draw from outside the training range."""
        return extrapolates(self.distributions)

    @property
    def tells_success(self) -> bool:
        """Whether the goal says when it is reached."""
        return self.goal.succeeds is not None

    @property
    def model(self) -> mujoco.MjModel:
        """The robot's compiled model, shared: copy it before writing to it."""
        edits = tuple(dynamics.edit for dynamics in self.dynamics if dynamics.edit)
        return self.robot.load(edits)

    @property
    def dt(self) -> float:
        """Length of a control step [s]."""
        return self.model.opt.timestep * self.robot.frame_skip

    @property
    def action_size(self) -> int:
        """How many numbers an action has."""
        return len(self.robot.control_range(self.model)[0])

    @property
    def observation_size(self) -> int:
        """How many numbers the robot observes."""
        data = mujoco.MjData(self.model)
        fields = {name: np.asarray(getattr(data, name))[None] for name in self.robot.fields}
        told = 0
        if self.reveals_task:
            told = self.coordinates(self.sample_tasks(1, seed=0)).shape[1]
        return self.robot.observe(fields).shape[1] + told

    def sample_tasks(
        self, count: int, *, seed: int | tuple[int, ...], split: Split = "train"
    ) -> Tasks:
        """Draw tasks; the same seed and split give the same tasks everywhere.

        Args:
            count: how many tasks.
            seed: a non-negative number, or several, such as (seed, iteration).
            split: `train`; `test`, from the same distribution but other draws; or `extrapolate`,
                from outside the training range.

        Raises:
            ValueError: for an unknown split, or one that the family does not have.
        """
        return sample_tasks(self.name, self.distributions, count, seed, split)

    def task(self, task: "Tasks | Mapping[str, float]") -> Tasks:
        """Return `task` as a checked table.

        Raises:
            ValueError: when parameters are missing, unknown, or outside the declared range.
        """
        return checked_tasks(self.name, self.distributions, task)

    def coordinates(self, tasks: Tasks) -> NDArray[np.float64]:
        """Return points whose distance tells how different tasks are, [task, coordinate].

        The training range of each parameter has diameter 1; see `Distribution.coordinates`.
        """
        return coordinates(self.distributions, self.task(tasks))

    def bodies(self, tasks: Tasks) -> dict[str, NDArray]:
        """Return the model fields that tasks change, [task, ...] each, by name."""
        bodies = Bodies(self.model, len(tasks))
        columns = {name: tasks[name] for name in tasks.names}
        for dynamics in self.dynamics:
            dynamics.change(bodies, columns)
        return bodies

    def replace(self, **changes: Any) -> "TaskFamily":  # noqa: ANN401
        """Return the family with some fields changed."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> dict[str, Any]:
        """Return the family as plain data, for tables and JSON."""
        return {
            "name": self.name,
            "preset": self.preset,
            "robot": self.robot.name,
            "robot_settings": self.robot.settings,
            "goal": self.goal.name,
            "varies": [d.describe() for d in self.distributions],
            "parameters": list(self.parameters),
            "horizon": self.horizon,
            "dt": self.dt,
            "action_scale": self.action_scale,
            "control_cost": self.control_cost,
            "survive_bonus": self.survive_bonus,
            "contact_cost": self.contact_cost,
            "contact_cost_limit": None
            if self.contact_cost_limit == float("inf")
            else self.contact_cost_limit,
            "falls": self.falls,
            "reveals_task": self.reveals_task,
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "source": self.source,
        }


def _unpickle(fields: bytes) -> TaskFamily:
    return TaskFamily(**cloudpickle.loads(fields))
