"""Swimmer: three links in a viscous fluid, as in Gymnasium's Swimmer-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Robot, always, uniform_start

_RESET_NOISE = 0.1  # Swimmer-v5's reset_noise_scale


class Swimmer(Robot):
    """Swims on the plane by bending its two joints."""

    name = "Swimmer"
    mjcf = gymnasium_asset("swimmer.xml")
    frame_skip = 4
    camera = (4.0, 90.0, -60.0)
    tracks = ("x", "y")

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose, in the order in which Gymnasium draws."""
        return uniform_start(model, generator, _RESET_NOISE, _RESET_NOISE)

    def observe(self, fields: Fields) -> Array:
        """Angles (3), velocities (5)."""
        return np.concatenate([fields["qpos"][:, 2:], fields["qvel"]], axis=1)

    def position(self, fields: Fields) -> Array:
        """X and y of the front link."""
        return fields["qpos"][:, :2]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always."""
        return always(fields)
