"""Quantities by name that a reward may see besides tracks, computed only where a goal asks.

Each is an array [sim, ...] as of the end of a control step. They hold for any robot: its base is
`Robot.root_body`, its joints are those that its actuators drive, and its feet are `Robot.feet`.
Whatever MuJoCo derives (torques, contacts) is of the step's last physics step, as `xpos` is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.actuators import JOINT_TRANSMISSIONS
from metarl.envs.model import Edit
from metarl.envs.nearest import nearest
from metarl.envs.robot import Array, Robot

QUANTITIES: dict[str, str] = {
    "action": "what was asked, -1 to 1 of the control range, [sim, action]",
    "last_action": "what was asked in the step before, 0 at a start, [sim, action]",
    "torque": "of the actuators on their joints or tendons, gear included [N m, N]; of one on a "
    "site or a body, before its gear, [sim, actuator]",
    "joint_velocity": "of the driven joints [rad/s, m/s], [sim, joint]",
    "height": "of the base [m], [sim]",
    "up": "the vertical in the base's frame, (0, 0, 1) when it is level, [sim, 3]",
    "base_velocity": "in the base's frame [m/s], [sim, 3]; for a base that floats",
    "base_rotation": "angular velocity in the base's frame [rad/s], [sim, 3]; as above",
    "contact": "whether each foot touches anything, [sim, foot]",
    "air_time": "how long each foot has not touched anything; in the step in which it lands, how "
    "long it had not [s], [sim, foot]",
    "landed": "whether each foot touches anything for the first time after a flight, [sim, foot]",
}
"""What each quantity is."""

_GEARED = [mujoco.mjtTrn.mjTRN_TENDON.value, mujoco.mjtTrn.mjTRN_SLIDERCRANK.value]
_SENSOR = "metarl contact of "
_FIELDS = {
    "torque": ("actuator_force",),
    "joint_velocity": ("qvel",),
    "height": ("xpos",),
    "up": ("qpos",),
    "base_velocity": ("qpos", "qvel"),
    "base_rotation": ("qvel",),
    **dict.fromkeys(("contact", "air_time", "landed"), ("sensordata",)),
}
"""The MjData fields that a quantity is computed from."""


def sensors(sees: Sequence[str], robot: Robot) -> tuple[Edit, ...]:
    """Return the changes to a robot's model that these quantities need: sensors of contact."""
    if not any("sensordata" in _FIELDS.get(name, ()) for name in sees):
        return ()
    return (_contact_sensors(tuple(robot.feet)),)


@cache  # a compiled model is kept by its edits, which count by identity
def _contact_sensors(feet: tuple[str, ...]) -> Edit:
    def edit(spec: mujoco.MjSpec) -> None:
        found = 1 << mujoco.mjtConDataField.mjCONDATA_FOUND.value
        for foot in feet:
            spec.add_sensor(
                name=_SENSOR + foot,
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_BODY,
                objname=foot,
                intprm=[found, 0, 1],
            )

    return edit


def require_quantities(sees: Sequence[str], robot: Robot, model: mujoco.MjModel) -> None:
    """Check that a robot has what a goal asks to see.

    Raises:
        ValueError: for an unknown quantity, feet where the robot names none, or the velocity of a
            base that does not float.
    """
    for name in sees:
        if name not in QUANTITIES:
            raise ValueError(f"there is no quantity {name!r}{nearest(name, QUANTITIES)}")
        if "sensordata" in _FIELDS.get(name, ()) and not robot.feet:
            raise ValueError(
                f"the goal sees {name!r}, but {robot.name} names no feet: write "
                f"feet = (...), the names of bodies, in the robot"
            )
        if name in ("base_velocity", "base_rotation", "up"):
            floating_base(robot, model)


def floating_base(robot: Robot, model: mujoco.MjModel) -> tuple[int, int]:
    """Return where a floating base's joint begins in qpos and in qvel.

    Raises:
        ValueError: where the robot's base has no free joint.
    """
    base = robot.root_body(model)
    joint = int(model.body_jntadr[base])
    if joint < 0 or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_FREE.value:
        raise ValueError(
            f"the goal sees how the base moves, but {robot.name}'s base "
            f"{model.body(base).name!r} has no free joint"
        )
    return int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])


