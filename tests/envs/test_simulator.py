"""The batched simulator against Gymnasium's own environments and against itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from metarl import envs
from metarl.envs import ServoRobot, Servos, Simulator, TaskFamily, Tasks, dynamics, goals
from metarl.envs.bodies import Bodies
from metarl.envs.distributions import Uniform
from metarl.envs.goals import Goal, Parameters, Term
from metarl.envs.robots import Ant, HalfCheetah
from tests.envs.legged import written
from tests.envs.rig import no_tasks


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, index]) for index in range(count)]


def run(family: TaskFamily, count: int, threads: int, steps: int = 40) -> list[np.ndarray]:
    """Observations, rewards and terminations of the first four of `count` simulations."""
    simulator = Simulator(family, count, threads=threads)
    simulator.set_tasks(family.sample_tasks(64, seed=1)[np.arange(count)])
    trace: list[np.ndarray] = [simulator.reset(generators(count))[:4]]
    noise = [np.random.default_rng([9, index]) for index in range(count)]
    for _ in range(steps):
        action = np.stack([g.standard_normal(family.action_size) for g in noise])
        trace += [array[:4].copy() for array in simulator.step(action)]
    return trace


@pytest.mark.parametrize("name", envs.families())
def test_threads_and_batch_size_change_no_bit(name: str):
    family = envs.make(name)
    alone, wide, threaded = run(family, 4, 1), run(family, 37, 1), run(family, 37, 3)
    for a, b, c in zip(alone, wide, threaded, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(b, c)


def test_body_parameters_reach_the_physics_and_stay_absolute():
    """A batch of different masses equals one simulation of each edited model."""
    family = envs.make("HalfCheetahMass")
    scales = np.array([0.5, 1.0, 2.0])
    tasks = Tasks(("mass_scale",), scales[:, None])
    simulator = Simulator(family, 3)
    simulator.set_tasks(Tasks(("mass_scale",), scales[::-1, None]))
    simulator.set_tasks(tasks)  # twice: scales must not multiply
    simulator.reset(generators(3))
    start = simulator.fields["qpos"].copy(), simulator.fields["qvel"].copy()
    actions = np.random.default_rng(0).uniform(-1, 1, (50, 3, 6))
    for action in actions:
        simulator.step(action)

    for index, scale in enumerate(scales):
        model = mujoco.MjModel.from_xml_path(str(family.robot.mjcf))
        model.body_mass[:] *= scale
        model.body_inertia[:] *= scale
        data = mujoco.MjData(model)
        mujoco.mj_setConst(model, data)
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = start[0][index], start[1][index]
        mujoco.mj_forward(model, data)
        for action in actions[:, index]:
            data.ctrl[:] = np.clip(family.action_scale * action, -1, 1)
            mujoco.mj_step(model, data, nstep=5)
        np.testing.assert_array_equal(simulator.fields["qpos"][index], data.qpos)


def test_inactive_simulations_keep_still_and_earn_nothing():
    family = envs.make("HalfCheetahVel")
    simulator = Simulator(family, 3)
    simulator.set_tasks(family.sample_tasks(3, seed=0))
    simulator.reset(generators(3))
    before = simulator.fields["qpos"].copy()
    result = simulator.step(np.ones((3, 6)), np.array([True, False, True]))
    moved = (simulator.fields["qpos"] != before).any(axis=1)
    assert moved.tolist() == [True, False, True]
    assert result.reward[1] == 0.0
    assert not result.terminated[1]


def test_who_is_not_stepped_observes_what_was_observed(tmp_path: Path):
    """Of a robot of servos, which observes what they were last asked for, too."""
    robot = ServoRobot(written(tmp_path), servos=Servos("home"))
    family = envs.TaskFamily("dog", robot, goals.velocity_command(0.5), "", action_scale=1.0)
    simulator = family.simulate(3, threads=1)
    simulator.set_tasks(no_tasks(3))
    simulator.reset(generators(3))
    action = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 3, 8))
    before = simulator.step(action[0]).observation
    active = np.array([True, False, True])
    action[1, 1] = np.nan  # nobody asks for it
    after = simulator.step(action[1], active).observation
    np.testing.assert_array_equal(after[1], before[1])
    assert (after[active] != before[active]).any(1).all()


def test_what_a_task_changed_another_does_not_keep():
    """Where no simulation's leg is crippled, its fields are the model's again."""
    family = envs.make("Go1Crippled")
    healthy, lame = (family.task({"crippled_leg": leg}) for leg in (-1.0, 0.0))
    simulator = family.simulate(2, threads=1)
    simulator.set_tasks(lame.repeat(2))
    simulator.set_tasks(healthy.repeat(1), np.array([1]))
    for sim, like in enumerate((lame, healthy)):
        alone = family.simulate(1, threads=1)
        alone.set_tasks(like)
        for name in ("actuator_forcerange", "actuator_forcelimited"):
            field = getattr(simulator.model(sim), name)
            np.testing.assert_array_equal(field, getattr(alone.model(0), name))
    simulator.set_tasks(healthy.repeat(2), now=True)
    theirs = family.model.actuator_forcerange
    np.testing.assert_array_equal(simulator.model(0).actuator_forcerange, theirs)


def test_physics_that_blows_up_ends_that_simulation_only(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    speed = Term("v", 1.0, lambda step, _: step.velocity[:, 0])
    family = envs.make("HalfCheetahDir").replace(goal=Goal.of_terms("run", (), [speed]))
    simulator = Simulator(family, 3)
    simulator.set_tasks(Tasks((), np.ones((3, 0))))
    simulator.reset(generators(3))
    simulator.fields["qvel"][1] = 1e12
    result = simulator.step(np.zeros((3, 6)))
    assert result.terminated.tolist() == [False, True, False]
    assert np.isfinite(result.reward[[0, 2]]).all()
    assert (result.reward[1], [term[1] for term in simulator.terms.values()]) == (0.0, [0.0])
    np.testing.assert_array_equal(simulator.terms["v"] != 0.0, [True, False, True])
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_point_moves_by_a_tenth_of_its_action_and_ends_at_the_goal():
    family = envs.make("Point2D")
    simulator = Simulator(family, 2)
    simulator.set_tasks(Tasks(("x", "y"), np.array([[0.1, 0.0], [0.3, -0.4]])))
    simulator.reset(generators(2))
    observation, reward, terminated, *_ = simulator.step(np.array([[1.0, 0.0], [2.0, -0.5]]))
    np.testing.assert_allclose(observation, [[0.1, 0.0], [0.1, -0.05]], atol=1e-12)
    np.testing.assert_allclose(reward, [0.0, -np.hypot(0.2, 0.35)], atol=1e-12)
    assert terminated.tolist() == [True, False]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros((2, 6)), r"action must be \[3, 6\], got \[2, 6\]"),
        (np.full((3, 6), np.nan), "action of simulation 0 is not finite"),
    ],
)
def test_bad_actions_are_refused(action: np.ndarray, message: str):
    family = envs.make("HalfCheetahDir")
    simulator = Simulator(family, 3)
    simulator.set_tasks(Tasks(("direction",), np.ones((3, 1))))
    simulator.reset(generators(3))
    with pytest.raises(ValueError, match=message):
        simulator.step(action)


def test_a_failed_simulation_earns_nothing_and_a_bad_state_changes_nothing():
    """MuJoCo puts a failed state back to the defaults; that jump is not a run."""
    family = envs.make("HalfCheetahDir")
    simulator = Simulator(family, 2)
    simulator.set_tasks(Tasks(("direction",), -np.ones((2, 1))))
    simulator.reset(generators(2))
    before = simulator.fields["qpos"].copy()
    with pytest.raises(ValueError, match=r"qvel must be \[2, 9\], got \[2, 3\]"):
        simulator.set_state(np.ones((2, 9)), np.ones((2, 3)))
    np.testing.assert_array_equal(simulator.fields["qpos"], before)
    simulator.fields["qpos"][1, 0] = 50.0
    simulator.fields["qvel"][1] = 1e12
    result = simulator.step(np.zeros((2, 6)))
    assert result.terminated.tolist() == [False, True]
    assert result.reward[1] == 0.0


def test_a_revealed_task_ends_the_observation():
    """Its coordinates follow what the robot senses, also after some simulations change theirs."""
    plain = envs.make("HalfCheetahVel", horizon=4)
    told = plain.replace(reveals_task=True)
    assert told.observation_size == plain.observation_size + 1
    tasks = plain.sample_tasks(3, seed=0)
    simulators = [Simulator(family, 3) for family in (plain, told)]
    starts = []
    for simulator in simulators:
        simulator.set_tasks(tasks)
        starts.append(simulator.reset([np.random.default_rng(seed) for seed in range(3)]))
    np.testing.assert_array_equal(starts[1][:, :-1], starts[0])
    np.testing.assert_array_equal(starts[1][:, -1:], plain.coordinates(tasks))
    simulators[1].set_tasks(plain.task({"velocity": 2.5}), [1])
    result = simulators[1].step(np.zeros((3, 6)))
    assert result.observation[1, -1] == plain.coordinates(plain.task({"velocity": 2.5}))[0, 0]
    assert result.observation[0, -1] == plain.coordinates(tasks)[0, 0]


def varied(name: str, change: Callable[[Bodies, Parameters], None]) -> dynamics.Dynamics:
    """A variation of a test's own, with one parameter."""
    return dynamics.Dynamics(name, (Uniform(name, -5.0, 5.0, "x"),), change)


