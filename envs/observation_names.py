"""Names for the numbers of an observation, for tables and figures.

A robot computes its observation with code, so there is no list to read them from. They are found by
finite differences: a number that changes when one joint coordinate moves, and with no other, is
called after that joint.
"""

import mujoco
import numpy as np

from metarl.envs.robot import Robot

_FREE = (("x", "y", "z", "qw", "qx", "qy", "qz"), ("vx", "vy", "vz", "wx", "wy", "wz"))
_BALL = (("qw", "qx", "qy", "qz"), ("wx", "wy", "wz"))
_MOVE = 1e-3
"""How far a coordinate is moved [m, rad, m/s, rad/s]: any change of an observation counts."""


def observation_names(robot: Robot, model: mujoco.MjModel) -> list[str]:
    """Return a name for each number that a robot observes, all of them different.

    A number that follows several coordinates, or none, is called by its place: `observation 6`.
    """
    data = mujoco.MjData(model)
    fields = {name: np.asarray(getattr(data, name))[None].copy() for name in robot.fields}
    fields["qpos"][0] = model.qpos0
    rest = robot.observe(fields)[0]
    followed: list[list[str]] = [[] for _ in rest]
    for field, labels in zip(("qpos", "qvel"), _coordinates(model), strict=True):
        for index, label in enumerate(labels):
            moved = {name: value.copy() for name, value in fields.items()}
            moved[field][0, index] += _MOVE
            for column in np.flatnonzero(robot.observe(moved)[0] != rest):
                followed[column].append(label)
    names: list[str] = []
    for column, labels in enumerate(followed):
        name = labels[0] if len(labels) == 1 else f"observation {column}"
        again = sum(other.partition(" #")[0] == name for other in names)
        names.append(f"{name} #{again + 1}" if again else name)
    return names


def _coordinates(model: mujoco.MjModel) -> tuple[list[str], list[str]]:
    """Return the names of the elements of qpos and of qvel."""
    positions, velocities = [], []
    for number in range(model.njnt):
        joint = model.joint(number)
        name = joint.name or f"joint {number}"
        kind = int(model.jnt_type[number])
        if kind == mujoco.mjtJoint.mjJNT_FREE.value:
            places, rates = _FREE
        elif kind == mujoco.mjtJoint.mjJNT_BALL.value:
            places, rates = _BALL
        else:
            positions.append(name)
            velocities.append(f"{name} velocity")
            continue
        positions += [f"{name} {part}" for part in places]
        velocities += [f"{name} {part}" for part in rates]
    return positions, velocities
