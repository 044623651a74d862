"""`TaskEnv`: the checkers of Gymnasium and Stable-Baselines3, tasks, states, ends and pictures."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from metarl import envs
from metarl.envs.gymnasium_env import TaskEnv
from tests.envs.legged import written


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
    plain = TaskEnv("HalfCheetahVel")
    plain.reset(seed=0)
    plain.set_state(theirs.data.qpos, theirs.data.qvel)
    for _ in range(3):
        for env in (plain, theirs):
            env.step(np.full(6, 0.5, np.float32))
    mujoco.mj_forward(theirs.model, theirs.data)
    for name in ("qpos", "qvel", "ctrl", "actuator_force"):
        own, expected = getattr(plain.data, name), getattr(theirs.data, name)
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-6)
    assert plain.data.time > 0.0


def test_an_episode_is_truncated_at_the_horizon_and_terminated_by_a_fall():
    env = TaskEnv("HalfCheetahDir", horizon=3)
    env.reset(seed=0)
    ends = [env.step(np.zeros(6, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    env = TaskEnv("HopperRandParams")
    env.reset(seed=0)
    terminated = truncated = False
    for _ in range(200):
        _, _, terminated, truncated, _ = env.step(np.ones(3, np.float32))
        if terminated:
            break
    assert terminated
    assert not truncated


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
    ],
)
def test_bad_input_is_named(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(
    sys.platform != "linux", reason="displays of other systems cannot be taken away"
)
def test_a_window_needs_a_display():
    """In a process without one: GLFW itself would end the process."""
    code = (
        "import metarl.envs.gymnasium_env as g\n"
        "try:\n"
        "    g.TaskEnv('Point2D', render_mode='human').reset(seed=0)\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("no display to open a window on")
    assert "render_mode='rgb_array'" in run.stdout


@pytest.mark.parametrize("name", envs.families())
def test_pictures_are_shown_in_real_time(name: str):
    """The rate is that which Gymnasium asserts of its own environments."""
    family = envs.make(name)
    assert TaskEnv(family).metadata["render_fps"] == int(np.round(1.0 / family.dt))


def test_the_parts_of_a_reward_are_told(tmp_path: Path):
    robot = envs.ServoRobot(written(tmp_path), servos=envs.Servos("home"))
    goal = envs.goals.velocity_command(0.5, weights={"velocity": 2.0, "jerk": -0.1})
    env = TaskEnv(envs.TaskFamily("dog", robot, goal, "", survive_bonus=0.5))
    env.reset(seed=0)
    *_, reward, _, _, info = env.step(np.full(8, 0.5, np.float32))
    assert set(info["reward_terms"]) == {"velocity", "jerk"}
    assert info["reward_terms"]["jerk"] == pytest.approx(-0.1 * 8 * 0.25)
    assert reward == pytest.approx(0.5 + sum(info["reward_terms"].values()))
    assert "reward_terms" not in TaskEnv("Point2D").step(np.zeros(2, np.float32))[-1]
