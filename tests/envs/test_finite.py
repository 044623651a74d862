"""Rewards and observations that are not finite are named where they arise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metarl.envs import Simulator, dynamics
from metarl.envs.finite import first_not_finite, not_finite
from metarl.envs.goals import Goal
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.robot import Array, Fields, Robot
from tests.envs import rig
from tests.envs.rig import Rig

MOTOR = '<motor joint="j" ctrlrange="-1 1" gear="50"/>'


class Logarithmic(Rig):
    """Senses the logarithm of an angle, which is not a number below zero."""

    def observe(self, fields: Fields) -> Array:
        with np.errstate(invalid="ignore"):
            return np.concatenate([fields["qvel"], np.log(1.0 + fields["qpos"])], axis=1)


def reward(step, _) -> Array:
    with np.errstate(invalid="ignore"):
        return np.sqrt(1.0 + step.after[:, 0])


def swinging(robot: Robot, goal: Goal = rig.STAND_STILL) -> Simulator:
    """Three simulations of different strength, at rest at an angle of 0."""
    family = rig.family(robot, dynamics.motor_strength(0.5, 2.0), goal=goal)
    simulator = Simulator(family, 3)
    simulator.set_tasks(family.task({"strength_scale": 0.75}).repeat(3))
    simulator.set_tasks(family.task({"strength_scale": 1.5}), [1])
    simulator.reset([np.random.default_rng(sim) for sim in range(3)])
    simulator.set_state(np.zeros((3, 1)), np.zeros((3, 1)))
    return simulator


def swing(simulator: Simulator, steps: int = 300) -> None:
    """Push simulation 1 down, hold the others."""
    for _ in range(steps):
        simulator.step(np.array([[0.0], [-1.0], [0.0]]), np.array([False, True, False]))


@pytest.mark.parametrize(
    ("robot", "goal", "what"),
    [
        (Rig, Goal("root", (), reward), "the reward of the goal 'root' is nan"),
        (
            Logarithmic,
            rig.STAND_STILL,
            r"number 1 of Rig.observe \(j\) is nan",
        ),
    ],
)
def test_what_is_not_finite_is_named(robot: type[Rig], goal: Goal, what: str, tmp_path: Path):
    simulator = swinging(robot(rig.mjcf(tmp_path, MOTOR)), goal)
    message = (
        rf"^rig: {what} in simulation 1, whose physics did not fail; "
        r"its task is \{'strength_scale': 1.5\}$"
    )
    with pytest.raises(ValueError, match=message):
        swing(simulator)


def test_also_in_a_start_and_through_gymnasium(tmp_path: Path):
    simulator = swinging(Logarithmic(rig.mjcf(tmp_path, MOTOR)))
    with pytest.raises(ValueError, match=r"number 1 of Rig.observe \(j\) is nan in simulation 2"):
        simulator.set_state(np.array([[-2.0]]), np.zeros((1, 1)), [2])
    simulator.set_state(np.zeros((1, 1)), np.zeros((1, 1)), [2])

    goal = Goal("endless", (), lambda step, _: np.full(len(step.after), np.inf))
    env = TaskEnv(rig.family(Rig(rig.mjcf(tmp_path, MOTOR)), goal=goal))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="reward of the goal 'endless' is inf in simulation 0"):
        env.step(np.zeros(1, np.float32))


def test_simulations_that_are_not_stepped_do_not_count(tmp_path: Path):
    """Their reward is of a step that they did not take."""
    goal = Goal("odd", (), lambda step, _: np.array([np.nan, 1.0, -np.inf]))
    simulator = swinging(Rig(rig.mjcf(tmp_path, MOTOR)), goal)
    result = simulator.step(np.zeros((3, 1)), np.array([False, True, False]))
    assert result.reward.tolist() == [0.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="is nan in simulation 0"):
        simulator.step(np.zeros((3, 1)))


def test_physics_that_blows_up_ends_an_episode_as_before(tmp_path: Path):
    """Even where the goal makes nan of the jump to the default state."""
    goal = Goal("far", (), lambda step, _: np.where(np.abs(step.before[:, 0]) > 10, np.nan, 1.0))
    simulator = swinging(Rig(rig.mjcf(tmp_path, MOTOR)), goal)
    simulator.fields["qpos"][1] = 50.0
    simulator.fields["qvel"][1] = 1e12
    result = simulator.step(np.zeros((3, 1)))
    assert result.terminated.tolist() == [False, True, False]
    assert result.reward.tolist() == [1.0, 0.0, 1.0]
    assert np.isfinite(result.observation).all()


@pytest.mark.parametrize(
    ("reward", "shape"),
    [
        (lambda step, _: step.after, r"\[3, 1\]"),
        (lambda step, _: np.zeros(2), r"\[2\]"),
    ],
)
def test_a_reward_of_the_wrong_shape_is_refused(reward: Callable, shape: str, tmp_path: Path):
    """A column would be broadcast to a reward of every simulation for every other one."""
    simulator = swinging(Rig(rig.mjcf(tmp_path, MOTOR)), Goal("mine", (), reward))
    message = rf"the reward of the goal 'mine' must be \[3\], one of each simulation, got {shape}"
    with pytest.raises(ValueError, match=message):
        simulator.step(np.zeros((3, 1)))


def test_the_first_number_among_some_rows():
    values = np.array([[1.0, np.nan], [2.0, 3.0], [np.inf, 4.0]])
    assert first_not_finite(values, np.array([True, True, True])) == [0, 1]
    assert first_not_finite(values, np.array([False, True, True])) == [2, 0]
    assert first_not_finite(values, np.array([False, True, False])) is None
    assert first_not_finite(values[:, 0], np.array([True, True, True])) == [2]


def test_many_parameters_are_cut_off():
    tasks = {f"p{index}": np.array([0.0, index / 4]) for index in range(14)}
    with pytest.raises(ValueError, match=r"'p1': 0.25, .*'p11': 2.75, and 2 more\}$"):
        not_finite("F", "the reward", float("nan"), 1, tasks)
    with pytest.raises(ValueError, match=r"its task is \{\}$"):
        not_finite("F", "the reward", float("nan"), 1, None)
