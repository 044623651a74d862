"""An arm at a table, on which it pushes a puck."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import Edit
from metarl.envs.robot import Array, Fields, Robot, always
from metarl.envs.robots.servo_robot import ServoRobot

RADIUS, HALF_HEIGHT = 0.05, 0.03
"""Of the puck [m]."""
_SPREAD = 0.02
"""How far from its place the puck may start, in x and in y [m]."""
_SLOW = 0.1
"""What velocities are multiplied by where they are observed, as those of joints are."""
_JOINTS = ("puck_x", "puck_y")


class ArmWithPuck(Robot):
    """An arm of servos that observes, besides what it does alone, a puck on a table before it."""

    def __init__(self, arm: ServoRobot, *, place: tuple[float, float], table: float) -> None:
        """Put a table and a puck before an arm.

        Args:
            arm: does not walk.
            place: where the puck starts, x and y [m].
            table: height of the table's top [m].
        """
        self._arm = arm
        self.place, self.table = place, table
        self._furnish = _furniture(place, table)
        self.name, self.mjcf, self.frame_skip = arm.name, arm.mjcf, arm.frame_skip
        self.root, self.base, self.tip = arm.root, arm.base, arm.tip
        self.camera, self.lookat = arm.camera, arm.lookat
        self.fields = arm.fields
        self.tracks = (*arm.tracks, "object_x", "object_y", "object_z")
        model = self.load()
        joints = [model.joint(name).id for name in _JOINTS]
        self._qpos, self._qvel = model.jnt_qposadr[joints], model.jnt_dofadr[joints]

    def load(self, edits: tuple[Edit, ...] = ()) -> mujoco.MjModel:
        """Return the arm's model, with the table and the puck."""
        return self._arm.load((self._furnish, *edits))

    def rest(self, model: mujoco.MjModel) -> dict[str, Array]:
        """As the arm's."""
        return self._arm.rest(model)

    def control_range(self, model: mujoco.MjModel) -> tuple[Array, Array]:
        """As the arm's."""
        return self._arm.control_range(model)

    def drive(self, fields: Fields, control: Array) -> None:
        """As the arm's."""
        self._arm.drive(fields, control)

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """The arm's start, and the puck within 0.02 m of its place."""
        arm, qvel = self._arm.start(model, generator)
        qpos = np.zeros(model.nq)
        qpos[: len(arm)] = arm
        qpos[self._qpos] = generator.uniform(-_SPREAD, _SPREAD, 2)
        return qpos, qvel

    def observe(self, fields: Fields) -> Array:
        """What the arm does, then where the puck is (2) and a tenth of its velocity (2)."""
        puck = self._puck(fields), _SLOW * fields["qvel"][:, self._qvel]
        return np.concatenate([self._arm.observe(fields), *puck], axis=1)

    def position(self, fields: Fields) -> Array:
        """X, y and z of the arm's tip and of the puck."""
        height = np.full((len(fields["qpos"]), 1), self.table + HALF_HEIGHT)
        return np.hstack([self._arm.position(fields), self._puck(fields), height])

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """An arm does not fall."""
        return always(fields)

    def _puck(self, fields: Fields) -> Array:
        return np.array(self.place) + fields["qpos"][:, self._qpos]


def _furniture(place: tuple[float, float], table: float) -> Edit:
    """Return what adds a table and a puck that slides on it to a model's description."""

    def furnish(spec: mujoco.MjSpec) -> None:
        x, y = place
        spec.worldbody.add_geom(
            name="table",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[x + 0.05, y, table / 2.0],
            size=[0.25, 0.4, table / 2.0],
            rgba=[0.75, 0.72, 0.68, 1.0],
        )
        puck = spec.worldbody.add_body(name="puck", pos=[x, y, table + HALF_HEIGHT])
        for name, axis in zip(_JOINTS, np.eye(3), strict=False):
            puck.add_joint(
                name=name,
                type=mujoco.mjtJoint.mjJNT_SLIDE,
                axis=axis,
                frictionloss=2.0,  # the table's: 0.4 of the puck's weight
                damping=[2.0, 0.0, 0.0],
            )
        puck.add_geom(
            name="puck",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[RADIUS, HALF_HEIGHT, 0.0],
            mass=0.5,
            rgba=[0.15, 0.35, 0.8, 1.0],
            # it slides on two joints: with the table it has nothing to do
            contype=2,
            conaffinity=1,
        )

    return furnish