def scale_gears(bodies: Bodies, task: Parameters) -> None:
    bodies["actuator_gear"] *= task["gear"][:, None, None]


def stretch(bodies: Bodies, task: Parameters) -> None:
    bodies["body_pos"][:, 2:] *= task["length"][:, None, None]


def scaled(*fields: str) -> Callable[[mujoco.MjModel, float], None]:
    """Scale fields of a plain model."""

    def edit(model: mujoco.MjModel, value: float) -> None:
        for field in fields:
            owner: Any = model.opt if field == "gravity" else model
            getattr(owner, field)[:] *= value

    return edit


def stretched(model: mujoco.MjModel, value: float) -> None:
    model.body_pos[2:] *= value


def killed(model: mujoco.MjModel, value: float) -> None:
    model.actuator_gainprm[int(value), 0] = 0.0


def crippled(model: mujoco.MjModel, value: float) -> None:
    leg = Ant.legs[int(value)]
    model.actuator_gainprm[list(leg.actuators), 0] = 0.0
    geoms = [model.geom(name).id for name in leg.geoms]
    for field in (model.geom_size, model.geom_pos, model.geom_rbound, model.geom_aabb):
        field[geoms] *= 0.5


def loaded(model: mujoco.MjModel, value: float) -> None:
    model.body_mass[model.body("torso").id] += value


