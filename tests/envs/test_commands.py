"""The reward for following a command, written out for one simulation from MuJoCo's arrays."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from metarl.envs import ServoRobot, Servos, TaskFamily, goals
from metarl.envs.commands import TERMS, WEIGHTS
from tests.envs.legged import written

COMMAND = {"forward": 0.7, "sideways": -0.2, "turn": 0.5}
RANGES: dict[str, Any] = {"forward": (0.0, 1.0), "sideways": (-0.3, 0.3), "turn": (-1.0, 1.0)}


def dog(folder: Path, goal: goals.Goal) -> TaskFamily:
    robot = ServoRobot(written(folder), servos=Servos("home"))
    return TaskFamily("dog", robot, goal, "", falls=False, action_scale=1.0)


def pose(data: mujoco.MjData) -> np.ndarray:
    """Place and heading of the trunk, from MuJoCo's rotation matrix."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, data.qpos[3:7])
    return np.array([*data.qpos[:2], np.arctan2(matrix[3], matrix[0])])


def expected(before: np.ndarray, data: mujoco.MjData, last: np.ndarray, action: np.ndarray) -> dict:
    """The terms, unweighted; the flight of feet apart."""
    moved = (pose(data) - before) / 0.02
    turned = np.angle(np.exp(0.02j * moved[2])) / 0.02
    ahead = np.array([np.cos(before[2]), np.sin(before[2])])
    left = np.array([-ahead[1], ahead[0]])
    missed = [moved[:2] @ ahead - COMMAND["forward"], moved[:2] @ left - COMMAND["sideways"]]
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, data.qpos[3:7])
    matrix = matrix.reshape(3, 3)
    return {
        "velocity": -np.linalg.norm(missed),
        "turn": -abs(turned - COMMAND["turn"]),
        "bounce": (matrix.T @ data.qvel[:3])[2] ** 2,
        "wobble": np.square(data.qvel[3:5]).sum(),
        "tilt": np.square(matrix[2, :2]).sum(),
        "torque": np.square(data.actuator_force).sum(),
        "jerk": np.square(action - last).sum(),
    }


def test_terms_are_what_they_say(tmp_path: Path):
    family = dog(tmp_path, goals.velocity_command(**RANGES))
    simulator = family.simulate(1)
    simulator.set_tasks(family.task(COMMAND))
    simulator.reset([np.random.default_rng(0)])
    start = simulator.fields["qpos"].copy()
    start[0, 3:7] = [0.1, 0.1, 0.0, 0.98]  # looking back, where yaw jumps
    start[0, 3:7] /= np.linalg.norm(start[0, 3:7])
    simulator.set_state(start, np.random.default_rng(1).standard_normal((1, 14)))
    model = family.model
    twin = mujoco.MjData(model)
    twin.qpos[:], twin.qvel[:] = simulator.fields["qpos"][0], simulator.fields["qvel"][0]
    twin.ctrl[:] = model.key_ctrl[1]
    mujoco.mj_forward(model, twin)
    rng, last = np.random.default_rng(2), np.zeros(8)
    for _ in range(20):
        action, before = rng.uniform(-1.0, 1.0, 8), pose(twin)
        reward = simulator.step(action[None]).reward[0]
        twin.ctrl[:] = model.key_ctrl[1] + 0.5 * action
        mujoco.mj_step(model, twin, nstep=4)
        terms = expected(before, twin, last, action)
        got = {name: value.item() for name, value in simulator.terms.items()}
        assert reward == pytest.approx(sum(got.values()))
        for name, value in terms.items():
            assert got[name] == pytest.approx(WEIGHTS[name] * value, rel=1e-9, abs=1e-12), name
        last = action


def test_flights_count_when_they_end():
    air_time = np.array([[0.25, 0.3, 0.04, 0.0]])
    landed = np.array([[True, False, True, False]])
    step = goals.Step(
        np.zeros((1, 3)), np.zeros((1, 3)), 0.02, {"air_time": air_time, "landed": landed}
    )
    np.testing.assert_allclose(TERMS["flight"].value(step, {}), [0.15 - 0.06])


def test_only_ranges_are_parameters_of_tasks(tmp_path: Path):
    goal = goals.velocity_command((0.0, 1.0), turn=(-1.0, 1.0), extrapolate=(1.0, 2.0))
    family = dog(tmp_path, goal)
    assert family.parameters == ("forward", "turn")
    outside = family.sample_tasks(20, seed=0, split="extrapolate")
    assert outside["forward"].min() >= 1.0
    assert np.abs(outside["turn"]).max() <= 1.0
    assert dog(tmp_path, goals.velocity_command(0.5)).parameters == ()


def test_weights_choose_the_terms(tmp_path: Path):
    goal = goals.velocity_command(0.5, weights={"velocity": 3.0, "torque": -1.0})
    assert [(term.name, term.weight) for term in goal.terms] == [
        ("velocity", 3.0),
        ("torque", -1.0),
    ]
    assert goal.sees == ("torque",)
    assert dog(tmp_path, goal).model.nsensor == 0
    with pytest.raises(ValueError, match="no term 'velocitty'; there are velocity"):
        goals.velocity_command(0.5, weights={"velocitty": 1.0})


def test_a_speed_is_marked_by_a_line_and_other_commands_by_an_arrow():
    straight, any_way = goals.velocity_command((0.0, 1.0)), goals.velocity_command(**RANGES)
    assert straight.marker is not None
    assert any_way.marker is not None
    assert straight.marker({"forward": 0.5}, 2.0) == goals.Marker("line", 1.0)
    turned = any_way.marker({"forward": 1.0, "sideways": 0.0, "turn": np.pi / 2}, 1.0)
    assert turned.kind == "arrow"
    np.testing.assert_allclose([turned.x, turned.y], [0.0, 1.0], atol=1e-12)


def test_a_range_may_be_a_list_and_outside_needs_an_inside():
    listed: Any = [0.1, 0.5]
    expected = goals.velocity_command((0.1, 0.5)).distributions
    assert goals.velocity_command(listed).distributions == expected
    with pytest.raises(ValueError, match=r"extrapolate requires a range of forward, got 0\.5"):
        goals.velocity_command(0.5, extrapolate=(1.0, 2.0))
    with pytest.raises(ValueError, match="forward must be a number or a range"):
        goals.velocity_command((0.1, 0.2, 0.3))  # type: ignore[arg-type]
