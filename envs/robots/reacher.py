"""Reacher: an arm of two links on a plane, as in Gymnasium's Reacher-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Robot, always

_FINGERTIP, _TARGET = 3, 4  # indices of bodies
_RADIUS = 0.2  # m, within which Reacher-v5 draws targets


class Reacher(Robot):
    """Moves its fingertip to a target."""

    name = "Reacher"
    mjcf = gymnasium_asset("reacher.xml")
    frame_skip = 2
    fields = ("qpos", "qvel", "ctrl", "xpos")
    camera = (0.75, 90.0, -65.0)
    lookat = (0.0, 0.0, 0.0)
    tracks = ("x", "y", "z")

    def __init__(self, *, sees_target: bool = True) -> None:
        """Make a reacher.

        Args:
            sees_target: observe where the target is, as Reacher-v5 does; without it, the target is
                the task to be found out.
        """
        self.sees_target = sees_target

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose and draw a target, in the order in which Gymnasium draws."""
        qpos = generator.uniform(-0.1, 0.1, model.nq) + model.qpos0
        while True:
            target = generator.uniform(-_RADIUS, _RADIUS, 2)
            if np.linalg.norm(target) < _RADIUS:
                break
        qpos[2:] = target
        qvel = generator.uniform(-0.005, 0.005, model.nv)
        qvel[2:] = 0.0
        return qpos, qvel

    def observe(self, fields: Fields) -> Array:
        """Cosines and sines of the angles (4), angular velocities (2), and the target.

        With the target: cosines and sines (4), target (2), angular velocities (2), fingertip minus
        target (2), as in Gymnasium. Without: fingertip (2) in place of both.
        """
        angles, speeds = fields["qpos"][:, :2], fields["qvel"][:, :2]
        fingertip, target = fields["xpos"][:, _FINGERTIP, :2], fields["xpos"][:, _TARGET, :2]
        parts = [np.cos(angles), np.sin(angles)]
        if self.sees_target:
            parts += [fields["qpos"][:, 2:], speeds, fingertip - target]
        else:
            parts += [speeds, fingertip]
        return np.concatenate(parts, axis=1)

    def position(self, fields: Fields) -> Array:
        """The fingertip."""
        return fields["xpos"][:, _FINGERTIP]

    def aim(self, qpos: Array, target: Array) -> None:
        """Put the target's dot there."""
        qpos[:, 2:] = target

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always."""
        return always(fields)
