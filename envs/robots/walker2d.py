"""Walker2d: a planar robot on two legs with six joints, as in Gymnasium's Walker2d-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Leg, Robot, uniform_start

_RESET_NOISE = 0.005  # Walker2d-v5's reset_noise_scale


class Walker2d(Robot):
    """Walks along x in a vertical plane."""

    name = "Walker2d"
    mjcf = gymnasium_asset("walker2d_v5.xml")
    frame_skip = 4
    camera = (4.0, 90.0, -10.0)
    legs = (
        Leg("right", (0, 1, 2), ("thigh_geom", "leg_geom", "foot_geom")),
        Leg("left", (3, 4, 5), ("thigh_left_geom", "leg_left_geom", "foot_left_geom")),
    )

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose, in the order in which Gymnasium draws."""
        return uniform_start(model, generator, _RESET_NOISE, _RESET_NOISE)

    def observe(self, fields: Fields) -> Array:
        """Joint positions without x (8), joint velocities cut off at +-10 (9)."""
        return np.concatenate([fields["qpos"][:, 1:], np.clip(fields["qvel"], -10.0, 10.0)], axis=1)

    def position(self, fields: Fields) -> Array:
        """X of the torso."""
        return fields["qpos"][:, :1]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Whether it stands at 0.8 to 2 m and leans less than 1 rad (Walker2d-v5)."""
        height, angle = fields["qpos"][:, 1], fields["qpos"][:, 2]
        return (height > 0.8) & (height < 2.0) & (np.abs(angle) < 1.0)
