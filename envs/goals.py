"""The goals there are: run somewhere, at a speed, reach a point, push an object, obey a command.

Each function returns a `Goal`. Costs of control and bonuses for staying upright belong to the
family, not to the goal.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metarl.envs.commands import velocity_command
from metarl.envs.distributions import Array, Choice, Disc, Distribution, Uniform
from metarl.envs.goal import Goal, Marker, Parameters, Step, Term, never, target_place, times
from metarl.envs.manipulation import DISTANCE, push_to, reach_in_box

__all__ = [
    "Goal",
    "Marker",
    "Parameters",
    "Step",
    "Term",
    "corner",
    "direction",
    "forward",
    "heading",
    "never",
    "position_in_disc",
    "position_in_square",
    "position_on_half_circle",
    "push_to",
    "reach_in_box",
    "reach_in_disc",
    "turn",
    "velocity",
    "velocity_command",
]


def forward(weight: float = 1.0) -> Goal:
    """Run along +x: reward `weight * v_x`. No parameters; for families whose bodies vary."""
    return Goal(
        "run forward",
        (),
        lambda step, _: weight * step.velocity[:, 0],
        formula=f"{times(weight)}v_x",
        marker=lambda task, time: Marker("arrow", 1.0),
    )


def direction(weight: float = 1.0) -> Goal:
    """Run forward or back: reward `weight * direction * v_x`, direction +-1 (Finn et al. 2017)."""
    return Goal(
        "run forward or back",
        (Choice("direction", (-1.0, 1.0)),),
        lambda step, task: weight * task["direction"] * step.velocity[:, 0],
        formula=f"{times(weight)}direction v_x",
        marker=lambda task, time: Marker("arrow", task["direction"]),
    )


def velocity(low: float, high: float, extrapolate: tuple[float, float] | None = None) -> Goal:
    """Run at a speed: reward `-|v_x - velocity|` (Finn et al. 2017)."""
    return Goal(
        "run at a speed",
        (Uniform("velocity", low, high, "m/s", extrapolate),),
        lambda step, task: -np.abs(step.velocity[:, 0] - task["velocity"]),
        formula="-|v_x - velocity|",
        marker=lambda task, time: Marker("line", task["velocity"] * time),
    )


def heading(weight: float = 1.0) -> Goal:
    """Run in a direction of the plane: reward `weight * v . (cos heading, sin heading)`."""

    def reward(step: Step, task: Parameters) -> Array:
        v_x, v_y = step.velocity.T
        return weight * (v_x * np.cos(task["heading"]) + v_y * np.sin(task["heading"]))

    return Goal(
        "run in a direction",
        (Uniform("heading", 0.0, 2.0 * np.pi, "rad"),),
        reward,
        formula=f"{times(weight)}(v_x cos heading + v_y sin heading)",
        tracks=("x", "y"),
        marker=lambda task, time: Marker(
            "arrow", float(np.cos(task["heading"])), float(np.sin(task["heading"]))
        ),
    )


def turn(fastest: float, extrapolate: tuple[float, float] | None = None) -> Goal:
    """Turn on the spot at a rate, or stand at rate 0: reward `-|yaw rate - rate| - |v|`.

    Args:
        fastest: the largest rate, to either side [rad/s].
        extrapolate: the range of rates for tasks outside the training range [rad/s].
    """

    def reward(step: Step, task: Parameters) -> Array:
        turned = step.after[:, 2] - step.before[:, 2]
        turned = (turned + np.pi) % (2.0 * np.pi) - np.pi  # yaw is in -pi to pi: undo its jump
        speed = np.linalg.norm(step.velocity[:, :2], axis=1)
        return -np.abs(turned / step.duration - task["rate"]) - speed

    return Goal(
        "turn on the spot",
        (Uniform("rate", -fastest, fastest, "rad/s", extrapolate),),
        reward,
        formula="-|yaw rate - rate| - |v|",
        tracks=("x", "y", "yaw"),
        marker=lambda task, time: Marker(
            "arrow", float(np.cos(task["rate"] * time)), float(np.sin(task["rate"] * time))
        ),
    )


def position_in_disc(radius: float, extrapolate: tuple[float, float] | None = None) -> Goal:
    """Reach a point: reward `-(|dx| + |dy|)`, goal uniform in a disc (Rothfuss et al. 2018)."""

    def reward(step: Step, task: Parameters) -> Array:
        return -np.abs(step.after - target_place(task)).sum(axis=1)

    return _reach((Disc(radius, extrapolate),), reward, formula="-(|dx| + |dy|) to the point")


def position_in_square(
    half_width: float,
    extrapolate: tuple[float, float] | None = None,
    *,
    norm: Literal[1, 2] = 2,
    done_within: float = 0.0,
) -> Goal:
    """Reach a point: reward minus the distance, goal uniform in a square.

    Args:
        half_width: the goal's largest |x| and |y| [m].
        extrapolate: the range of x and of y for tasks outside the training range [m].
        norm: distance as |dx| + |dy| (1) or Euclidean (2).
        done_within: the episode ends when |dx| and |dy| are both below this [m]; 0: never.
    """

    def reward(step: Step, task: Parameters) -> Array:
        return -np.linalg.norm(step.after - target_place(task), ord=norm, axis=1)

    def reached(step: Step, task: Parameters) -> NDArray[np.bool_]:
        close = np.abs(step.after - target_place(task)) < done_within
        return np.asarray(close.all(axis=1))

    coordinates = tuple(
        Uniform(name, -half_width, half_width, "m", extrapolate) for name in ("x", "y")
    )
    formula = "-(|dx| + |dy|) to the point" if norm == 1 else DISTANCE
    return _reach(coordinates, reward, reached, formula=formula)


def corner(half_width: float, sparse_within: float = 0.0) -> Goal:
    """Reach one of the four corners of a square (Rothfuss et al. 2018, point_env_2d_corner).

    Args:
        half_width: the corners' |x| and |y| [m].
        sparse_within: 0 for the dense reward, minus the distance. Otherwise the reward is 0 while
            |x| + |y| is below this [m], and beyond it the distance gained in the step, if the goal
            is the nearest corner.
    """
    corners = half_width * np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])

    def goal(task: Parameters) -> Array:
        return corners[np.asarray(task["corner"], dtype=int)]

    def reward(step: Step, task: Parameters) -> Array:
        after = np.linalg.norm(step.after - goal(task), axis=1)
        if not sparse_within:
            return -after
        gained = np.linalg.norm(step.before - goal(task), axis=1) - after
        distances = np.linalg.norm(step.after[:, None] - corners, axis=2)
        nearest = after <= distances.min(axis=1)
        away = np.abs(step.after).sum(axis=1) >= sparse_within
        return np.where(nearest & away, gained, 0.0)

    return Goal(
        "reach a corner, reward near it only" if sparse_within else "reach a corner",
        (Choice("corner", (0.0, 1.0, 2.0, 3.0)),),
        reward,
        formula=f"distance gained to the corner, if nearest, beyond |x| + |y| = {sparse_within:g} m"
        if sparse_within
        else "-distance to the corner",
        tracks=("x", "y"),
        marker=lambda task, time: Marker("point", *map(float, corners[int(task["corner"])])),
    )


def position_on_half_circle(radius: float, sparse_within: float) -> Goal:
    """Reach a point on a half circle, with reward near it only (Rakelly et al. 2019).

    The reward is `1 - distance` within `sparse_within` of the goal, and 0 elsewhere.

    Args:
        radius: of the circle [m].
        sparse_within: how near the goal there is reward [m].
    """

    def goal(task: Parameters) -> Array:
        return radius * np.stack([np.cos(task["angle"]), np.sin(task["angle"])], axis=1)

    def reward(step: Step, task: Parameters) -> Array:
        distance = np.linalg.norm(step.after - goal(task), axis=1)
        return np.where(distance <= sparse_within, 1.0 - distance, 0.0)

    return Goal(
        "reach a point, reward near it only",
        (Uniform("angle", 0.0, np.pi, "rad"),),
        reward,
        formula=f"1 - distance to the point within {sparse_within:g} m of it, 0 elsewhere",
        succeeds=lambda step, task: (
            np.linalg.norm(step.after - goal(task), axis=1) <= sparse_within
        ),
        tracks=("x", "y"),
        marker=lambda task, time: Marker(
            "point", float(radius * np.cos(task["angle"])), float(radius * np.sin(task["angle"]))
        ),
    )


def reach_in_disc(radius: float, extrapolate: tuple[float, float] | None = None) -> Goal:
    """Bring the fingertip to a point: reward minus the distance, goal uniform in a disc."""

    def reward(step: Step, task: Parameters) -> Array:
        return -np.linalg.norm(step.after - target_place(task), axis=1)

    return _reach((Disc(radius, extrapolate),), reward, formula=DISTANCE)


def _reach(
    distributions: tuple[Distribution, ...],
    reward: Callable[[Step, Parameters], Array],
    reached: Callable[[Step, Parameters], NDArray[np.bool_]] = never,
    *,
    formula: str,
) -> Goal:
    return Goal(
        "reach a point",
        distributions,
        reward,
        reached,
        formula=formula,
        tracks=("x", "y"),
        target=target_place,
        marker=lambda task, time: Marker("point", task["x"], task["y"]),
    )
