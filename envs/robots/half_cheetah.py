"""HalfCheetah: a planar runner with six joints, as in Gymnasium's HalfCheetah-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Leg, Robot, always

_RESET_NOISE = 0.1  # HalfCheetah-v5's reset_noise_scale


class HalfCheetah(Robot):
    """Runs along x in a vertical plane; it cannot leave it and is never counted as fallen."""

    name = "HalfCheetah"
    mjcf = gymnasium_asset("half_cheetah.xml")
    frame_skip = 5
    camera = (3.0, 90.0, -10.0)
    legs = (
        Leg("back", (0, 1, 2), ("bthigh", "bshin", "bfoot")),
        Leg("front", (3, 4, 5), ("fthigh", "fshin", "ffoot")),
    )

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose, in the order in which Gymnasium draws."""
        qpos = model.qpos0 + generator.uniform(-_RESET_NOISE, _RESET_NOISE, model.nq)
        qvel = _RESET_NOISE * generator.standard_normal(model.nv)
        return qpos, qvel

    def observe(self, fields: Fields) -> Array:
        """Joint positions without x (8), joint velocities (9)."""
        return np.concatenate([fields["qpos"][:, 1:], fields["qvel"]], axis=1)

    def position(self, fields: Fields) -> Array:
        """X of the torso."""
        return fields["qpos"][:, :1]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always: the cheetah may run on its back."""
        return always(fields)