class Quantities:
    """The quantities that a goal sees, of many simulations."""

    def __init__(
        self,
        sees: Sequence[str],
        robot: Robot,
        model: mujoco.MjModel,
        bind: Callable[[str], Array],
        shape: tuple[int, int],
    ) -> None:
        """Prepare to read.

        Args:
            sees: names of `QUANTITIES`.
            robot: what is simulated.
            model: its model, with `sensors`.
            bind: returns a live MjData field, [sim, ...], by name.
            shape: how many simulations, and numbers in an action.
        """
        self._sees = tuple(sees)
        self._fields = {f: bind(f) for name in sees for f in _FIELDS.get(name, ())}
        on_joint = np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS)
        geared = on_joint | np.isin(model.actuator_trntype, _GEARED)
        self._gear = np.where(geared, model.actuator_gear[:, 0], 1.0)
        self._dofs = model.jnt_dofadr[model.actuator_trnid[on_joint, 0]]
        self._base = robot.root_body(model)
        moves = {"up", "base_velocity", "base_rotation"} & set(sees)
        self._qpos, self._qvel = floating_base(robot, model) if moves else (0, 0)
        touches = "sensordata" in self._fields
        self._feet = [model.sensor(_SENSOR + f).adr[0] for f in robot.feet] if touches else []
        self._action = np.zeros(shape)
        self._air_time = np.zeros((shape[0], len(self._feet)))
        self._seconds = model.opt.timestep * robot.frame_skip
        self._read: dict[str, Callable[[], Array]] = {
            "torque": self._torque,
            "joint_velocity": self._joint_velocity,
            "height": self._height,
            "up": self._up,
            "base_velocity": self._base_velocity,
            "base_rotation": self._base_rotation,
        }

    def restart(self, sims: Any) -> None:  # noqa: ANN401, any index
        """Forget the steps before, in simulations that start anew."""
        self._action[sims] = 0.0
        self._air_time[sims] = 0.0

    def read(self, action: Array, active: NDArray[np.bool_] | None) -> Mapping[str, NDArray]:
        """Return the quantities after a control step.

        Args:
            action: of the step, -1 to 1, [sim, action].
            active: the simulations that were stepped, [sim]; None for all.
        """
        stepped = np.ones(len(action), bool) if active is None else active
        seen: dict[str, NDArray] = {"action": action, "last_action": self._action.copy()}
        self._action[stepped] = action[stepped]
        if self._feet:
            seen |= self._contacts(stepped)
        for name in self._sees:
            if name not in seen:
                seen[name] = self._read[name]()
        return {name: seen[name] for name in self._sees}

    def copy_from(self, other: "Quantities") -> None:
        """Take over what another one remembers of the steps before."""
        self._action[:] = other._action
        self._air_time[:] = other._air_time

    def _contacts(self, stepped: NDArray[np.bool_]) -> dict[str, NDArray]:
        contact = self._fields["sensordata"][:, self._feet] > 0.0
        flown = self._air_time + self._seconds * stepped[:, None]
        landed = contact & (self._air_time > 0.0)
        # a flight that has just ended is told for this one step
        air_time = np.where(contact, np.where(landed, self._air_time, 0.0), flown)
        self._air_time = np.where(stepped[:, None], np.where(contact, 0.0, flown), self._air_time)
        return {"contact": contact, "landed": landed, "air_time": air_time}

    def _torque(self) -> Array:
        return self._fields["actuator_force"] * self._gear

    def _joint_velocity(self) -> Array:
        return self._fields["qvel"][:, self._dofs]

    def _height(self) -> Array:
        return self._fields["xpos"][:, self._base, 2].copy()

    def _up(self) -> Array:
        return to_body(self._fields["qpos"][:, self._qpos + 3 : self._qpos + 7], UP)

    def _base_velocity(self) -> Array:
        quaternion = self._fields["qpos"][:, self._qpos + 3 : self._qpos + 7]
        return to_body(quaternion, self._fields["qvel"][:, self._qvel : self._qvel + 3])

    def _base_rotation(self) -> Array:
        return self._fields["qvel"][:, self._qvel + 3 : self._qvel + 6].copy()


UP = np.array([[0.0, 0.0, 1.0]])


def to_body(quaternion: Array, vector: Array) -> Array:
    """Turn vectors of the world into the frame of bodies, [sim, 3].

    v' = v - 2 w (u x v) + 2 u x (u x v) for the unit quaternion (w, u): the inverse rotation.

    Args:
        quaternion: of each body, w first, [sim, 4].
        vector: [sim, 3] or [1, 3].
    """
    w, u = quaternion[:, :1], quaternion[:, 1:]
    across = np.cross(u, vector)
    return vector - 2.0 * w * across + 2.0 * np.cross(u, across)
