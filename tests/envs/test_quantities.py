"""Quantities that rewards may see, against MuJoCo on a twin that is stepped alone."""

import copy
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import ServoRobot, Servos, TaskFamily, goals
from metarl.envs.goal import Goal, Step
from metarl.envs.quantities import QUANTITIES, to_body
from metarl.envs.simulator import Simulator
from tests.envs.legged import ARM, written
from tests.envs.rig import Rig, family, mjcf, no_tasks

SIMS, STEPS = 3, 60


class Recorder:
    """A goal's reward that keeps what it sees."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step, _: object) -> np.ndarray:
        self.steps.append(step)
        return np.zeros(len(step.after))


@pytest.fixture
def jumping(tmp_path: Path) -> tuple[Simulator, Recorder]:
    """Dogs that are dropped, tilted and kicking."""
    recorder = Recorder()
    robot = ServoRobot(written(tmp_path), servos=Servos("home"))
    goal = Goal("be seen", (), recorder, tracks=("x",), sees=tuple(QUANTITIES))
    simulator = TaskFamily("dog", robot, goal, "", falls=False, action_scale=1.0).simulate(SIMS)
    simulator.set_tasks(no_tasks(SIMS))
    start = np.tile(robot.home_qpos, (SIMS, 1))
    start[:, 2] += [0.0, 0.1, 0.3]
    start[1, 3:7] = [0.9, 0.3, 0.1, 0.3]
    start[:, 3:7] /= np.linalg.norm(start[:, 3:7], axis=1, keepdims=True)
    simulator.set_state(start, np.random.default_rng(1).standard_normal((SIMS, 14)))
    return simulator, recorder


def test_every_quantity_is_what_mujoco_says(jumping: tuple[Simulator, Recorder]):
    simulator, recorder = jumping
    model, rng = simulator.family.model, np.random.default_rng(0)
    home = model.key_ctrl[1]
    twins = [mujoco.MjData(model) for _ in range(SIMS)]
    for sim, data in enumerate(twins):
        data.qpos[:], data.qvel[:] = (simulator.fields[f][sim] for f in ("qpos", "qvel"))
        data.ctrl[:] = home
        mujoco.mj_forward(model, data)
    last = np.zeros((SIMS, 8))
    aloft, landings = np.zeros((SIMS, 4)), 0
    for _ in range(STEPS):
        action = rng.uniform(-1.5, 1.5, (SIMS, 8))
        simulator.step(action)
        seen, asked = recorder.steps[-1].seen, np.clip(action, -1.0, 1.0)
        np.testing.assert_allclose(seen["action"], asked, atol=1e-15)
        np.testing.assert_allclose(seen["last_action"], last, atol=1e-15)
        last = asked
        for sim, data in enumerate(twins):
            data.ctrl[:] = home + 0.5 * asked[sim]
            mujoco.mj_step(model, data, nstep=4)
            check_motion(seen, sim, model, data)
            feet = [model.body(foot).id for foot in simulator.family.robot.feet]
            for foot, touching in enumerate(touches(model, data, feet)):
                landed = touching and aloft[sim, foot] > 0.0
                flown = aloft[sim, foot] + (0.0 if touching else 0.02)
                assert seen["contact"][sim, foot] == touching
                assert seen["landed"][sim, foot] == landed
                expected = flown if landed or not touching else 0.0
                assert seen["air_time"][sim, foot] == pytest.approx(expected)
                aloft[sim, foot] = 0.0 if touching else flown
                landings += landed
    assert landings > 5


def touches(model: mujoco.MjModel, data: mujoco.MjData, feet: list[int]) -> list[bool]:
    """Whether each foot has a contact, as of the last step."""
    bodies = model.geom_bodyid[data.contact.geom]
    return [bool((bodies == foot).any()) for foot in feet]


def check_motion(seen, sim: int, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    np.testing.assert_allclose(seen["torque"][sim], data.actuator_force, rtol=1e-12)
    np.testing.assert_allclose(seen["joint_velocity"][sim], data.qvel[6:], rtol=1e-12)
    assert seen["height"][sim] == data.body("trunk").xpos[2]
    now = copy.copy(data)  # of the state after the step, not of one physics step before
    mujoco.mj_forward(model, now)
    velocity = np.zeros(6)
    trunk = mujoco.mjtObj.mjOBJ_XBODY
    mujoco.mj_objectVelocity(model, now, trunk, model.body("trunk").id, velocity, 1)
    np.testing.assert_allclose(seen["base_rotation"][sim], velocity[:3], atol=1e-9)
    np.testing.assert_allclose(seen["base_velocity"][sim], velocity[3:], atol=1e-9)
    np.testing.assert_allclose(seen["up"][sim], now.body("trunk").xmat[6:], atol=1e-9)


def test_a_start_forgets_and_a_copy_remembers(jumping: tuple[Simulator, Recorder]):
    simulator, recorder = jumping
    rng = np.random.default_rng(0)
    for _ in range(5):
        simulator.step(rng.uniform(-1.0, 1.0, (SIMS, 8)))
    twin = copy.deepcopy(simulator)
    for _ in range(10):
        action = rng.uniform(-1.0, 1.0, (SIMS, 8))
        simulator.step(action)
        twin.step(action)
        one, other = recorder.steps[-2:]
        for name in QUANTITIES:
            np.testing.assert_array_equal(one.seen[name], other.seen[name])
    assert recorder.steps[-1].seen["air_time"].any()
    simulator.reset([np.random.default_rng(3)], [1])
    simulator.step(np.zeros((SIMS, 8)))
    assert (recorder.steps[-1].seen["last_action"] != 0.0).any(axis=1).tolist() == [1, 0, 1]
    assert (recorder.steps[-1].seen["air_time"][1] <= 0.02).all()


def test_robots_that_are_not_stepped_remember_what_was(jumping: tuple[Simulator, Recorder]):
    simulator, recorder = jumping
    simulator.step(np.full((SIMS, 8), 0.5))
    simulator.step(np.full((SIMS, 8), 1.0), np.array([True, False, True]))
    simulator.step(np.zeros((SIMS, 8)))
    np.testing.assert_allclose(recorder.steps[-1].seen["last_action"][:, 0], [1.0, 0.5, 1.0])


def test_any_robot_has_torques_and_actions(tmp_path: Path):
    recorder = Recorder()
    path = mjcf(tmp_path, '<motor joint="j" gear="3" ctrlrange="-2 4"/>')
    goal = Goal("be seen", (), recorder, sees=("torque", "action", "joint_velocity"))
    simulator = family(Rig(path), goal=goal).simulate(1)
    simulator.set_tasks(no_tasks(1))
    simulator.step(np.array([[0.5]]))
    seen = recorder.steps[-1].seen
    assert set(seen) == {"torque", "action", "joint_velocity"}
    assert seen["torque"].item() == 7.5  # a control in the middle of the upper half, times 3
    assert seen["action"].item() == 0.5


@pytest.mark.parametrize("gear", [1.0, 50.0, -3.0])
def test_torques_are_those_at_the_joints(tmp_path: Path, gear: float):
    """Of motors and of servos, against MuJoCo's forces of actuators in its joints."""
    recorder = Recorder()
    text = ARM.replace("<motor ", f'<motor gear="{gear}" ')
    text = text.replace("<motor gear", '<position kp="9" kv="1" gear', 1)
    goal = Goal("be seen", (), recorder, sees=("torque",))
    robot = ServoRobot(written(tmp_path, text))
    simulator = TaskFamily("arm", robot, goal, "").simulate(1)
    simulator.set_tasks(no_tasks(1))
    simulator.reset([np.random.default_rng(0)])
    data = mujoco.MjData(robot.load())
    data.qpos[:], data.qvel[:] = (simulator.fields[name][0] for name in ("qpos", "qvel"))
    simulator.step(np.array([[0.5, -0.7]]))
    data.ctrl[:] = simulator.fields["ctrl"][0]
    mujoco.mj_step(robot.load(), data, robot.frame_skip)
    np.testing.assert_allclose(recorder.steps[-1].seen["torque"][0], data.qfrc_actuator)


