"""Families on the Fetch arm of gymnasium-robotics, which is installed apart; see `robots.fetch`."""

from functools import cache

from metarl.envs import goals
from metarl.envs.nearest import check_preset
from metarl.envs.robots import fetch
from metarl.envs.task_family import TaskFamily

HOW = "in a checkout of metarl, pip install -c constraints.txt '.[robots]'"
"""How to install gymnasium-robotics."""
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
PLAPPERT = "plappert2018"
"""The preset with gymnasium-robotics' own reward, of families that have another here (Plappert
et al. 2018, "Multi-Goal Reinforcement Learning")."""
_NEAR_ENOUGH = 0.05  # m; distance_threshold of gymnasium-robotics
_BEHIND = 0.06  # m; the object's edges are 5 cm long, and the gripper's fingers 2 cm thick


def families() -> tuple[str, ...]:
    """Return the families that there are; none where gymnasium-robotics is not installed."""
    return tuple(ENTRIES) if fetch.available() else ()


def missing() -> tuple[str, ...]:
    """Return the families that need gymnasium-robotics where it is not installed."""
    return () if fetch.available() else tuple(ENTRIES)


def presets(name: str) -> tuple[str, ...]:
    """Return the published variants of a family."""
    return (PLAPPERT,) if name == "FetchPush" else ()


def make(name: str, preset: str) -> TaskFamily:
    """Return a family of `ENTRIES`, or one of its `presets`.

    Raises:
        ValueError: when gymnasium-robotics is not installed, with how to install it; or for an
            unknown preset.
    """
    if not fetch.available():
        raise ValueError(f"{name} needs gymnasium-robotics: {HOW}")
    check_preset(name, preset, presets(name))
    return _made(name, preset)


@cache
def _made(name: str, preset: str) -> TaskFamily:
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
    source = f"gymnasium-robotics {name}Dense-v4 with a hidden goal; {remark}"
    if task == "push" and preset == "default":
        # by the object's distance alone nothing is learned in 1 M steps; see docs/results
        goal = goals.push_to(
            low[:2],
            high[:2],
            height=robot.table,
            near_weight=1.0,
            behind=_BEHIND,
            success_within=_NEAR_ENOUGH,
        )
        source += ", and a reward for standing behind the object"
    else:
        tracks = ("x", "y", "z") if task == "reach" else ("object_x", "object_y", "object_z")
        goal = goals.reach_in_box(low, high, tracks=tracks, success_within=_NEAR_ENOUGH)
    return TaskFamily(name, robot, goal, source, horizon=50, action_scale=1.0, preset=preset)
