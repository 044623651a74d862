"""Families on the Fetch arm of gymnasium-robotics, which is installed apart; see `robots.fetch`."""

from functools import cache

from metarl.envs import goals
from metarl.envs.robots import fetch
from metarl.envs.task_family import TaskFamily

HOW = "in a checkout of metarl, pip install -c constraints.txt '.[robots]'"
"""What brings gymnasium-robotics."""
ENTRIES: dict[str, tuple[fetch.Task, float, float, str]] = {
    "FetchReach": ("reach", 0.15, 0.15, "goal in the cube around the gripper's start"),
    "FetchPush": ("push", 0.15, 0.0, "goal on the table"),
    "FetchSlide": ("slide", 0.3, 0.0, "goal on the table, 0.4 m ahead"),
    "FetchPickAndPlace": (
        "pick_and_place",
        0.15,
        0.45,
        "goal up to 0.45 m above the table, evenly, not half of them on it",
    ),
}
"""Family -> surroundings, half the goal's range in x and y, its range in z, remark."""


def families() -> tuple[str, ...]:
    """Return the families that there are; none where gymnasium-robotics is not installed."""
    return tuple(ENTRIES) if fetch.available() else ()


def missing() -> tuple[str, ...]:
    """Return the families that gymnasium-robotics would bring."""
    return () if fetch.available() else tuple(ENTRIES)


def make(name: str) -> TaskFamily:
    """Return a family of `ENTRIES`.

    Raises:
        ValueError: when gymnasium-robotics is not installed; the message has what brings it.
    """
    if not fetch.available():
        raise ValueError(f"{name} needs gymnasium-robotics: {HOW}")
    return _made(name)


@cache
def _made(name: str) -> TaskFamily:
    """Make a family. Its model is read first: the goal's range starts from the gripper."""
    task, reach, rise, remark = ENTRIES[name]
    robot = fetch.Fetch(task)
    x, y, z = map(float, robot.grip)
    if task == "reach":
        low, high = (x - reach, y - reach, z - rise), (x + reach, y + reach, z + rise)
    else:
        x += 0.4 if task == "slide" else 0.0
        low = (x - reach, y - reach, robot.table)
        high = (x + reach, y + reach, robot.table + rise)
    tracks = ("x", "y", "z") if task == "reach" else ("object_x", "object_y", "object_z")
    return TaskFamily(
        name,
        robot,
        goals.reach_in_box(low, high, tracks=tracks, success_within=0.05),
        f"gymnasium-robotics {name}Dense-v4 with a hidden goal; {remark}",
        horizon=50,
        action_scale=1.0,
    )
