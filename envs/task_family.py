"""`TaskFamily`: a robot, a goal, what varies in the body, and how long an episode is."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cloudpickle
import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.bodies import Bodies
from metarl.envs.distributions import Distribution
from metarl.envs.dynamics import Dynamics
from metarl.envs.goal import Goal
from metarl.envs.plain import check_horizon_and_scale, make_plain, plain, require_several
from metarl.envs.quantities import require_quantities, sensors
from metarl.envs.robot import Array, Fields, Robot
from metarl.envs.robot_check import check_robot, readings, require_instance
from metarl.envs.sensor_noise import Std, check_noise
from metarl.envs.simulator import Simulator
from metarl.envs.task_space import HasTaskSpace, TaskSpace
from metarl.envs.tasks import Tasks


@dataclass(frozen=True)
class TaskFamily(HasTaskSpace):
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
    """Taken off the reward in each step, times the sum of squared controls [ctrl^2]; of a
    `ServoRobot`, of their offsets from how it stands."""
    survive_bonus: float = 0.0
    """Added to the reward in each step that does not end in a fall, as in Gymnasium's v5; in every
    step where `falls` is off."""
    contact_cost: float = 0.0
    """Taken off the reward in each step, times the sum of squared contact forces, as
    `Robot.contact_forces` gives them [N^2, (N m)^2]."""
    contact_cost_limit: float = float("inf")
    """The most that contact forces take off in a step."""
    falls: bool = True
    """Whether an episode ends when the robot is no longer upright."""
    reveals_task: bool = False
    """Whether the observation ends with the task's coordinates: for a policy that is told the task,
    which shows what adaptation could reach at best."""
    sensor_noise: Std = 0.0
    """Standard deviation of Gaussian noise on what the robot observes, in the units of the
    observation: one for all numbers or one each. Rewards and falls go by the true state."""
    preset: str = "default"
    """The published variant that the numbers follow."""

    def __post_init__(self) -> None:
        require_instance(self.robot)
        make_plain(self)
        check_horizon_and_scale(self.horizon, self.action_scale)
        require_several("the distributions of a goal", self.goal.distributions, Distribution)
        require_several("the dynamics of a family", self.dynamics, Dynamics)
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
        check_robot(self.robot, self.model, falls=self.falls)
        check_noise(self.sensor_noise, self._observed)
        require_quantities(self.goal.sees, self.robot, self.model)
        self.bodies(self.sample_tasks(1, seed=0))  # raises where the model lacks what varies
        if self.extrapolates:
            self.bodies(self.sample_tasks(1, seed=0, split="extrapolate"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value, with the functions that goals and dynamics are made of."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return _unpickle, (cloudpickle.dumps(fields),)

    def __deepcopy__(self, memo: dict[int, Any]) -> "TaskFamily":
        """Return the family itself, which never changes."""
        return self

    @property
    def distributions(self) -> tuple[Distribution, ...]:
        """The distributions of the goal's parameters, then of the body's."""
        bodies = (d for dynamics in self.dynamics for d in dynamics.distributions)
        return (*self.goal.distributions, *bodies)

    @property
    def space(self) -> TaskSpace:
        """How tasks are drawn, checked and compared."""
        return TaskSpace(self.name, self.distributions)

    @property
    def tells_success(self) -> bool:
        """Whether the goal says when it is reached."""
        return self.goal.succeeds is not None

    @property
    def succeeds_at_any_step(self) -> bool:
        """No: it is the last step that must leave the robot where it is wanted."""
        return False

    @property
    def native(self) -> bool:
        """Yes: native threads step the simulations, without the GIL."""
        return True

    @property
    def processes(self) -> bool:
        """No: the simulations need no processes of their own."""
        return False

    @cached_property
    def model(self) -> mujoco.MjModel:
        """The robot's compiled model, shared: copy it before writing to it.

        Compiled once a family, whose simulations all have the same. A file that is edited later
        counts for families made later.
        """
        edits = tuple(dynamics.edit for dynamics in self.dynamics if dynamics.edit)
        return self.robot.load((*sensors(self.goal.sees, self.robot), *edits))

    @property
    def dt(self) -> float:
        """Length of a control step [s]."""
        return self.model.opt.timestep * self.robot.frame_skip

    @property
    def action_size(self) -> int:
        """How many numbers an action has."""
        return len(self.robot.control_range(self.model)[0])

    @property
    def cost_of_actions(self) -> Array:
        """What `charge` takes off for the action, [2, action]; see `Family.cost_of_actions`."""
        low, high = self.robot.control_range(self.model)
        per_action = self.action_scale * (high - low) / 2.0  # control = middle + this * action
        rest = np.zeros_like(per_action)  # where the range is a single control
        np.divide((low + high) / -2.0, per_action, out=rest, where=per_action > 0.0)
        return np.stack([self.control_cost * per_action**2, rest])

    @property
    def observation_size(self) -> int:
        """How many numbers the robot observes."""
        if not self.reveals_task:
            return self._observed
        return self._observed + self.coordinates(self.sample_tasks(1, seed=0)).shape[1]

    @property
    def _observed(self) -> int:
        """How many numbers the robot observes, without those that reveal the task."""
        return self.robot.observe(readings(self.robot, self.model, 1)).shape[1]

    def bodies(self, tasks: Tasks) -> dict[str, NDArray]:
        """Return the model fields that tasks change, [task, ...] each, by name."""
        bodies = Bodies(self.model, len(tasks))
        columns = {name: tasks[name] for name in tasks.names}
        for dynamics in self.dynamics:
            dynamics.change(bodies, columns)
        return bodies

    def charge(
        self, reward: Array, control: Array, healthy: NDArray[np.bool_], fields: Fields
    ) -> Array:
        """Return the goal's reward of a step after the family's costs and bonus, [sim].

        The same for all tasks of the family, and of the form that Gymnasium's MuJoCo environments
        have: `reward - control_cost |control|^2 + survive_bonus - contact_cost |forces|^2`.

        Args:
            reward: the goal's, [sim].
            control: of the step, [sim, nu].
            healthy: whether the robot is upright after it, [sim].
            fields: the robot's, after the step.
        """
        if self.control_cost:
            reward = reward - self.control_cost * np.square(control).sum(axis=1)
        if self.survive_bonus:
            standing = healthy if self.falls else True
            reward = reward + self.survive_bonus * standing
        if self.contact_cost:
            forces = self.robot.contact_forces(fields)
            cost = self.contact_cost * np.square(forces).sum(axis=1)
            reward = reward - np.minimum(cost, self.contact_cost_limit)
        return reward

    @property
    def formula(self) -> str:
        """The reward of a step for people to read: the goal's, less the family's costs."""
        parts = [self.goal.formula or f"that of '{self.goal.name}'"]
        if self.control_cost:
            parts.append(f"- {self.control_cost:g} |control|^2")
        if self.survive_bonus:
            parts.append(f"+ {self.survive_bonus:g}{' while upright' if self.falls else ''}")
        if self.contact_cost:
            cost = f"{self.contact_cost:g} |contact forces|^2"
            limit = self.contact_cost_limit
            parts.append(f"- min({cost}, {limit:g})" if np.isfinite(limit) else f"- {cost}")
        return " ".join(parts)

    def simulate(self, count: int, *, threads: int = 0) -> Simulator:
        """Return simulations of the family, with no tasks yet.

        Args:
            count: how many.
            threads: native threads; 0 for one a core.
        """
        return Simulator(self, count, threads=threads)

    def replace(self, **changes: Any) -> "TaskFamily":  # noqa: ANN401
        """Return the family with some fields changed."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> dict[str, Any]:
        """Return the family as plain data, for tables and JSON."""
        limit, noise = self.contact_cost_limit, self.sensor_noise
        return {
            "name": self.name,
            "preset": self.preset,
            "robot": self.robot.name,
            "robot_settings": plain(self.robot.settings),
            **self.robot.describe(),
            "goal": self.goal.name,
            "varies": self.space.describe(),
            "parameters": list(self.parameters),
            "horizon": self.horizon,
            "dt": self.dt,
            "action_scale": self.action_scale,
            "control_cost": self.control_cost,
            "survive_bonus": self.survive_bonus,
            "contact_cost": self.contact_cost,
            # JSON has no infinity
            "contact_cost_limit": limit if np.isfinite(limit) else None,
            "falls": self.falls,
            "reveals_task": self.reveals_task,
            # left out where there is none: skills hold a hash of this, also those made before
            # with a list, as it comes from a file
            **({"sensor_noise": np.asarray(noise).tolist()} if np.any(noise) else {}),
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "source": self.source,
        }


def _unpickle(fields: bytes) -> TaskFamily:
    return TaskFamily(**cloudpickle.loads(fields))
