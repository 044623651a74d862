"""A robot of an MJCF file of one's own: what is read off the model, and what it observes."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

import metarl
from metarl.envs import ServoRobot, Servos, TaskFamily, dynamics, goals
from tests.envs.legged import ARM, QUADRUPED, written
from tests.envs.rig import no_tasks

HOME = Servos("home")


def test_the_parts_of_a_quadruped_are_found(tmp_path: Path):
    robot = ServoRobot(written(tmp_path), servos=HOME)
    assert (robot.name, robot.base, robot.walks) == ("dog", "trunk", True)
    assert robot.feet == ("FL_shin", "FR_shin", "RL_shin", "RR_shin")
    assert [leg.actuators for leg in robot.legs] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    # the floor and the trunk are geoms 0 and 1, then come three of each leg
    assert robot.legs[1].geoms == ("geom5", "geom6", "geom7")
    assert robot.tracks == ("x", "y", "z", "yaw")


def test_legs_behind_a_waist_are_legs(tmp_path: Path):
    """The trunk has one child, a waist with a motor of its own, from which all legs hang."""
    waist = '<body name="waist"><joint name="w" axis="0 0 1"/><geom size="0.03" mass="1"/>'
    body = QUADRUPED.replace('mass="4"/>', f'mass="4"/>{waist}').replace(
        "</body>\n</worldbody>", "</body></body>\n</worldbody>"
    )
    body = body.replace("</actuator>", '<motor joint="w" ctrlrange="-1 1"/></actuator>')
    body = body.split("<keyframe>")[0] + "</mujoco>"
    robot = ServoRobot(written(tmp_path, body))
    assert [leg.name for leg in robot.legs] == ["FL_hip", "FR_hip", "RL_hip", "RR_hip"]
    assert robot.legs[3].actuators == (6, 7)


def test_the_parts_of_an_arm_are_found(tmp_path: Path):
    path = written(tmp_path, ARM)
    robot = ServoRobot(path)
    assert (robot.name, robot.base, robot.walks, robot.legs) == ("reacher", "upper", False, ())
    model = robot.load()
    data = mujoco.MjData(model)
    data.qpos[:] = [0.3, -0.8]
    mujoco.mj_forward(model, data)
    for tip, place in ((None, data.body("hand").xpos), ("grasp", data.site("grasp").xpos)):
        robot = ServoRobot(path, tip=tip)
        fields = {name: getattr(data, name)[None] for name in robot.fields}
        np.testing.assert_array_equal(robot.position(fields)[0], place)
        np.testing.assert_array_equal(robot.observe(fields)[0, :5], [*place, 0.3, -0.8])


def test_what_a_quadruped_observes(tmp_path: Path):
    robot = ServoRobot(written(tmp_path), servos=HOME)
    family = TaskFamily("dog", robot, goals.velocity_command(0.5), "", action_scale=1.0)
    simulator = family.simulate(1)
    simulator.set_tasks(no_tasks(1))
    simulator.reset([np.random.default_rng(0)])
    action = np.linspace(-0.5, 0.5, 8)
    seen = simulator.step(action[None]).observation[0]
    data = mujoco.MjData(family.model)
    data.qpos[:], data.qvel[:] = simulator.fields["qpos"][0], simulator.fields["qvel"][0]
    mujoco.mj_forward(family.model, data)
    matrix = data.body("trunk").xmat.reshape(3, 3)
    np.testing.assert_allclose(seen[:3], matrix.T @ data.qvel[:3], atol=1e-12)
    np.testing.assert_allclose(seen[3:6], data.qvel[3:6])
    np.testing.assert_allclose(seen[6:9], matrix[2])
    np.testing.assert_allclose(seen[9:17], data.qpos[7:] - [0.3, -0.6] * 4, atol=1e-12)
    np.testing.assert_allclose(seen[17:25], 0.1 * data.qvel[6:])
    np.testing.assert_allclose(seen[25:], 0.5 * action, atol=1e-12)


@pytest.mark.parametrize(
    ("height", "tilt", "upright"),
    [(0.32, 0.0, True), (0.17, 0.0, True), (0.15, 0.0, False), (0.3, 1.0, True), (0.3, 1.1, False)],
)
def test_a_robot_has_fallen_when_it_is_low_or_tilted(
    tmp_path: Path, height: float, tilt: float, upright: bool
):
    robot = ServoRobot(written(tmp_path), servos=HOME)
    qpos = robot.home_qpos
    qpos[2:7] = [height, np.cos(tilt / 2), np.sin(tilt / 2), 0.0, 0.0]
    assert robot.healthy({"qpos": qpos[None], "qvel": np.zeros((1, 14))}).item() == upright


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('pos="0 0 0.4">', 'pos="0 0 0.4" quat="1 0 1 0">'),
        ('pos="0 0 0.4">', 'pos="0 0 -0.6">'),
    ],
    ids=["a base on its side", "a floor below"],
)
def test_a_robot_that_has_fallen_from_the_first_is_refused(tmp_path: Path, before: str, after: str):
    text = QUADRUPED.split("<keyframe>")[0].replace(before, after) + "</mujoco>"
    robot = ServoRobot(written(tmp_path, text))
    goal = goals.velocity_command(0.5)
    with pytest.raises(ValueError, match=r"dog has fallen where it starts.* z axis .* at z = 0"):
        TaskFamily("dog", robot, goal, "")
    assert TaskFamily("dog", robot, goal, "", falls=False).dt == 0.02


TABLE = '<body name="table" pos="1 0 0"><joint name="turn" axis="0 0 1"/><geom size=".1"/></body>'
MUSCLE = '<muscle tendon="t" ctrlrange="0 1" lengthrange="-2 2"/>'


@pytest.mark.parametrize("driven", ["joints", "tendons"])
@pytest.mark.parametrize("with_table", [False, True])
def test_the_tip_is_the_end_of_the_robot_itself(tmp_path: Path, driven: str, with_table: bool):
    """Not of a table that turns, and also where no actuator is on a joint."""
    text, turn = ARM, '<motor joint="turn" ctrlrange="-1 1"/>'
    if driven == "tendons":
        tendon = '<tendon><fixed name="t"><joint joint="elbow" coef="1"/></fixed></tendon>'
        text, turn = (
            f"{ARM.split('<actuator>')[0]}{tendon}<actuator>{MUSCLE}</actuator></mujoco>",
            "",
        )
    if with_table:
        text = text.replace("</worldbody>", f"{TABLE}</worldbody>")
        text = text.replace("</actuator>", f"{turn}</actuator>")
    robot = ServoRobot(written(tmp_path, text))
    assert (robot.base, robot.load().body(robot.tip[1]).name) == ("upper", "hand")


def test_starts_disturb_the_joints_alone(tmp_path: Path):
    robot = ServoRobot(written(tmp_path), servos=HOME)
    starts = [robot.start(robot.load(), np.random.default_rng(seed)) for seed in range(50)]
    off = np.stack([qpos for qpos, _ in starts]) - robot.home_qpos
    assert not off[:, :7].any()
    assert 0.04 < np.abs(off[:, 7:]).max() <= 0.05
    assert not any(qvel.any() for _, qvel in starts)


def test_a_body_of_another_name_is_refused(tmp_path: Path):
    path = written(tmp_path)
    with pytest.raises(ValueError, match="no body 'trunc'; did you mean trunk"):
        ServoRobot(path, servos=HOME, base="trunc")
    with pytest.raises(ValueError, match="no body 'shin'"):
        ServoRobot(path, servos=HOME, feet=("shin",))
    with pytest.raises(FileNotFoundError, match="no MJCF file at"):
        ServoRobot(tmp_path / "none.xml")


def test_a_limp_leg_of_unnamed_geoms(tmp_path: Path):
    robot = ServoRobot(written(tmp_path), servos=HOME)
    for size in (1.0, 0.5):
        lame = dynamics.crippled_leg(robot, (-1, 0), extrapolate=(3,), size=size)
        family = TaskFamily("dog", robot, goals.velocity_command(0.5), "", (lame,))
        simulator = family.simulate(1)
        simulator.set_tasks(family.task({"crippled_leg": 3.0}))
        model = simulator.model(0)
        assert not model.actuator_forcerange[6:].any()
        assert model.actuator_forcelimited[6:].all()
        np.testing.assert_array_equal(model.geom_size[11:], size * family.model.geom_size[11:])
        np.testing.assert_array_equal(model.geom_size[:11], family.model.geom_size[:11])


def test_it_trains_and_loads_again(tmp_path: Path):
    robot = ServoRobot(written(tmp_path), servos=HOME)
    family = TaskFamily("dog", robot, goals.velocity_command((0.0, 1.0)), "", horizon=10)
    learner = metarl.MAML(family, tasks=2, rollouts=2, seed=0).learn(40)
    learner.save(tmp_path / "dog.safetensors")
    again = metarl.load(tmp_path / "dog.safetensors", family=family)
    assert again.num_timesteps == learner.num_timesteps
