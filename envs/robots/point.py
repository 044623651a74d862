"""Point: a dot on the plane that moves by what it is told, at most 0.1 m a step."""

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.robot import Array, Fields, Robot

_STEP = 0.1  # m moved by a control of 1 in one step of 1 s


class Point(Robot):
    """Moves by `0.1 * control` each step, without inertia."""

    name = "Point"
    mjcf = Path(__file__).parent / "assets" / "point.xml"
    frame_skip = 1
    camera = (2.2, 90.0, -90.0)
    tracks = ("x", "y")

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Start at the origin, at rest."""
        return np.zeros(model.nq), np.zeros(model.nv)

    def observe(self, fields: Fields) -> Array:
        """X and y."""
        return fields["qpos"].copy()

    def position(self, fields: Fields) -> Array:
        """X and y."""
        return fields["qpos"]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always."""
        return np.ones(len(fields["qpos"]), dtype=bool)

    def drive(self, fields: Fields, control: Array) -> None:
        """Set the velocity that the control asks for."""
        fields["qvel"][:] = _STEP * control
