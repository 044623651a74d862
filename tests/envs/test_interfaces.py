"""Gymnasium and Stable-Baselines3 interfaces: their own checkers, and each against the other."""

import pickle
import warnings
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from stable_baselines3.common.vec_env import VecMonitor

from metarl import envs
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.gymnasium_vector import TaskVectorEnv
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.system.library_threads import one_library_thread


# unbounded observations are what Gymnasium's own MuJoCo environments have
@pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity")
@pytest.mark.parametrize("name", envs.families())
def test_passes_gymnasiums_and_stable_baselines_checks(name: str):
    env = gymnasium.make(f"metarl/{name}-v0", horizon=20)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_sb3(env.unwrapped, skip_render_check=True)
    env.close()


def test_images_are_checked_too():
    env = gymnasium.make("metarl/AntGoal-v0", render_mode="rgb_array", width=160, height=120)
    env.reset(seed=0)
    picture: Any = env.render()
    assert picture.shape == (120, 160, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5.0
    env.step(env.action_space.sample())
    env.close()


def test_a_body_is_drawn_as_it_is():
    """A crippled leg is half as long in the picture, so two legs give two pictures."""
    pictures = []
    for leg in (0.0, 1.0):
        env = TaskEnv("AntCrippled", task={"crippled_leg": leg}, render_mode="rgb_array")
        env.reset(seed=0)
        pictures.append(env.render())
        env.close()
    assert (pictures[0] != pictures[1]).any()


def test_task_is_given_or_drawn_at_reset():
    env: Any = gymnasium.make("metarl/HalfCheetahVel-v0", task={"velocity": 1.25}).unwrapped
    assert env.reset(seed=0)[1]["task"] == {"velocity": 1.25}
    env = gymnasium.make("metarl/HalfCheetahVel-v0", split="extrapolate").unwrapped
    drawn = [env.reset(seed=seed)[1]["task"]["velocity"] for seed in range(5)]
    assert len(set(drawn)) == 5
    assert min(drawn) >= 3.0
    assert env.reset(seed=3)[1]["task"]["velocity"] == drawn[3]
    assert env.reset(options={"task": {"velocity": 0.5}})[1]["task"] == {"velocity": 0.5}
    env = gymnasium.make("metarl/HalfCheetahVel-v0", preset="maml2017").unwrapped
    assert env.family.preset == "maml2017"


def test_state_model_and_data_are_offered_as_in_gymnasiums_mujoco_environments():
    env = TaskEnv("HalfCheetahMass", task={"mass_scale": 2.0})
    env.reset(seed=0)
    theirs: Any = gymnasium.make("HalfCheetah-v5").unwrapped
    theirs.reset(seed=4)
    observation = env.set_state(theirs.data.qpos, theirs.data.qvel)
    np.testing.assert_array_equal(observation, theirs._get_obs())
    np.testing.assert_array_equal(env.data.qpos, theirs.data.qpos)
    np.testing.assert_allclose(env.model.body_mass, 2.0 * theirs.model.body_mass)
    with pytest.raises(ValueError, match=r"qpos must be \[1, 9\], got \[1, 3\]"):
        env.set_state(np.zeros(3), np.zeros(9))


def test_an_episode_is_truncated_at_the_horizon_and_terminated_by_a_fall():
    env = TaskEnv("HalfCheetahDir", horizon=3)
    env.reset(seed=0)
    ends = [env.step(np.zeros(6, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    env = TaskEnv("HopperRandParams")
    env.reset(seed=0)
    for _ in range(200):
        _, _, terminated, truncated, _ = env.step(np.ones(3, np.float32))
        if terminated:
            break
    assert terminated
    assert not truncated


def actions_for(env: Any, steps: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (steps, env.num_envs, *env.single_action_space.shape)).astype("f4")


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_vector_equals_gymnasiums_own_vector_of_single_environments(mode: AutoresetMode):
    """Observations, rewards, ends and final observations, over several episodes with falls."""
    ours: Any = gymnasium.make_vec(
        "metarl/HopperRandParams-v0", num_envs=4, horizon=25, autoreset_mode=mode
    )
    assert ours.metadata["autoreset_mode"] == mode
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: TaskEnv("HopperRandParams", horizon=25)] * 4, autoreset_mode=mode
    )
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    ends = 0
    for action in actions_for(ours, 120):
        *a, info_a = ours.step(action)
        *b, info_b = theirs.step(action)
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
        ends += (a[2] | a[3]).sum()
        if mode == AutoresetMode.SAME_STEP and "final_obs" in info_b:
            np.testing.assert_array_equal(info_a["_final_obs"], info_b["_final_obs"])
            for x, y in zip(info_a["final_obs"], info_b["final_obs"], strict=True):
                assert (x is None) == (y is None)
                if x is not None:
                    np.testing.assert_array_equal(x, y)
        else:
            assert "final_obs" not in info_a
    assert ends > 8


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
    seen = []
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


def test_vector_resets_some_and_says_when_it_should_have_been():
    ours = TaskVectorEnv("HalfCheetahVel", 3, horizon=2, autoreset_mode="Disabled")
    ours.reset(seed=0)
    for _ in range(2):
        ours.step(np.zeros((3, 6), np.float32))
    with pytest.raises(ValueError, match="some episodes have ended"):
        ours.step(np.zeros((3, 6), np.float32))
    ours.reset(options={"reset_mask": np.array([True, True, True])})
    before = ours.tasks
    task = {"velocity": 2.0}
    ours.reset(options={"reset_mask": np.array([False, True, False]), "task": task})
    assert ours.tasks[1] == task
    assert ours.tasks[0] == before[0]
    with pytest.raises(ValueError, match="reset_mask must be"):
        ours.reset(options={"reset_mask": np.zeros(3, dtype=bool)})
    with pytest.raises(ValueError, match="3 environments need as many seeds, got 2"):
        ours.reset(seed=[1, 2])


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


def test_environments_are_pickled_into_processes():
    """As AsyncVectorEnv and SubprocVecEnv do with what makes them."""
    make = pickle.loads(cloudpickle.dumps(lambda: TaskEnv(envs.make("HopperRandParams"))))
    a, b = make(), TaskEnv("HopperRandParams")
    np.testing.assert_array_equal(a.reset(seed=1)[0], b.reset(seed=1)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TaskEnv("HalfCheetaDir"), "did you mean HalfCheetahDir"),
        (lambda: TaskEnv("HalfCheetahDir", render_mode="ascii"), "render_mode must be"),  # type: ignore[arg-type]
        (lambda: TaskEnv("HalfCheetahVel", task={"velocity": 9.0}), "outside the range"),
        (lambda: TaskEnv("HalfCheetahDir", horizont=3), "did you mean horizon"),
        (
            lambda: TaskVectorEnv("Point2D", 3, task=envs.make("Point2D").sample_tasks(2, seed=0)),
            "3 simulations need 1 task or as many, got 2",
        ),
    ],
)
def test_bad_input_is_named(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()