BODIES = {
    "gears, reversed": (varied("gear", scale_gears), scaled("actuator_gear"), 2.0, -1.0),
    "lengths": (varied("length", stretch), stretched, 1.0, 1.2),
    "masses": (dynamics.body_mass(0.2, 5.0), scaled("body_mass", "body_inertia"), 2.0, 0.5),
    "friction": (dynamics.friction(0.2, 5.0), scaled("geom_friction"), 2.0, 0.5),
    "damping": (dynamics.joint_damping(0.2, 5.0), scaled("dof_damping"), 1.0, 3.0),
    "strength": (dynamics.motor_strength(0.2, 5.0), scaled("actuator_gainprm"), 1.0, 0.3),
    "gravity": (dynamics.gravity(0.2, 5.0), scaled("gravity"), 1.0, 0.5),
    "payload": (dynamics.payload(5.0), loaded, 0.0, 4.0),
    "dead actuator": (dynamics.dead_actuator((1, 4)), killed, 1.0, 4.0),
    "crippled leg": (dynamics.crippled_leg(Ant(), (0, 2)), crippled, 0.0, 2.0),
}
"""What varies, how a plain model is edited alike, and two tasks."""


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_changes_in_an_episode_is_a_plain_model_edited_between_steps(what: str):
    """The first of two simulations changes at step 20, and back at step 30; the other does not."""
    variation, edit, first, second = BODIES[what]
    robot = Ant() if what == "crippled leg" else HalfCheetah()
    family = TaskFamily("test", robot, goals.forward(), "", (variation,), action_scale=1.0)
    (name,) = family.parameters
    simulator = Simulator(family, 2, threads=1)
    simulator.set_tasks(Tasks((name,), np.full((2, 1), first)))
    simulator.reset(generators(2))
    qpos, qvel = (simulator.fields[field].copy() for field in ("qpos", "qvel"))

    def edited(value: float) -> mujoco.MjModel:
        model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
        edit(model, value)
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    model = edited(first)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos[0], qvel[0]
    mujoco.mj_forward(model, data)
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 2, family.action_size))
    alone = Simulator(family, 1, threads=1)
    alone.set_tasks(Tasks((name,), np.array([[first]])))
    alone.set_state(qpos[1:], qvel[1:])
    for step, action in enumerate(actions):
        if step in (20, 30):
            value = second if step == 20 else first
            simulator.set_tasks(Tasks((name,), np.array([[value]])), [0], now=True)
            model = edited(value)  # stepped with the data of the one before
        simulator.step(action)
        alone.step(action[1:])
        data.ctrl[:] = action[0]
        mujoco.mj_step(model, data, nstep=robot.frame_skip)
        np.testing.assert_array_equal(simulator.fields["qpos"][0], data.qpos)
        np.testing.assert_array_equal(simulator.fields["qvel"][0], data.qvel)
        np.testing.assert_array_equal(simulator.fields["qpos"][1], alone.fields["qpos"][0])
    assert not np.array_equal(simulator.fields["qpos"][0], simulator.fields["qpos"][1])


