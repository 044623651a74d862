"""The goals of arms: bring the gripper or an object to a point, push an object over a table."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import Array, Uniform
from metarl.envs.goal import Goal, Marker, Parameters, Step, target_place, times

Point3 = tuple[float, float, float]
DISTANCE = "-distance to the point"
"""The formula of rewards that are no more than that."""
_ARRIVED = 0.05  # m; d at which the weight of the tip's place is half as large


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

    def goal(task: Parameters) -> Array:
        count = len(task[next(iter(varying))])
        columns = [
            task[name] if name in varying else np.full(count, fixed)
            for name, fixed in zip(names, low, strict=True)
        ]
        return np.stack(columns, axis=1)

    def reward(step: Step, task: Parameters) -> Array:
        return -np.linalg.norm(step.after - goal(task), axis=1)

    def succeeds(step: Step, task: Parameters) -> NDArray[np.bool_]:
        return np.linalg.norm(step.after - goal(task), axis=1) < success_within

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

    `behind` is also what the tip's weight fades with as the object arrives, w d / (d + 5 cm) at a
    distance d. Else a tip that has pushed too far wants to be on the other side at once, and pushes
    the object along in front of it, off the table at last.

    Args:
        low: the smallest x and y of the goal [m].
        high: the largest x and y [m].
        height: z of the goal [m].
        near_weight: weight of the tip's distance; 0.5 in Pusher-v5.
        behind: how far behind the object's centre the tip should be [m]; 0 in Pusher-v5.
        success_within: how near the object must be [m]; None where there is no such criterion.
    """

    def missing(step: Step, task: Parameters) -> Array:
        """From the point to the object, [sim, 3]."""
        place = np.column_stack([target_place(task), np.full(len(step.after), height)])
        return step.after[:, 3:] - place

    def reward(step: Step, task: Parameters) -> Array:
        tip, pushed = step.after[:, :3], step.after[:, 3:]
        from_point = missing(step, task)
        distance = np.linalg.norm(from_point, axis=1)
        if not behind:
            return -distance - near_weight * np.linalg.norm(tip - pushed, axis=1)
        side = from_point / np.maximum(distance, 1e-9)[:, None]
        apart = np.linalg.norm(tip - pushed - behind * side, axis=1)
        return -distance - near_weight * distance / (distance + _ARRIVED) * apart

    def succeeds(step: Step, task: Parameters) -> NDArray[np.bool_]:
        return np.linalg.norm(missing(step, task), axis=1) < (success_within or 0.0)

    weight = times(near_weight)
    formula = f"-distance of object and point - {weight}distance of tip and object"
    if behind:
        place = f"place {100 * behind:g} cm behind the object"
        formula = f"-d - {weight}d / (d + 0.05) distance of tip and {place}; d: object to point"
    return Goal(
        "push an object to a point",
        (Uniform("x", low[0], high[0], "m"), Uniform("y", low[1], high[1], "m")),
        reward,
        formula=formula,
        succeeds=None if success_within is None else succeeds,
        tracks=("x", "y", "z", "object_x", "object_y", "object_z"),
        target=target_place,
        marker=lambda task, time: Marker("point", task["x"], task["y"], height),
    )
