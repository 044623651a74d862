"""`Episodes`: clocks, generators and tasks of each simulation, and what every interface tells."""

import copy
import re
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from metarl import envs
from metarl.envs.episodes import Episodes
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.gymnasium_vector import TaskVectorEnv
from metarl.envs.robot import Array, Fields
from metarl.envs.robots.point import Point
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.envs.simulator import Simulator


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


class ViewingPoint(Point):
    """Observes MuJoCo's own array, which the next step changes."""

    def observe(self, fields: Fields) -> Array:
        return fields["qpos"]


VIEWING = envs.make("Point2D", horizon=4).replace(robot=ViewingPoint())


def stepped(interface: str) -> Callable[[], tuple[Any, ...]]:
    """Everything that a reset and then each step of an interface returns."""
    if interface == "single":
        single = TaskEnv(VIEWING, render_mode="rgb_array", width=40, height=40)
        pending = [lambda: (*single.reset(seed=0), single.render())]
        step: Any = lambda: (*single.step(np.ones(2, np.float32)), single.render())  # noqa: E731
    elif interface == "sb3":
        sb3 = TaskVecEnv(VIEWING, 2)
        pending = [lambda: (sb3.reset(), sb3.reset_infos)]
        step = lambda: sb3.step(np.ones((2, 2), np.float32))  # noqa: E731
    else:
        vector = TaskVectorEnv(VIEWING, 2, autoreset_mode=interface)
        pending = [lambda: vector.reset(seed=0)]
        step = lambda: vector.step(np.ones((2, 2), np.float32))  # noqa: E731
    return lambda: pending.pop()() if pending else step()


@pytest.mark.parametrize("interface", ["single", "NextStep", "SameStep", "sb3"])
def test_what_is_returned_stays_as_it_is(interface: str):
    """Whatever the robot returns: kept outcomes equal copies that were made at once."""
    advance = stepped(interface)
    kept = [advance() for _ in range(4)]
    copies = copy.deepcopy(kept)
    for _ in range(1 if interface == "single" else 6):
        advance()
    for outcome, expected in zip(kept, copies, strict=True):
        np.testing.assert_equal(outcome, expected)
    observations = [outcome[0] for outcome in kept]
    assert not np.array_equal(observations[0], observations[1])


@pytest.mark.parametrize("batched", [False, True])
def test_a_replay_buffer_holds_what_happened(batched: bool):
    """The point moves by a tenth of the action, so no transition leads to where it began."""
    env = TaskVecEnv(VIEWING, 2) if batched else DummyVecEnv([lambda: TaskEnv(VIEWING)] * 2)
    settings: dict[str, Any] = {"learning_starts": 1000, "buffer_size": 100, "seed": 0}
    model = SAC("MlpPolicy", env, device="cpu", **settings)
    model.learn(60)
    buffer: Any = model.replay_buffer
    before, after = (part[: buffer.pos] for part in (buffer.observations, buffer.next_observations))
    assert len(before) == 30
    assert (np.abs(after - before).max(axis=-1) > 0).all()
    np.testing.assert_allclose(after - before, 0.1 * buffer.actions[:30], atol=1e-6)


HERE, AWAY = {"x": 0.25, "y": 0.25}, {"x": -0.5, "y": 0.5}
FAMILY = envs.make("Point2D", horizon=3)


@pytest.mark.parametrize("value", [np.float64(0.5), np.float32(0.5), np.int64(0), np.array(0.5)])
def test_numpys_numbers_are_task_values(value: Any):
    task, expected = {"x": value, "y": 0.25}, {"x": float(value), "y": 0.25}
    single, vector, sb3 = TaskEnv(FAMILY), TaskVectorEnv(FAMILY, 2), TaskVecEnv(FAMILY, 2)
    made: Any = gymnasium.make("metarl/Point2D-v0", task=task)
    assert made.reset()[1]["task"] == expected
    assert single.reset(options={"task": task})[1]["task"] == expected
    vector.reset(options={"task": task})
    assert list(vector.tasks) == [expected] * 2
    sb3.set_task(task)
    sb3.reset()
    assert sb3.get_attr("task") == [expected] * 2
    for number in (float(value), value):
        assert type(single.set_task({"x": number, "y": 0.0}) or single.task["x"]) is float


