"""The state fields of a start that are neither position nor velocity: controls and what is kept."""

import mujoco
import numpy as np

from metarl.envs.robot import Array, Robot


def rest_fields(robot: Robot, model: mujoco.MjModel) -> dict[str, Array]:
    """Return what every start of a robot sets besides qpos and qvel, by field.

    The robot's `rest`, and the past controls of actuators with a delay: MuJoCo begins with zeros
    there, so a servo would be sent to angle 0 until its first control arrives.

    Raises:
        ValueError: for a field that MjData does not have, or values of another shape.
    """
    fields = {name: np.asarray(values, np.float64) for name, values in robot.rest(model).items()}
    data = mujoco.MjData(model)
    for name, values in fields.items():
        expected = np.shape(getattr(data, name)) if hasattr(data, name) else (0,)
        if values.shape != expected:
            raise ValueError(
                f"{robot.name}.rest must return state fields of MjData, got {name!r} with "
                f"{list(values.shape)} for {list(expected)}"
            )
    if "ctrl" in fields and model.nhistory:
        kept = model.actuator_history[:, 0]
        firsts, widths = model.actuator_ctrladr, model.actuator_ctrlnum
        for actuator in np.flatnonzero(kept):
            first = firsts[actuator]
            control = fields["ctrl"][first : first + widths[actuator]]
            past = np.tile(control, (kept[actuator], 1))
            mujoco.mj_initCtrlHistory(model, data, int(actuator), None, past)
        fields["history"] = data.history.copy()
    return fields


def put_at_rest(robot: Robot, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Write a robot's `rest_fields` into data."""
    for name, values in rest_fields(robot, model).items():
        getattr(data, name)[:] = values
