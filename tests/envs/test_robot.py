"""What robots share: starts, yaw, settings, and what a robot without forces answers."""

import mujoco
import numpy as np
import pytest

from metarl.envs.robot import always, uniform_start, yaw
from metarl.envs.robots import Ant, HalfCheetah, Hopper, Humanoid, Point


def test_yaw_is_the_rotation_of_the_x_axis_seen_from_above():
    """Against MuJoCo's rotation matrix."""
    quaternions = np.random.default_rng(0).standard_normal((50, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    matrix = np.zeros(9)
    expected = []
    for quaternion in quaternions:
        mujoco.mju_quat2Mat(matrix, quaternion)
        expected.append(np.arctan2(matrix[3], matrix[0]))
    np.testing.assert_allclose(yaw(quaternions), expected, atol=1e-12)


def test_a_uniform_start_draws_positions_then_velocities():
    model = Hopper().load()
    qpos, qvel = uniform_start(model, np.random.default_rng(4), 0.5, 0.25)
    twin = np.random.default_rng(4)
    np.testing.assert_array_equal(qpos, model.qpos0 + twin.uniform(-0.5, 0.5, model.nq))
    np.testing.assert_array_equal(qvel, twin.uniform(-0.25, 0.25, model.nv))


def test_settings_are_the_plain_values_a_robot_was_made_with():
    assert Ant(lowest=0.1).settings == {"lowest": 0.1}
    assert Point(stride=0.2).settings == {"stride": 0.2, "spread": 0.0}
    assert HalfCheetah().settings == {}


def test_without_contact_forces_there_are_none():
    with pytest.raises(NotImplementedError, match="HalfCheetah has no contact forces"):
        HalfCheetah().contact_forces({})
    assert "cfrc_ext" not in Humanoid(contact_forces=False).fields


def test_the_control_range_is_the_actuators():
    low, high = HalfCheetah().control_range(HalfCheetah().load())
    assert (low.tolist(), high.tolist()) == ([-1.0] * 6, [1.0] * 6)


def test_always_is_true_for_each_simulation():
    assert always({"qpos": np.zeros((3, 2))}).tolist() == [True] * 3