@pytest.mark.parametrize("wrapped", [False, True])
def test_tasks_are_chosen_as_other_meta_learning_environments_let_one_do(wrapped: bool):
    env: Any = gymnasium.make("metarl/Point2D-v0", horizon=3) if wrapped else TaskEnv(FAMILY)
    env.reset(seed=0)
    tasks = env.unwrapped.sample_tasks(3)
    assert tasks == FAMILY.sample_tasks(3, seed=seed_of_the_first_draw())
    for task in tasks:
        env.unwrapped.set_task(task)
        for _ in range(2):
            assert env.reset()[1]["task"] == task
    env.unwrapped.reset_task(HERE)
    assert env.unwrapped.task == tasks[2], "the episode goes on as it began"
    assert env.reset()[1]["task"] == HERE
    env.unwrapped.task = AWAY
    assert env.reset()[1]["task"] == AWAY
    assert env.reset(options={"task": HERE})[1]["task"] == HERE
    assert env.reset()[1]["task"] == AWAY, "an option is of one episode"
    env.unwrapped.reset_task()
    drawn = [env.reset()[1]["task"] for _ in range(2)]
    assert drawn[0] == drawn[1] != AWAY
    env.unwrapped.set_task(None)
    assert env.reset()[1]["task"] != env.reset()[1]["task"]


def seed_of_the_first_draw() -> int:
    """What the generator of seed 0 gives after the task's seed and the start state (2 numbers)."""
    generator = np.random.default_rng(0)
    generator.integers(2**32)
    generator.uniform(0.0, 0.0, 2)
    return int(generator.integers(2**32))


@pytest.mark.parametrize("kind", [TaskVectorEnv, TaskVecEnv])
def test_several_environments_take_a_task_each_or_one_for_some(kind: Any):
    env = kind(FAMILY, 3, task=HERE)
    rows = [HERE, AWAY, {"x": 0.0, "y": 0.25}]
    for several in (rows, envs.Tasks.from_dicts(rows)):
        env.unwrapped.set_task(several)
        env.reset()
        assert list(env.tasks) == rows
    env.unwrapped.set_task(HERE, indices=[1])
    assert list(env.tasks) == rows, "running episodes keep theirs"
    for _ in range(4):  # their ends begin new ones
        env.step(np.zeros((3, 2), np.float32))
    assert list(env.tasks) == [HERE, HERE, rows[2]]
    env.unwrapped.reset_task(indices=[2])
    env.reset()
    assert list(env.tasks)[:2] == [HERE, HERE] != list(env.tasks)[1:]
    assert len(env.unwrapped.sample_tasks(5, seed=1)) == 5
    with pytest.raises(ValueError, match="3 simulations need 1 task or as many, got 2"):
        env.set_task([HERE, AWAY])
    with pytest.raises(IndexError, match="there is no environment 3; there are 3, from 0"):
        env.set_task(HERE, indices=[3])
    for none in (3, "x=1", [3]):
        message = f"a task of Point2D is {{'x': ..., 'y': ...}} or a row of Tasks, got {none!r}"
        with pytest.raises(TypeError, match=re.escape(message)):
            env.set_task(none)


def change_task(interface: str, env: Any, task: Any) -> None:
    """Change the task of an environment, of the second where there are several, now."""
    if interface == "single":
        env.set_task(task, now=True)
    elif interface == "vector":
        env.set_task(task, indices=[1], now=True)
    else:
        env.env_method("set_task", task, indices=[1], now=True)


