"""`TaskVecEnv` against single environments, and PPO trained on it."""

import warnings
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from metarl import envs
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.system.library_threads import one_library_thread


def test_sb3_vec_env_equals_single_environments_and_keeps_final_observations():
    family = envs.make("HopperRandParams", horizon=25)
    ours = TaskVecEnv(family, 3)
    ours.seed(7)
    observation: Any = ours.reset()
    singles = [TaskEnv(family) for _ in range(3)]
    starts = [env.reset(seed=7 + index)[0] for index, env in enumerate(singles)]
    np.testing.assert_array_equal(observation, starts)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(80):
        action = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
        observation, reward, done, info = ours.step(action)  # type: ignore[assignment]
        for index, env in enumerate(singles):
            expected, r, terminated, truncated, _ = env.step(action[index])
            assert reward[index] == np.float32(r)
            assert done[index] == (terminated or truncated)
            if done[index]:
                ends += 1
                np.testing.assert_array_equal(info[index]["terminal_observation"], expected)
                assert info[index]["TimeLimit.truncated"] == truncated
                expected = env.reset()[0]
            np.testing.assert_array_equal(observation[index], expected)
    assert ends > 5


def test_the_task_of_an_episode_is_in_the_infos_of_its_reset():
    """As `DummyVecEnv` renews them where an environment resets itself."""
    env = TaskVecEnv(envs.make("HalfCheetahVel", horizon=3), 2)
    env.reset()
    for _ in range(7):
        env.step(np.zeros((2, 6), np.float32))
        tasks = [env.tasks[number] for number in range(2)]
        assert [info["task"] for info in env.reset_infos] == tasks


def test_ppo_trains_on_the_batched_vec_env():
    """Unchanged, and it learns: a point finds its goal."""
    family = envs.make("Point2D", horizon=20)
    env = VecMonitor(TaskVecEnv(family, 16, task={"x": 0.4, "y": 0.3}, threads=1))
    settings: dict[str, Any] = {"n_steps": 20, "batch_size": 320, "device": "cpu", "seed": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PPO("MlpPolicy", env, learning_rate=3e-3, **settings)
    first = TaskVecEnv(family, 16, task={"x": 0.4, "y": 0.3}, threads=1)

    def score() -> float:
        observation: Any = first.reset()
        total = 0.0
        for _ in range(19):
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, _, _ = first.step(action)
            total += float(reward.mean())
        return total

    before = score()
    with one_library_thread():
        model.learn(20_000)
    assert score() > before + 2.0


HERE, AWAY = {"x": 0.25, "y": 0.25}, {"x": -0.5, "y": 0.5}


def test_options_attributes_and_methods_are_obeyed():
    """As `DummyVecEnv` does with single environments, for all of them or for some."""
    env = VecMonitor(TaskVecEnv(envs.make("Point2D", horizon=3), 3, task=HERE))
    env.set_options({"task": AWAY})
    env.reset()
    assert env.get_attr("task") == [AWAY] * 3
    env.reset()
    assert env.get_attr("task") == [HERE] * 3, "options are of one reset"
    env.set_options([{"task": AWAY}, {}, {}])
    env.reset()
    assert env.get_attr("task") == [AWAY, HERE, HERE]
    env.set_attr("task", AWAY, indices=2)
    env.reset()
    assert env.get_attr("task") == [HERE, HERE, AWAY]
    assert env.get_attr("task", indices=[2]) == [AWAY]
    assert env.env_method("set_task", AWAY, indices=[0, 1]) == [None, None]
    env.reset()
    assert env.get_attr("task") == [AWAY] * 3
    assert [len(tasks) for tasks in env.env_method("sample_tasks", 4)] == [4, 4, 4]
    env.env_method("reset_task", indices=0)
    env.reset()
    assert env.get_attr("task", [1, 2]) == [AWAY, AWAY] != env.get_attr("task", [0, 1])


def test_seeds_are_obeyed():
    env = TaskVecEnv("HalfCheetahVel", 2)
    starts = []
    for seed in (4, 4, 5):
        env.seed(seed)
        starts.append((env.reset(), env.get_attr("task")))
    np.testing.assert_array_equal(starts[0][0], starts[1][0])
    np.testing.assert_array_equal(starts[0][0][1], starts[2][0][0])
    assert starts[0][1] == starts[1][1]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda env: env.set_options({"taks": HERE}), ValueError, "no option 'taks'; did you mean"),
        (lambda env: env.set_options([{}, {}]), ValueError, "3 environments need as many options"),
        (lambda env: env.set_attr("horizon", 9), AttributeError, "set_attr sets task only"),
        (lambda env: env.env_method("reset"), AttributeError, "env_method has no 'reset'"),
        (lambda env: env.set_attr("task", {"z": 1.0}), ValueError, "has the task parameters x, y"),
        (lambda env: TaskVecEnv("Point2D", 1, render_mode="human"), ValueError, "render_mode must"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(call: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        call(TaskVecEnv("Point2D", 3))


def test_pictures_of_every_environment_in_real_time():
    env = TaskVecEnv("AntCrippled", 2, render_mode="rgb_array")
    assert env.metadata["render_fps"] == 20
    env.set_options([{"task": {"crippled_leg": leg}} for leg in (0.0, 1.0)])
    env.reset()
    pictures = env.get_images()
    assert (pictures[0] != pictures[1]).any()
    assert env.render().shape == (960, 480, 3)  # type: ignore[union-attr]
    env.close()


def test_a_bad_task_is_refused_at_once_and_forgotten():
    env = TaskVecEnv("Point2D", 2)
    for options in ({"task": {"x": 9.0, "y": 0.0}}, [{"task": {"x": 0.1}}, {}]):
        with pytest.raises(ValueError, match="x"):
            env.set_options(options)
    assert len(env.reset()) == 2
    env.set_options({"task": env.family.task({"x": 0.1, "y": 0.2})})
    env.reset()
    assert list(env.tasks) == [{"x": 0.1, "y": 0.2}] * 2
