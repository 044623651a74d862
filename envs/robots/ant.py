"""Ant: a four-legged robot with eight joints, as in Gymnasium's Ant-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.robot import Array, Fields, Robot, gymnasium_asset

_RESET_NOISE = 0.1
_TORSO = 1
_HEALTHY_HEIGHT = (0.2, 1.0)


class Ant(Robot):
    """Walks on the plane.

    It observes positions and velocities, as Ant-v5 does with
    `include_cfrc_ext_in_observation=False`.
    """

    name = "Ant"
    mjcf = gymnasium_asset("ant.xml")
    frame_skip = 5
    fields = ("qpos", "qvel", "ctrl", "xpos")
    camera = (6.0, 90.0, -30.0)
    tracks = ("x", "y")

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose, in the order in which Gymnasium draws."""
        qpos = model.qpos0 + generator.uniform(-_RESET_NOISE, _RESET_NOISE, model.nq)
        qvel = _RESET_NOISE * generator.standard_normal(model.nv)
        return qpos, qvel

    def observe(self, fields: Fields) -> Array:
        """Positions without x and y (13), velocities (14)."""
        return np.concatenate([fields["qpos"][:, 2:], fields["qvel"]], axis=1)

    def position(self, fields: Fields) -> Array:
        """X and y of the torso's frame, which Gymnasium's reward is computed from."""
        return fields["xpos"][:, _TORSO, :2]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Whether the torso is at a height of 0.2 to 1.0 m and the state finite."""
        height = fields["qpos"][:, 2]
        low, high = _HEALTHY_HEIGHT
        finite = np.isfinite(fields["qpos"]).all(axis=1) & np.isfinite(fields["qvel"]).all(axis=1)
        return finite & (low <= height) & (height <= high)
