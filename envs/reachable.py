"""Where an arm can reach: its tip, poses within its servos' stride, a box of points to ask for."""

from typing import NamedTuple

import mujoco
import numpy as np

from metarl.envs.robot import Array
from metarl.envs.robots.servo_robot import ServoRobot

NEAR = 0.05
"""How near the tip must come to a point to reach it [m]."""
ENOUGH = 0.9
"""The part of a box's points that must be within reach."""
_POSES, _POINTS = 2000, 400
_SHRINK = 0.9


class Box(NamedTuple):
    """Points around a middle one, in a box along the axes."""

    low: tuple[float, ...]
    """The smallest coordinates [m]."""
    high: tuple[float, ...]
    """The largest."""
    reachable: float
    """The part of its points that the tip comes near to."""


def tip_of(robot: ServoRobot, model: mujoco.MjModel) -> str | None:
    """Return the name of the site or body that should reach: the farthest on the last driven body.

    The frame of that body itself lies in its joint, which moves it nowhere.

    Args:
        robot: an arm.
        model: its model.
    """
    last = robot.tip[1] if robot.tip[0] == "xpos" else int(model.site_bodyid[robot.tip[1]])
    rigid = {last}  # bodies that hang from it without a joint of their own
    for body in range(last + 1, model.nbody):
        if int(model.body_parentid[body]) in rigid and not model.body_jntnum[body]:
            rigid.add(body)
    data = mujoco.MjData(model)
    data.qpos[:] = robot.home_qpos
    mujoco.mj_kinematics(model, data)
    places = {
        model.site(site).name: data.site_xpos[site]
        for site in range(model.nsite)
        if int(model.site_bodyid[site]) in rigid
    }
    places |= {model.body(body).name: data.xpos[body] for body in rigid}
    named = {name: place for name, place in places.items() if name}
    if not named:
        return None
    return max(named, key=lambda name: float(np.linalg.norm(named[name] - data.xpos[last])))


def box_within_reach(robot: ServoRobot, model: mujoco.MjModel) -> Box:
    """Return a box most of whose points the tip comes near to in some pose.

    It is the middle of the densest part of all places of the tip, and shrinks until enough of it
    is within reach: of a planar arm, or one whose tip moves on a sphere, it becomes thin.

    Args:
        robot: an arm.
        model: its model.
    """
    generator = np.random.default_rng(0)
    places = _tips(robot, model, _poses(robot, model, generator))
    low, high = np.quantile(places, [0.05, 0.95], axis=0)
    # the place with the most others around it
    middle = places[int((_distances(places, places) < 2.0 * NEAR).sum(1).argmax())]
    half = np.maximum((high - low) / 2.0, 1e-3)
    while True:
        corners = np.maximum(middle - half, low), np.minimum(middle + half, high)
        points = generator.uniform(*corners, size=(_POINTS, 3))
        reachable = float((_distances(points, places).min(1) < NEAR).mean())
        if reachable >= ENOUGH or half.max() < NEAR / 2.0:
            first, last = (tuple(np.round(corner, 3).tolist()) for corner in corners)
            return Box(first, last, reachable)
        half *= _SHRINK


def _poses(robot: ServoRobot, model: mujoco.MjModel, generator: np.random.Generator) -> Array:
    """Return poses that an arm's servos may be asked for, [pose, nq]."""
    poses = np.tile(robot.home_qpos, (_POSES, 1))
    for (_, joint), far in zip(robot.driven(model), robot.reach(model), strict=True):
        if joint is None:
            continue
        address = int(model.jnt_qposadr[joint])
        moved = poses[:, address] + generator.uniform(-far, far, _POSES)
        if model.jnt_limited[joint]:
            moved = np.clip(moved, *model.jnt_range[joint])
        poses[:, address] = moved
    return poses


def _tips(robot: ServoRobot, model: mujoco.MjModel, poses: Array) -> Array:
    """Return where an arm's tip is in each pose, [pose, 3]."""
    data = mujoco.MjData(model)
    field, index = robot.tip
    places = []
    for pose in poses:
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        places.append(getattr(data, field)[index].copy())
    return np.stack(places)


def _distances(points: Array, others: Array) -> Array:
    return np.linalg.norm(points[:, None] - others, axis=-1)
