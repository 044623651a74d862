"""An arm that pushes a puck: stepped as MuJoCo itself steps it, and seen where it is."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import ServoRobot, Servos, TaskFamily, goals
from metarl.envs.robots.arm_with_puck import HALF_HEIGHT, RADIUS, ArmWithPuck
from tests.envs.legged import ARM, written

PLACE, TABLE = (0.5, 0.0), 0.26


def pushing(folder: Path) -> TaskFamily:
    arm = ServoRobot(written(folder, ARM), tip="grasp", servos=Servos(gains=(80.0, 5.0)))
    robot = ArmWithPuck(arm, place=PLACE, table=TABLE)
    goal = goals.push_to(
        (0.5, -0.1), (0.7, 0.1), height=TABLE + HALF_HEIGHT, near_weight=0.3, success_within=0.1
    )
    return TaskFamily("Push", robot, goal, "invented", horizon=20, action_scale=1.0)


def test_steps_as_mujoco_does(tmp_path: Path):
    family = pushing(tmp_path)
    simulator = family.simulate(2, threads=1)
    simulator.set_tasks(family.sample_tasks(2, seed=0))
    observation = simulator.reset([np.random.default_rng(sim) for sim in range(2)])
    starts = simulator.fields["qpos"].copy()
    assert np.abs(starts[:, -2:]).max() <= 0.02
    np.testing.assert_allclose(observation[:, -4:-2], np.array(PLACE) + starts[:, -2:])
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 2, family.action_size))
    for action in actions:
        observation = simulator.step(action).observation
    for sim in range(2):
        data = mujoco.MjData(family.model)
        data.qpos[:] = starts[sim]
        mujoco.mj_forward(family.model, data)
        for action in actions[:, sim]:
            stride = family.robot.control_range(family.model)[1]
            data.ctrl[:] = family.robot.rest(family.model)["ctrl"] + stride * action
            mujoco.mj_step(family.model, data, nstep=family.robot.frame_skip)
        np.testing.assert_array_equal(simulator.fields["qpos"][sim], data.qpos)
        np.testing.assert_allclose(observation[sim, -4:-2], data.body("puck").xpos[:2], atol=1e-3)
        np.testing.assert_allclose(observation[sim, -2:], 0.1 * data.qvel[-2:])


def test_an_arm_that_is_led_through_the_puck_pushes_it(tmp_path: Path):
    """The puck begins where the hand is, and cannot stay there."""
    family = pushing(tmp_path)
    simulator = family.simulate(1, threads=1)
    simulator.set_tasks(family.sample_tasks(1, seed=0))
    simulator.reset([np.random.default_rng(0)])
    hand = np.zeros(family.model.nq)
    hand[-2:] = 0.13, 0.01
    simulator.set_state(hand[None], np.zeros((1, family.model.nv)))
    before = simulator.fields["qpos"][0, -2:].copy()
    for _ in range(10):
        simulator.step(np.zeros((1, family.action_size)))
    assert np.linalg.norm(simulator.fields["qpos"][0, -2:] - before) > 0.3 * RADIUS


def test_the_reward_and_success_are_of_the_pucks_place(tmp_path: Path):
    family = pushing(tmp_path)
    task = {"x": 0.55, "y": 0.05}
    simulator = family.simulate(1, threads=1)
    simulator.set_tasks(family.task(task))
    simulator.reset([np.random.default_rng(0)])
    result = simulator.step(np.zeros((1, family.action_size)))
    tip, puck = np.split(family.robot.position(simulator.fields)[0], 2)
    missing = np.linalg.norm(puck - [0.55, 0.05, TABLE + HALF_HEIGHT])
    expected = -missing - 0.3 * np.linalg.norm(puck - tip)
    assert result.reward[0] == pytest.approx(expected)
    assert family.tells_success
    assert result.succeeded[0] == (missing < 0.1)
