"""Every family and preset against the reward formula of its source, from scattered states."""

import mujoco
import numpy as np
import pytest

from metarl import envs
from metarl.envs import Simulator
from tests.envs.published import TABLE, UPRIGHT, Array, Row, State, Step, goal

SIMS, STEPS = 36, 3


def scattered(simulator: Simulator, tasks: list[dict[str, float]]) -> tuple[Array, Array]:
    """States in which robots stand, lie and jump, rise and fall, or are near their goal."""
    robot, rng = simulator.family.robot.name, np.random.default_rng(2)
    qpos, qvel = (simulator.fields[name].copy() for name in ("qpos", "qvel"))
    if robot == "Point":
        for sim, task in enumerate(tasks):
            part, width = ((0.125, 0.3), (1.0, 0.3), (1.0, 0.012))[sim % 3]
            qpos[sim] = part * goal(task) + rng.uniform(-width, width, 2)
    elif not robot.startswith("Fetch"):
        own = {"Reacher": 2, "Pusher": 9}.get(robot)  # behind it come the target's joints
        qpos[1:, :own] += rng.uniform(-1.2, 1.2, qpos[1:, :own].shape)
        qvel[1:, :own] += rng.standard_normal(qvel[1:, :own].shape)
    if robot in ("Ant", "Humanoid"):
        qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
        qvel[::2, 2] -= rng.uniform(0.0, 100.0, len(qvel[::2]))
    if robot == "Hopper":
        qvel[0, 0] = 150.0  # upright, but too fast
    return qpos, qvel


def read(robot: str, model: mujoco.MjModel, data: mujoco.MjData) -> State:
    place = data.qpos[:2]
    if robot == "Ant":
        place = data.body("torso").xpos[:2]
    elif robot == "Humanoid":
        place = model.body_mass @ data.xipos[:, :2] / model.body_mass.sum()
    elif robot.startswith("Fetch"):
        place = data.site("robot0:grip" if robot == "FetchReach" else "object0").xpos
    tip = data.site("robot0:grip").xpos if robot.startswith("Fetch") else place
    return State(*(a.copy() for a in (place, tip, data.qpos, data.qvel, data.xpos, data.cfrc_ext)))


def advance(
    robot: str, row: Row, model: mujoco.MjModel, data: mujoco.MjData, control: Array
) -> None:
    if robot == "Point":
        data.qpos += row.stride * control
    elif robot.startswith("Fetch"):
        hand = data.body("robot0:gripper_link")
        fingers = [data.joint(f"robot0:{side}_gripper_finger_joint").qpos for side in "lr"]
        data.mocap_pos[0] = hand.xpos + 0.05 * control[:3]
        data.mocap_quat[0] = hand.xquat + np.array([1.0, 0.0, 1.0, 0.0])
        if robot == "FetchPickAndPlace":
            data.ctrl[:] = np.concatenate(fingers) + control[3]
            mujoco.mj_step(model, data, nstep=20)
        else:
            mujoco.mj_step(model, data, nstep=20)
            fingers[0][:] = fingers[1][:] = 0.0
            mujoco.mj_forward(model, data)
    else:
        data.ctrl[:] = control
        mujoco.mj_step(model, data, nstep=physics_steps(robot))
        mujoco.mj_rnePostConstraint(model, data)


def physics_steps(robot: str) -> int:
    steps = {"Point": 1, "Reacher": 2, "Hopper": 4, "Walker2d": 4, "Swimmer": 4}
    return 20 if robot.startswith("Fetch") else steps.get(robot, 5)


def expected(robot: str, row: Row, step: Step) -> tuple[float, bool]:
    control, forces = step.control, step.after.cfrc_ext
    if robot == "Ant":
        forces = np.clip(forces, -1.0, 1.0)
    upright = UPRIGHT[row.upright](step.after)
    contact_cost = min(row.contact_cost * np.square(forces).sum(), row.contact_cost_limit)
    reward = row.reward(step) - row.control_cost * np.square(control).sum() - contact_cost
    close = row.done_within and (np.abs(step.after.place - goal(step.task)) < row.done_within).all()
    return reward + row.survive_bonus * upright, bool(close) or not upright


@pytest.mark.parametrize(("name", "preset"), TABLE)
def test_rewards_and_ends_follow_the_formula(name: str, preset: str):
    """From scattered states, against MuJoCo itself: the first steps and some that follow them."""
    family, row = envs.make(name, preset=preset), TABLE[name, preset]
    robot, rng = family.robot.name, np.random.default_rng(0)
    simulator = Simulator(family, SIMS)
    tasks = list(family.sample_tasks(SIMS, seed=0))
    simulator.set_tasks(envs.Tasks.from_dicts(tasks))
    simulator.reset([np.random.default_rng([1, sim]) for sim in range(SIMS)])
    qpos, qvel = scattered(simulator, tasks)
    simulator.set_state(qpos, qvel)

    models = [simulator.model(sim) for sim in range(SIMS)]
    twins = [mujoco.MjData(model) for model in models]
    for model, data, *state in zip(models, twins, qpos, qvel, strict=True):
        data.qpos[:], data.qvel[:] = state
        mujoco.mj_forward(model, data)
    low, high = -np.ones(4), np.ones(4)
    if robot in ("FetchPush", "FetchSlide"):  # goals lie on the table, as objects do
        for task, data in zip(tasks, twins, strict=True):
            task["z"] = data.site("object0").xpos[2]
    if not robot.startswith("Fetch"):
        low, high = family.model.actuator_ctrlrange.T
    got, wanted = [], []
    for _ in range(STEPS):
        strength = rng.choice([0.05, 1.5], (SIMS, 1)) / family.action_scale
        action = strength * rng.uniform(-1.0, 1.0, (SIMS, len(low)))
        _, reward, terminated, *_ = simulator.step(action)
        got += zip(reward, terminated, strict=True)
        scaled = np.clip(family.action_scale * action, -1.0, 1.0)
        controls = low + (high - low) * (scaled + 1.0) / 2.0
        for model, data, control, task in zip(models, twins, controls, tasks, strict=True):
            before = read(robot, model, data)
            advance(robot, row, model, data, control)
            seconds = model.opt.timestep * physics_steps(robot)
            step = Step(model, before, read(robot, model, data), seconds, control, task)
            wanted.append(expected(robot, row, step))
    assert not any(data.warning.number.any() for data in twins)
    np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-7)
    may_end = row.upright != "always" or row.done_within
    assert {end for _, end in wanted} == ({False, True} if may_end else {False})
