"""Pusher: an arm with seven joints that pushes a cylinder, as in Gymnasium's Pusher-v5."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import gymnasium_asset
from metarl.envs.robot import Array, Fields, Robot, always


class Pusher(Robot):
    """Pushes an object over a table to a target."""

    name = "Pusher"
    mjcf = gymnasium_asset("pusher_v5.xml")
    frame_skip = 5
    fields = ("qpos", "qvel", "ctrl", "xpos")
    camera = (2.4, 140.0, -35.0)
    lookat = (0.3, -0.1, -0.2)
    tracks = ("x", "y", "z", "object_x", "object_y", "object_z")

    def __init__(self, *, sees_target: bool = True) -> None:
        """Make a pusher.

        Args:
            sees_target: observe where the target is, as Pusher-v5 does; without it, the target is
                the task to be found out.
        """
        self.sees_target = sees_target
        model = self.load()
        self._target_place = model.body("goal").pos[:2].copy()
        self._tip, self._object, self._target = (
            model.body(name).id for name in ("tips_arm", "object", "goal")
        )

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Place the object off the target's usual place, in the order in which Gymnasium draws."""
        qpos = model.qpos0.copy()
        while True:
            x, y = generator.uniform(-0.3, 0.0, 1)[0], generator.uniform(-0.2, 0.2, 1)[0]
            if np.hypot(x, y) > 0.17:  # m, Pusher-v5's least distance from the target
                break
        qpos[-4:] = x, y, 0.0, 0.0
        qvel = generator.uniform(-0.005, 0.005, model.nv)
        qvel[-4:] = 0.0
        return qpos, qvel

    def observe(self, fields: Fields) -> Array:
        """Angles (7), angular velocities (7), arm's tip (3), object (3), target if seen (3)."""
        places = [self._tip, self._object, self._target][: 3 if self.sees_target else 2]
        parts = [fields["qpos"][:, :7], fields["qvel"][:, :7]]
        return np.concatenate([*parts, *(fields["xpos"][:, place] for place in places)], axis=1)

    def position(self, fields: Fields) -> Array:
        """The arm's tip and the object."""
        return fields["xpos"][:, [self._tip, self._object]].reshape(len(fields["xpos"]), 6)

    def aim(self, qpos: Array, target: Array) -> None:
        """Put the target's disc there; its joints are y, then x, from its body's place."""
        qpos[:, -2:] = (target - self._target_place)[:, ::-1]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always."""
        return always(fields)