def test_a_goal_that_changes_in_an_episode_changes_rewards_and_nothing_else():
    family = envs.make("HalfCheetahDir", control_cost=0.0)
    simulators = [Simulator(family, 2, threads=1) for _ in range(2)]
    for simulator in simulators:
        simulator.set_tasks(Tasks(("direction",), np.ones((2, 1))))
        simulator.reset(generators(2))
    for step, action in enumerate(np.random.default_rng(0).uniform(-1, 1, (10, 2, 6))):
        if step == 4:
            simulators[0].set_tasks(Tasks(("direction",), -np.ones((1, 1))), [1], now=True)
        changed, same = (simulator.step(action) for simulator in simulators)
        np.testing.assert_array_equal(changed.observation, same.observation)
        sign = np.array([1.0, -1.0 if step >= 4 else 1.0])
        np.testing.assert_array_equal(changed.reward, sign * same.reward)


def test_a_target_that_the_model_shows_moves_and_the_arm_does_not():
    family = envs.make("ReacherGoal")
    simulator = Simulator(family, 2, threads=1)
    simulator.set_tasks(family.sample_tasks(2, seed=0))
    simulator.reset(generators(2))
    for _ in range(3):
        simulator.step(np.ones((2, 2)))
    before = simulator.fields["qpos"].copy()
    there = family.sample_tasks(1, seed=1)
    simulator.set_tasks(there, [1], now=True)
    after = simulator.fields["qpos"]
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1, :2], before[1, :2])
    np.testing.assert_array_equal(after[1, 2:], [there["x"][0], there["y"][0]])
