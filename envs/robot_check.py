"""What a robot's methods must return, checked when a family is made, before any physics runs.

A robot computes over arrays with a leading simulation axis. One that joins or reduces along the
wrong axis returns an array that later code would slice or broadcast without complaint.
"""

from typing import NoReturn

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from metarl.envs.model import element_index
from metarl.envs.mujoco_log import quiet
from metarl.envs.rest_fields import put_at_rest
from metarl.envs.robot import Array, Robot

_COUNTS = (2, 3)
"""Numbers of simulations to try: with a single count, a wrong axis can have the right length by
chance."""


_NOT_COMPUTED = (
    "subtree_linvel",
    "subtree_angmom",
    "cacc",
    "cfrc_int",
    "energy",
    "qfrc_inverse",
)
"""Fields that MuJoCo computes on demand only: a step leaves in them what was there before."""


class Readings(dict[str, Array]):
    """The MjData fields of a robot by name; reading one that it does not list says so."""

    def __init__(self, robot: Robot, fields: dict[str, Array]) -> None:
        """Hold the fields that `robot` lists, [sim, ...] each."""
        super().__init__(fields)
        self._robot = robot

    def __missing__(self, name: str) -> NoReturn:
        listed = ", ".join(repr(field) for field in (*self._robot.fields, name))
        if hasattr(mujoco.MjData, name):
            raise ValueError(
                f"{self._robot.name} reads the field {name!r}, which it does not list: write "
                f"fields = ({listed}) in the robot"
            )
        raise ValueError(f"{self._robot.name} reads the field {name!r}, which MjData does not have")


def readings(robot: Robot, model: mujoco.MjModel, count: int) -> Readings:
    """Return the fields of a robot in `count` start states, [count, ...] each.

    Raises:
        ValueError: for a field that MjData does not have or a step does not compute, or a start
            of the wrong shape.
    """
    for name in robot.fields:
        if not hasattr(mujoco.MjData, name):
            raise ValueError(f"{robot.name} lists the field {name!r}, which MjData does not have")
        if name in _NOT_COMPUTED:
            raise ValueError(
                f"{robot.name} lists the field {name!r}, which is not computed by a step; add a "
                f"sensor of it to the MJCF and read 'sensordata'"
            )
    data = mujoco.MjData(model)
    rows = []
    for sim in range(count):
        qpos, qvel = robot.start(model, np.random.default_rng(sim))
        _require_shape(robot, "start", qpos, (model.nq,))
        _require_shape(robot, "start", qvel, (model.nv,))
        data.qpos[:], data.qvel[:] = qpos, qvel
        put_at_rest(robot, model, data)
        with quiet():
            mujoco.mj_forward(model, data)
        rows.append({name: np.array(getattr(data, name)) for name in robot.fields})
    return Readings(robot, {name: np.stack([row[name] for row in rows]) for name in robot.fields})


def check_robot(robot: Robot, model: mujoco.MjModel, *, falls: bool = True) -> None:
    """Check a robot against its model.

    Args:
        robot: with a fall that can end episodes.
        model: its own.
        falls: whether a fall does.

    Raises:
        TypeError: when it is no robot, or a class of robots.
        ValueError: when it reads what it does not list, returns an array of the wrong shape, has
            actuators without a range, names a body or camera that the model lacks, or has fallen
            in all its starts.
    """
    _check_controls(robot, model)
    robot.root_body(model)
    if robot.camera_name is not None:
        element_index(model, "camera", robot.camera_name)
    for count in _COUNTS:
        fields = readings(robot, model, count)
        expectations = {
            "observe": (count, "observation"),
            "position": (count, len(robot.tracks)),
            "healthy": (count,),
        }
        for method, expected in expectations.items():
            _require_shape(robot, method, getattr(robot, method)(fields), expected)
        _check_healthy(robot, np.asarray(robot.healthy(fields)), falls)


def require_instance(robot: object) -> None:
    """Raise TypeError for what is no robot, such as a class in place of an instance of it."""
    if isinstance(robot, type) and issubclass(robot, Robot):
        raise TypeError(f"the robot is the class {robot.__name__}; call it: {robot.__name__}()")
    if not isinstance(robot, Robot):
        raise TypeError(f"the robot must be an instance of a subclass of Robot, got {robot!r}")


def _check_healthy(robot: Robot, healthy: NDArray, falls: bool) -> None:
    if healthy.dtype != bool:
        raise ValueError(
            f"{robot.name}.healthy must return booleans, got {healthy.dtype}: write a comparison, "
            f"such as fields['qpos'][:, 2] > 0.5"
        )
    if falls and not healthy.any():
        raise ValueError(
            f"{robot.name} has fallen where it starts, as {robot.name}.healthy says, so every "
            f"episode would end in its first step: a ServoRobot that walks needs a base whose z "
            f"axis points up and a floor at z = 0; correct that in the MJCF or the keyframe, or "
            f"let the family have falls=False"
        )


def _check_controls(robot: Robot, model: mujoco.MjModel) -> None:
    low, high = (np.asarray(bound) for bound in robot.control_range(model))
    if low.ndim != 1 or low.shape != high.shape or not np.isfinite([low, high]).all():
        raise ValueError(
            f"{robot.name}.control_range must return two arrays of the same shape [action] with "
            f"finite numbers, got {low} and {high}"
        )
    if (low > high).any():
        raise ValueError(
            f"{robot.name}.control_range must return the lowest controls first, got {low} and "
            f"{high}"
        )
    if type(robot).drive is Robot.drive:
        _require_shape(robot, "control_range", low, (model.nu,))  # drive() sets ctrl


def _require_shape(
    robot: Robot, method: str, array: ArrayLike, expected: tuple[int | str, ...]
) -> None:
    """Raise ValueError unless an array has the expected shape; a word stands for any length."""
    got = np.shape(array)
    if len(got) == len(expected) and all(
        isinstance(length, str) or length == axis
        for length, axis in zip(expected, got, strict=True)
    ):
        return
    wanted = ", ".join(map(str, expected))
    many = f" for {expected[0]} simulations" if method in ("observe", "position", "healthy") else ""
    hint = "; parts are joined along axis=1" if method == "observe" else ""
    raise ValueError(f"{robot.name}.{method} must return [{wanted}]{many}, got {list(got)}{hint}")
