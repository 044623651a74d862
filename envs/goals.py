"""Goals: what a task asks for, as a reward over many simulations at once.

A goal is a distribution of its parameters and a pure function
`(step, parameters) -> reward [sim]`; costs of control and bonuses for staying upright belong to the
family, not to the goal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.distributions import Array, Choice, Disc, Distribution, Uniform

Parameters = Mapping[str, Array]
"""Task parameters by name, each [sim]."""


class Step(NamedTuple):
    """What happened in one control step; every array has a leading simulation axis."""

    before: Array
    """Position before the step, [sim, axis] in m."""
    after: Array
    """Position after the step, [sim, axis] in m."""
    duration: float
    """Length of the step [s]."""

    @property
    def velocity(self) -> Array:
        """Mean velocity over the step, [sim, axis] in m/s."""
        return (self.after - self.before) / self.duration


class Marker(NamedTuple):
    """How a goal is drawn in a film."""

    kind: Literal["point", "arrow", "line"]
    """A point to reach; an arrow above the robot; a line across x that the robot should be at."""
    x: float = 0.0
    """Where [m]; of an arrow, the x component of its direction."""
    y: float = 0.0
    """Where [m]; of an arrow, the y component of its direction."""


def never(step: Step, parameters: Parameters) -> NDArray[np.bool_]:
    """Return that no goal ends its episode, [sim]."""
    return np.zeros(len(step.after), dtype=bool)


@dataclass(frozen=True)
class Goal:
    """What is asked of a robot."""

    name: str
    distributions: tuple[Distribution, ...]
    reward: Callable[[Step, Parameters], Array]
    """The reward of a step, [sim]."""
    reached: Callable[[Step, Parameters], NDArray[np.bool_]] = never
    """Whether the task is done and the episode ends, [sim]."""
    axes: int = 1
    """How many position axes the goal needs the robot to have."""
    marker: Callable[[Mapping[str, float], float], Marker] | None = None
    """How one task's goal is drawn, so many seconds into the episode."""


def forward() -> Goal:
    """Run along +x: reward v_x. No parameters; for families whose bodies vary."""
    return Goal(
        "run forward",
        (),
        lambda step, _: step.velocity[:, 0],
        marker=lambda task, time: Marker("arrow", 1.0),
    )


def direction() -> Goal:
    """Run forward or back: reward `direction * v_x`, direction +1 or -1 (Finn et al. 2017)."""
    return Goal(
        "run forward or back",
        (Choice("direction", (-1.0, 1.0)),),
        lambda step, task: task["direction"] * step.velocity[:, 0],
        marker=lambda task, time: Marker("arrow", task["direction"]),
    )


def velocity(low: float, high: float, extrapolate: tuple[float, float] | None = None) -> Goal:
    """Run at a speed: reward `-|v_x - velocity|` (Finn et al. 2017)."""
    return Goal(
        "run at a speed",
        (Uniform("velocity", low, high, "m/s", extrapolate),),
        lambda step, task: -np.abs(step.velocity[:, 0] - task["velocity"]),
        marker=lambda task, time: Marker("line", task["velocity"] * time),
    )


def heading() -> Goal:
    """Run in a direction of the plane: reward `v . (cos heading, sin heading)`."""

    def reward(step: Step, task: Parameters) -> Array:
        velocity = step.velocity
        return velocity[:, 0] * np.cos(task["heading"]) + velocity[:, 1] * np.sin(task["heading"])

    return Goal(
        "run in a direction",
        (Uniform("heading", 0.0, 2.0 * np.pi, "rad"),),
        reward,
        axes=2,
        marker=lambda task, time: Marker(
            "arrow", float(np.cos(task["heading"])), float(np.sin(task["heading"]))
        ),
    )


def position_in_disc(radius: float, extrapolate: tuple[float, float] | None = None) -> Goal:
    """Reach a point: reward `-(|dx| + |dy|)`, goal uniform in a disc (Rothfuss et al. 2018)."""

    def reward(step: Step, task: Parameters) -> Array:
        offset = step.after[:, :2] - _target(task)
        return -np.abs(offset).sum(axis=1)

    return Goal("reach a point", (Disc(radius, extrapolate),), reward, axes=2, marker=_point)


def position_in_square(
    half_width: float,
    extrapolate: tuple[float, float] | None = None,
    done_within: float = 0.0,
) -> Goal:
    """Reach a point: reward minus the Euclidean distance, goal uniform in a square.

    Args:
        half_width: the goal's largest |x| and |y| [m].
        extrapolate: the range of x and of y for tasks outside the training range [m].
        done_within: the episode ends when |dx| and |dy| are both below this [m]; 0: never.
    """

    def reward(step: Step, task: Parameters) -> Array:
        return -np.linalg.norm(step.after[:, :2] - _target(task), axis=1)

    def reached(step: Step, task: Parameters) -> NDArray[np.bool_]:
        close = np.abs(step.after[:, :2] - _target(task)) < done_within
        return np.asarray(close.all(axis=1))

    coordinates = tuple(
        Uniform(name, -half_width, half_width, "m", extrapolate) for name in ("x", "y")
    )
    return Goal("reach a point", coordinates, reward, reached, axes=2, marker=_point)


def _target(task: Parameters) -> Array:
    return np.stack([task["x"], task["y"]], axis=1)


def _point(task: Mapping[str, float], time: float) -> Marker:
    return Marker("point", task["x"], task["y"])
