"""Ant: a four-legged robot with eight joints, as in Gymnasium's Ant-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Leg, Robot, yaw

_RESET_NOISE = 0.1  # Ant-v5's reset_noise_scale
_TORSO = 1  # index of the body
_HIGHEST = 1.0  # m, upper end of Ant-v5's healthy_z_range


class Ant(Robot):
    """Walks on the plane."""

    name = "Ant"
    mjcf = gymnasium_asset("ant.xml")
    frame_skip = 5
    camera = (6.0, 90.0, -30.0)
    tracks = ("x", "y", "yaw")
    legs = (
        Leg("front left", (2, 3), ("left_leg_geom", "left_ankle_geom")),
        Leg("front right", (4, 5), ("right_leg_geom", "right_ankle_geom")),
        Leg("back left", (6, 7), ("back_leg_geom", "third_ankle_geom")),
        Leg("back right", (0, 1), ("rightback_leg_geom", "fourth_ankle_geom")),
    )

    def __init__(self, *, contact_forces: bool = True, lowest: float = 0.2) -> None:
        """Make an ant.

        Args:
            contact_forces: observe the contact forces, as Ant-v5 does by default. They cost about
                a seventh of the speed, and few published families use them.
            lowest: the least height of the torso at which it has not fallen [m]; Ant-v5's by
                default.
        """
        self.lowest = lowest
        self.fields = ("qpos", "qvel", "ctrl", "xpos")
        if contact_forces:
            self.fields += ("cfrc_ext",)

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Perturb the rest pose, in the order in which Gymnasium draws."""
        qpos = model.qpos0 + generator.uniform(-_RESET_NOISE, _RESET_NOISE, model.nq)
        qvel = _RESET_NOISE * generator.standard_normal(model.nv)
        return qpos, qvel

    def observe(self, fields: Fields) -> Array:
        """Positions without x and y (13), velocities (14), contact forces if asked for (78)."""
        parts = [fields["qpos"][:, 2:], fields["qvel"]]
        if "cfrc_ext" in fields:
            parts.append(self.contact_forces(fields)[:, 6:])
        return np.concatenate(parts, axis=1)

    def position(self, fields: Fields) -> Array:
        """X and y of the torso's frame, which Gymnasium's reward is computed from, and its yaw."""
        xy = fields["xpos"][:, _TORSO, :2]
        return np.concatenate([xy, yaw(fields["qpos"][:, 3:7])[:, None]], axis=1)

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Whether the torso is at a height of 0.2 to 1 m (as made) and the state finite."""
        height = fields["qpos"][:, 2]
        finite = np.isfinite(fields["qpos"]).all(axis=1) & np.isfinite(fields["qvel"]).all(axis=1)
        return finite & (self.lowest <= height) & (height <= _HIGHEST)

    def contact_forces(self, fields: Fields) -> Array:
        """Torques and forces on every body, [sim, 84], each cut off at +-1 as in Ant-v5."""
        return np.clip(fields["cfrc_ext"], -1.0, 1.0).reshape(len(fields["cfrc_ext"]), -1)
