"""Point: a dot on the plane whose control is its displacement."""

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.robot import Array, Fields, Robot, always


class Point(Robot):
    """Moves by `stride * control` each step of 1 s, without inertia."""

    name = "Point"
    mjcf = Path(__file__).parent / "assets" / "point.xml"
    frame_skip = 1
    camera = (2.2, 90.0, -90.0)
    tracks = ("x", "y")

    def __init__(self, *, stride: float = 0.1, spread: float = 0.0) -> None:
        """Make a point.

        Args:
            stride: what a control of 1 moves it by [m].
            spread: it starts within so much of the origin in x and in y, drawn uniformly [m].
        """
        self.stride = stride
        self.spread = spread

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Start near the origin, at rest."""
        return generator.uniform(-self.spread, self.spread, model.nq), np.zeros(model.nv)

    def observe(self, fields: Fields) -> Array:
        """X and y."""
        return fields["qpos"].copy()

    def position(self, fields: Fields) -> Array:
        """X and y."""
        return fields["qpos"]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always."""
        return always(fields)

    def drive(self, fields: Fields, control: Array) -> None:
        """Set the velocity that the control asks for."""
        fields["qvel"][:] = self.stride * control
