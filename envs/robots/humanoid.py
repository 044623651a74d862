"""Humanoid: a two-legged robot with 17 joints, as in Gymnasium's Humanoid-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Robot, uniform_start, yaw

_RESET_NOISE = 0.01  # Humanoid-v5's reset_noise_scale


class Humanoid(Robot):
    """Walks on the plane."""

    name = "Humanoid"
    mjcf = gymnasium_asset("humanoid.xml")
    frame_skip = 5
    camera = (4.2, 90.0, -10.0)
    tracks = ("x", "y", "yaw")

    def __init__(self, *, contact_forces: bool = True) -> None:
        """Make a humanoid.

        Args:
            contact_forces: observe the contact forces, as Humanoid-v5 does by default. They cost
                some speed, and in the simulators of most published results they were zero.
        """
        self.fields = ("qpos", "qvel", "ctrl", "subtree_com", "cinert", "cvel", "qfrc_actuator")
        if contact_forces:
            self.fields += ("cfrc_ext",)

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose, in the order in which Gymnasium draws."""
        return uniform_start(model, generator, _RESET_NOISE, _RESET_NOISE)

    def observe(self, fields: Fields) -> Array:
        """Everything of Humanoid-v5: 270 numbers, and 78 contact forces if asked for.

        Positions without x and y (22), velocities (23), and of all bodies but the world inertias
        (130), velocities (78), and of the joints actuator forces (17), then contact forces.
        """
        count = len(fields["qpos"])
        parts = [
            fields["qpos"][:, 2:],
            fields["qvel"],
            fields["cinert"][:, 1:].reshape(count, -1),
            fields["cvel"][:, 1:].reshape(count, -1),
            fields["qfrc_actuator"][:, 6:],
        ]
        if "cfrc_ext" in fields:
            parts.append(self.contact_forces(fields)[:, 6:])
        return np.concatenate(parts, axis=1)

    def position(self, fields: Fields) -> Array:
        """X and y of the centre of mass, which Gymnasium's reward is computed from, and yaw."""
        xy = fields["subtree_com"][:, 0, :2]
        return np.concatenate([xy, yaw(fields["qpos"][:, 3:7])[:, None]], axis=1)

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Whether the torso is at a height of 1 to 2 m (Humanoid-v5)."""
        height = fields["qpos"][:, 2]
        return (height > 1.0) & (height < 2.0)

    def contact_forces(self, fields: Fields) -> Array:
        """Torques and forces on every body, [sim, 84]."""
        return fields["cfrc_ext"].reshape(len(fields["cfrc_ext"]), -1)