@pytest.mark.parametrize("interface", ["single", "vector", "sb3"])
def test_a_task_may_change_in_the_middle_of_an_episode(interface: str):
    """Every interface against a simulator that is told the same; time and state go on."""
    family = envs.make("HalfCheetahMass", horizon=6)
    light, heavy = {"mass_scale": 0.5}, {"mass_scale": 2.0}
    makers: dict[str, Callable[[], Any]] = {
        "single": lambda: TaskEnv(family, task=light),
        "vector": lambda: TaskVectorEnv(family, 2, task=light),
        "sb3": lambda: TaskVecEnv(family, 2, task=light),
    }
    env, sim = makers[interface](), 0 if interface == "single" else 1
    if interface == "sb3":
        env.seed(0)
        env.reset()
    else:
        env.reset(seed=0)
    expected = Simulator(family, 1, threads=1)
    expected.set_tasks(family.task(light))
    fields = env._episodes.simulator.fields
    expected.set_state(fields["qpos"][sim : sim + 1], fields["qvel"][sim : sim + 1])
    for step, action in enumerate(np.random.default_rng(1).uniform(-1, 1, (6, 6))):
        if step == 3:
            change_task(interface, env, heavy)
            expected.set_tasks(family.task(heavy), now=True)
        moves = action if interface == "single" else np.stack([action] * 2)
        observation, reward, *ends = env.step(moves.astype(np.float32))
        done = np.atleast_2d(moves)[-1:].astype(np.float32)
        true = expected.step(done / family.action_scale)
        if step < 5:  # Stable-Baselines3's environments observe the next episode's start at an end
            np.testing.assert_array_equal(np.atleast_2d(observation)[sim], true.observation[0])
        np.testing.assert_allclose(np.atleast_1d(reward)[sim], true.reward[0], rtol=1e-6)
        assert np.any(ends[:-1]) == (step == 5), "the horizon stays"
        tasks = env.task if interface == "single" else env.tasks[sim]
        assert tasks == (heavy if step >= 3 else light)
    env.reset()
    assert (env.task if interface == "single" else env.tasks[sim]) == heavy


def test_without_a_task_another_one_is_drawn_now():
    env = TaskVectorEnv(FAMILY, 3, task=HERE)
    env.reset(seed=0)
    env.set_task(None, indices=[2], now=True)
    assert list(env.tasks)[:2] == [HERE, HERE] != list(env.tasks)[1:]


@pytest.mark.parametrize("kind", [TaskEnv, lambda family: TaskVectorEnv(family, 2)])
def test_an_unknown_option_is_refused(kind: Any):
    with pytest.raises(ValueError, match=r"no option 'taks'; did you mean task\?"):
        kind(FAMILY).reset(options={"taks": HERE})


@pytest.mark.parametrize("name", ["AntCrippled", "HopperRandParams", "PusherGoal", "HumanoidDir"])
@pytest.mark.parametrize("kind", [TaskEnv, lambda family: TaskVectorEnv(family, 2)])
def test_a_copy_has_the_same_future(name: str, kind: Any):
    """In the middle of an episode: bodies that differ, derived fields that lag, contact forces."""
    env = kind(envs.make(name, horizon=12))
    env.reset(seed=3)
    shape = env.action_space.shape
    rng = np.random.default_rng(0)
    for _ in range(5):
        env.step(rng.uniform(-1, 1, shape).astype(np.float32))
    twin = copy.deepcopy(env)
    for moment in range(30):
        action = rng.uniform(-1, 1, shape).astype(np.float32)
        np.testing.assert_equal(env.step(action), twin.step(action))
        if moment % 9 == 8:
            np.testing.assert_equal(env.reset(), twin.reset())


def test_a_copy_leaves_the_original_alone():
    env = TaskEnv(FAMILY, render_mode="rgb_array", width=40, height=40)
    env.reset(seed=0)
    env.render()
    twin = copy.deepcopy(env)
    for _ in range(2):
        twin.step(np.ones(2, np.float32))
    twin.reset(options={"task": AWAY})
    assert env.step(np.zeros(2, np.float32))[0].tolist() == [0.0, 0.0]
    assert env.task != AWAY
    assert (twin.render() != env.render()).any()
    env.close()
    twin.close()
