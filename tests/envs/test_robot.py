"""What robots share: starts, yaw, settings, and what a robot without forces answers."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl import envs
from metarl.envs.robot import Array, always, uniform_start, yaw
from metarl.envs.robots import Ant, HalfCheetah, Hopper, Humanoid, Point
from tests.envs import rig
from tests.envs.rig import Rig


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


UNLIMITED = """<motor name="first" joint="j" ctrlrange="-2 1"/><motor{} joint="j" gear="5"/>
<pid name="last" joint="j" ctrlrange="-1 1" velrange="-3 3"/>"""


@pytest.mark.parametrize(
    ("name", "said"), [(' name="knee"', "actuator 'knee'"), ("", r"actuator 1 \(of joint 'j'\)")]
)
def test_an_actuator_without_a_control_range_is_refused(name: str, said: str, tmp_path: Path):
    """MuJoCo takes it for unlimited; scaled to a range of 0 to 0, every action would be 0."""
    message = rf'Rig: {said} has no control range .* write ctrlrange="-1 1".* control_range'
    with pytest.raises(ValueError, match=message):
        rig.family(Rig(rig.mjcf(tmp_path, UNLIMITED.format(name))))


def test_a_robot_may_have_a_control_range_of_its_own(tmp_path: Path):
    class Own(Rig):
        def control_range(self, model: mujoco.MjModel) -> tuple[Array, Array]:
            return np.full(model.nu, -3.0), np.full(model.nu, 5.0)

    family = rig.family(Own(rig.mjcf(tmp_path, UNLIMITED.format(""))))
    assert family.action_size == 4  # a pid with two setpoints has two controls
    simulator = family.simulate(1)
    simulator.set_tasks(rig.no_tasks(1))
    simulator.reset([np.random.default_rng(0)])
    simulator.step(np.array([[-1.0, 0.0, 0.5, 2.0]]))
    assert simulator.fields["ctrl"].tolist() == [[-3.0, 1.0, 3.0, 5.0]]


def test_always_is_true_for_each_simulation():
    assert always({"qpos": np.zeros((3, 2))}).tolist() == [True] * 3


SCENE = """<body name="floor0"><geom type="box" size="1 1 0.1"/><body name="rail">
<geom size="0.1"/><body name="cart"><joint type="slide" axis="1 0 0"/><geom size="0.1"/>
<body name="pole"><joint name="j"/><geom size="0.1" pos="0.5 0 0"/></body></body></body></body>"""
BALL = '<body name="ball" pos="3 0 0"><freejoint/><geom size="0.1"/></body>'


def test_films_follow_the_body_that_carries_what_is_driven(tmp_path: Path):
    """Not the first body, which may be a floor or a ball; all of ours are driven at the first."""
    motor = '<motor joint="j" ctrlrange="-1 1"/>'
    tendon = '<motor tendon="t" ctrlrange="-1 1"/>'
    before = '<tendon><fixed name="t"><joint joint="j" coef="1"/></fixed></tendon>'
    for scene, actuators, expected in (
        (SCENE, motor, "cart"),
        (BALL + SCENE, motor, "cart"),
        (SCENE, tendon, "cart"),
        (SCENE, "", "cart"),
        (BALL, "", "ball"),
    ):
        robot = Rig(rig.mjcf(tmp_path, actuators, scene, before if actuators == tendon else ""))
        model = robot.load()
        assert model.body(robot.root_body(model)).name == expected
        robot.root = "floor0" if scene != BALL else "world"
        assert model.body(robot.root_body(model)).name == robot.root
    for name in envs.families():
        family = envs.make(name)
        if family.robot.lookat is None:
            assert family.robot.root_body(family.model) == 1


def test_a_robot_may_name_its_own_camera(tmp_path: Path):
    class Filmed(Rig):
        camera_name = "side"

    camera = '<camera name="side" pos="0 -3 1"/>'
    family = rig.family(Filmed(rig.mjcf(tmp_path, "", rig.ARM + camera)))
    assert family.robot.camera_name == "side"
    assert HalfCheetah().camera_name is None