def test_nothing_is_computed_for_goals_that_do_not_ask(tmp_path: Path):
    recorder = Recorder()
    robot = ServoRobot(written(tmp_path), servos=Servos("home"))
    tasks = TaskFamily("dog", robot, Goal("see nothing", (), recorder), "")
    simulator = tasks.simulate(1)
    simulator.set_tasks(no_tasks(1))
    simulator.reset([np.random.default_rng(0)])
    simulator.step(np.zeros((1, 8)))
    assert recorder.steps[-1].seen == {}
    assert tasks.model.nsensor == 0


def test_vectors_turn_into_the_bodys_frame():
    rng = np.random.default_rng(0)
    quaternions = rng.standard_normal((5, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    vectors, matrix = rng.standard_normal((5, 3)), np.zeros(9)
    for quaternion, vector, got in zip(
        quaternions, vectors, to_body(quaternions, vectors), strict=True
    ):
        mujoco.mju_quat2Mat(matrix, quaternion)
        np.testing.assert_allclose(got, matrix.reshape(3, 3).T @ vector, rtol=1e-12)


@pytest.mark.parametrize(
    ("sees", "message"),
    [
        ("torqe", "no quantity 'torqe'; did you mean torque"),
        ("contact", "Rig names no feet"),
        ("base_velocity", "Rig's base 'arm' has no free joint"),
    ],
)
def test_what_a_robot_does_not_have_is_refused(tmp_path: Path, sees: str, message: str):
    path = mjcf(tmp_path, '<motor joint="j" ctrlrange="-1 1"/>')
    goal = Goal("be seen", (), Recorder(), sees=(sees,))
    with pytest.raises(ValueError, match=message):
        family(Rig(path), goal=goal)


def test_an_arm_follows_no_command_of_velocity(tmp_path: Path):
    with pytest.raises(ValueError, match="needs the tracks x, y, yaw"):
        TaskFamily("arm", ServoRobot(written(tmp_path, ARM)), goals.velocity_command(), "")
