"""The goals of arms: bring the gripper or an object to a point, push an object over a table."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import Array, Uniform
from metarl.envs.goal import Goal, Marker, Parameters, Step, target_place, times

Point3 = tuple[float, float, float]
DISTANCE = "-distance to the point"
"""The formula of rewards that are no more than that."""
_ARRIVED = 0.02  # distance of an object from its goal at which `behind` is halved [m]


def reach_in_box(
    low: Point3, high: Point3, *, tracks: tuple[str, str, str], success_within: float
) -> Goal:
    """Bring the gripper or an object to a point: reward minus the distance, goal uniform in a box.

    Args:
        low: the smallest x, y and z of the goal [m].
        high: the largest [m]; a coordinate whose bounds are equal does not vary.
        tracks: what is to be brought there, such as x, y, z or object_x, object_y, object_z.
        success_within: how near is near enough [m].
    """
    names = ("x", "y", "z")
    varying = {name: (a, b) for name, a, b in zip(names, low, high, strict=True) if a != b}

    def goal(step: Step, task: Parameters) -> Array:
        columns = [
            task[name] if name in varying else np.full(len(step.after), fixed)
            for name, fixed in zip(names, low, strict=True)
        ]
        return np.stack(columns, axis=1)

    def reward(step: Step, task: Parameters) -> Array:
        return -np.linalg.norm(step.after - goal(step, task), axis=1)

    def succeeds(step: Step, task: Parameters) -> NDArray[np.bool_]:
        return np.linalg.norm(step.after - goal(step, task), axis=1) < success_within

    def marker(task: Mapping[str, float], time: float) -> Marker:
        place = {**dict(zip(names, low, strict=True)), **task}
        return Marker("point", place["x"], place["y"], place["z"])

    return Goal(
        "bring it to a point",
        tuple(Uniform(name, *bounds, "m") for name, bounds in varying.items()),
        reward,
        formula=DISTANCE,
        succeeds=succeeds,
        tracks=tracks,
        marker=marker,
    )


def push_to(
    low: tuple[float, float],
    high: tuple[float, float],
    *,
    height: float,
    near_weight: float = 0.5,
    behind: float = 0.0,
    success_within: float | None = None,
) -> Goal:
    """Push an object to a point of a table.

    The reward is minus the object's distance from the point, and minus `near_weight` times the
    distance of the robot's tip from the object, as in Gymnasium's Pusher-v5; or from where it has
    to be to push it: `behind` the object, seen from the point. A tip that has come to an object
    from the wrong side pushes it away from the point, and on the way around it both distances grow,
    so that a policy rather leaves the object alone.

    Args:
        low: the smallest x and y of the goal [m].
        high: the largest x and y [m].
        height: z of the goal [m].
        near_weight: weight of the tip's distance; 0.5 in Pusher-v5.
        behind: how far behind the object's centre the tip should be [m], less as the object comes
            within a few centimetres of the point, where no side is the wrong one; 0 in Pusher-v5.
        success_within: how near the object must be [m]; None where there is no such criterion.
    """

    def from_point(step: Step, task: Parameters) -> Array:
        """From the point to the object, [sim, 3] in m."""
        place = np.column_stack([target_place(task), np.full(len(step.after), height)])
        return step.after[:, 3:] - place

    def reward(step: Step, task: Parameters) -> Array:
        tip, pushed, missing = step.after[:, :3], step.after[:, 3:], from_point(step, task)
        distance = np.linalg.norm(missing, axis=1)
        side = missing / (distance + _ARRIVED)[:, None]
        return -distance - near_weight * np.linalg.norm(tip - pushed - behind * side, axis=1)

    def succeeds(step: Step, task: Parameters) -> NDArray[np.bool_]:
        return np.linalg.norm(from_point(step, task), axis=1) < (success_within or 0.0)

    place = f"place {100 * behind:g} cm behind it" if behind else "object"
    return Goal(
        "push an object to a point",
        (Uniform("x", low[0], high[0], "m"), Uniform("y", low[1], high[1], "m")),
        reward,
        formula=f"-distance of object and point - {times(near_weight)}distance of tip and {place}",
        succeeds=None if success_within is None else succeeds,
        tracks=("x", "y", "z", "object_x", "object_y", "object_z"),
        target=target_place,
        marker=lambda task, time: Marker("point", task["x"], task["y"], height),
    )
