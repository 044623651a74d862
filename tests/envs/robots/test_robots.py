"""Every robot against Gymnasium's own environment, step by step."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

from metarl.envs import Simulator, TaskFamily, goals
from metarl.envs.robot import Robot
from metarl.envs.robots import (
    Ant,
    HalfCheetah,
    Hopper,
    Humanoid,
    Pusher,
    Reacher,
    Swimmer,
    Walker2d,
)

STEPS = 250


def family(robot: Robot, goal: goals.Goal, **costs: float) -> TaskFamily:
    return TaskFamily("test", robot, goal, "", horizon=STEPS, action_scale=1.0, **costs)  # type: ignore[arg-type]


CASES: dict[str, TaskFamily] = {
    "HalfCheetah-v5": family(HalfCheetah(), goals.forward(), control_cost=0.1),
    "Ant-v5": family(
        Ant(), goals.forward(), control_cost=0.5, contact_cost=5e-4, survive_bonus=1.0
    ),
    "Hopper-v5": family(Hopper(), goals.forward(), control_cost=1e-3, survive_bonus=1.0),
    "Walker2d-v5": family(Walker2d(), goals.forward(), control_cost=1e-3, survive_bonus=1.0),
    "Swimmer-v5": family(Swimmer(), goals.forward(), control_cost=1e-4),
    "Humanoid-v5": family(
        Humanoid(),
        goals.forward(1.25),
        control_cost=0.1,
        contact_cost=5e-7,
        contact_cost_limit=10.0,
        survive_bonus=5.0,
    ),
    "Reacher-v5": family(Reacher(), goals.reach_in_disc(0.2), control_cost=1.0),
    "Pusher-v5": family(
        Pusher(), goals.push_to((0.4, -0.1), (0.5, 0.0), height=-0.323), control_cost=0.1
    ),
}


def target_of(theirs: Any, name: str) -> dict[str, float]:
    """The task that Gymnasium's environment has drawn."""
    body = {"Reacher-v5": "target", "Pusher-v5": "goal"}.get(name)
    if body is None:
        return {}
    x, y, _ = theirs.get_body_com(body)
    return {"x": float(x), "y": float(y)}


@pytest.mark.parametrize("name", CASES)
def test_reproduces_gymnasium_step_by_step(name: str):
    """State, observation, reward and termination; falls included."""
    family = CASES[name]
    theirs: Any = gymnasium.make(name).unwrapped
    rng = np.random.default_rng(0)
    falls = steps = 0
    for seed in range(40):
        expected, _ = theirs.reset(seed=seed)
        ours = Simulator(family, 2)
        ours.set_tasks(family.task(target_of(theirs, name)).repeat(2))
        start = theirs.data.qpos.copy(), theirs.data.qvel.copy()
        observation = ours.set_state(*(np.tile(part, (2, 1)) for part in start))
        np.testing.assert_allclose(observation[1], expected, rtol=0, atol=1e-12)
        low, high = theirs.model.actuator_ctrlrange.T  # the action space rounds to float32
        for _ in range(STEPS):
            action = rng.uniform(-1.0, 1.0, family.action_size)
            control = (low + high) / 2.0 + (high - low) / 2.0 * action
            expected, their_reward, fallen, _, _ = theirs.step(np.float64(control))
            observation, reward, terminated, *_ = ours.step(np.tile(action, (2, 1)))
            np.testing.assert_array_equal(ours.fields["qpos"][1], theirs.data.qpos)
            np.testing.assert_array_equal(ours.fields["qvel"][1], theirs.data.qvel)
            np.testing.assert_allclose(observation[1], expected, rtol=1e-12, atol=1e-12)
            assert reward[1] == pytest.approx(their_reward, rel=1e-10, abs=1e-10)
            assert bool(terminated[1]) == bool(fallen)
            steps += 1
            if fallen:
                falls += 1
                break
        if steps >= STEPS and (falls or name not in ("Ant-v5", "Hopper-v5", "Walker2d-v5")):
            break
    assert steps >= 200
    if name in ("Ant-v5", "Hopper-v5", "Walker2d-v5", "Humanoid-v5"):
        assert falls


@pytest.mark.parametrize("name", CASES)
def test_starts_as_gymnasium_does_from_the_same_generator(name: str):
    family = CASES[name]
    theirs: Any = gymnasium.make(name).unwrapped
    for seed in (3, 4):
        expected, _ = theirs.reset(seed=seed)
        ours = Simulator(family, 1)
        if not family.parameters:
            ours.set_tasks(family.sample_tasks(1, seed=0))
        else:
            ours.set_tasks(family.task(target_of(theirs, name)))
        observation = ours.reset([np_random(seed)[0]])
        np.testing.assert_allclose(observation[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("robot", [Ant, Humanoid])
def test_without_contact_forces_the_rest_is_the_same(robot: type[Ant] | type[Humanoid]):
    families = [family(robot(contact_forces=flag), goals.forward()) for flag in (True, False)]
    with_forces, without = (Simulator(family, 3) for family in families)
    observations, forces = [], 0.0
    for made, simulator in zip(families, (with_forces, without), strict=True):
        simulator.set_tasks(made.sample_tasks(3, seed=0))
        simulator.reset([np.random.default_rng([1, index]) for index in range(3)])
        rng, observation = np.random.default_rng(2), np.empty(0)
        for _ in range(20):
            action = rng.uniform(-1, 1, (3, made.action_size))
            observation = simulator.step(action).observation
            if simulator is with_forces:
                forces += np.abs(observation[:, -78:]).sum()
        observations.append(observation)
    full, short = observations
    np.testing.assert_array_equal(full[:, : short.shape[1]], short)
    assert full.shape[1] == short.shape[1] + 78
    assert forces > 0.0


def test_hidden_targets_are_hidden_but_shown_in_the_model():
    """Observations do not tell the task; the model's target body is where the task says."""
    from metarl.envs import make

    for name, body in (("ReacherGoal", "target"), ("PusherGoal", "goal")):
        made = make(name)
        simulator = Simulator(made, 3)
        tasks = made.sample_tasks(3, seed=0)
        simulator.set_tasks(tasks)
        observation = simulator.reset([np.random.default_rng(5) for _ in range(3)])
        np.testing.assert_array_equal(observation[0], observation[1])
        place = simulator.fields["xpos"][:, made.model.body(body).id, :2]
        np.testing.assert_allclose(place, np.stack([tasks["x"], tasks["y"]], axis=1), atol=1e-12)
