"""`Episodes`: clocks, generators and tasks of each simulation, and what every interface tells."""

import numpy as np
import pytest

from metarl import envs
from metarl.envs.episodes import Episodes
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.gymnasium_vector import TaskVectorEnv
from metarl.envs.sb3_vec_env import TaskVecEnv


def test_each_simulation_has_its_own_clock_and_task():
    """The second begins anew after two steps; the third is not stepped once."""
    episodes = Episodes(envs.make("HalfCheetahVel", horizon=3), 3)
    episodes.seed([1, 2, 3])
    episodes.begin()
    action, first = np.zeros((3, 6)), episodes.tasks
    episodes.step(action)
    episodes.step(action, np.array([True, True, False]))
    episodes.begin(np.array([1]), {"velocity": 2.5})
    assert episodes.time.tolist() == [2, 0, 1]
    assert episodes.tasks["velocity"].tolist() == [first[0]["velocity"], 2.5, first[2]["velocity"]]
    assert episodes.step(action).truncated.tolist() == [True, False, False]


def test_drawn_tasks_and_starts_follow_each_simulations_seed():
    """The same, alone or beside others; None keeps a generator."""
    family = envs.make("HalfCheetahVel")
    alone, beside = Episodes(family, 1), Episodes(family, 3)
    alone.seed([5])
    beside.seed([4, 5, 6])
    np.testing.assert_array_equal(alone.begin()[0], beside.begin()[1])
    assert alone.tasks[0] == beside.tasks[1]
    before = beside.generators[0]
    beside.seed([None, 9, None])
    assert beside.generators[0] is before


def test_an_action_of_one_is_the_whole_control_range():
    for scale in (0.1, 1.0):
        family = envs.make("Point2D", action_scale=scale)
        episodes = Episodes(family, 1, task={"x": 0.5, "y": 0.5})
        episodes.begin()
        outcome = episodes.step(np.array([[1.0, -0.5]]))
        np.testing.assert_allclose(outcome.observation, [[0.1, -0.05]], atol=1e-12)


def test_a_table_gives_each_simulation_its_task_in_every_episode():
    family = envs.make("HalfCheetahVel")
    tasks = family.sample_tasks(2, seed=0)
    episodes = Episodes(family, 2, task=tasks)
    for _ in range(2):
        episodes.begin()
        assert episodes.tasks == tasks
    with pytest.raises(ValueError, match="3 simulations need 1 task or as many, got 2"):
        Episodes(family, 3, task=tasks)


def test_success_is_told_under_the_key_that_others_read():
    """The walk to the goal of a sparse reward: within 0.2 m is success, by hand."""
    goal = {"angle": 0.5 * np.pi}
    env = TaskEnv("Point2DSparse", task=goal)
    many = TaskVectorEnv("Point2DSparse", 2, task=goal, autoreset_mode="SameStep")
    sb3 = TaskVecEnv("Point2DSparse", 2, task=goal)
    env.reset(seed=0)
    many.reset(seed=0)
    sb3.seed(0)
    sb3.reset()
    up = np.array([0.0, 1.0], np.float32)
    seen, each = [], []
    for _ in range(env.family.horizon):
        observation, _, _, truncated, info = env.step(up)
        expected = bool(np.hypot(observation[0], observation[1] - 1.0) <= 0.2)
        assert info["is_success"] is expected
        *_, infos = many.step(np.stack([up, -up]))
        last = infos["final_info"] if truncated else infos
        assert last["is_success"].tolist() == [expected, False]
        assert last["_is_success"].all()
        *_, each = sb3.step(np.stack([up, -up]))
        seen.append(expected)
    assert any(seen)
    assert [info["is_success"] for info in each] == [seen[-1], False]
    assert "is_success" not in TaskEnv("HalfCheetahVel").step(np.zeros(6, np.float32))[-1]
