"""Hopper: a planar robot on one leg with three joints, as in Gymnasium's Hopper-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Robot, uniform_start

_RESET_NOISE = 0.005  # Hopper-v5's reset_noise_scale


class Hopper(Robot):
    """Hops along x in a vertical plane."""

    name = "Hopper"
    mjcf = gymnasium_asset("hopper.xml")
    frame_skip = 4
    camera = (3.5, 90.0, -10.0)

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose, in the order in which Gymnasium draws."""
        return uniform_start(model, generator, _RESET_NOISE, _RESET_NOISE)

    def observe(self, fields: Fields) -> Array:
        """Joint positions without x (5), joint velocities cut off at +-10 (6)."""
        return np.concatenate([fields["qpos"][:, 1:], np.clip(fields["qvel"], -10.0, 10.0)], axis=1)

    def position(self, fields: Fields) -> Array:
        """X of the torso."""
        return fields["qpos"][:, :1]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Whether it is above 0.7 m, leans under 0.2 rad and has its state in +-100 (Hopper-v5)."""
        height, angle = fields["qpos"][:, 1], fields["qpos"][:, 2]
        state = np.concatenate([fields["qpos"][:, 2:], fields["qvel"]], axis=1)
        bounded = (np.abs(state) < 100.0).all(axis=1)
        return bounded & (height > 0.7) & (np.abs(angle) < 0.2)
