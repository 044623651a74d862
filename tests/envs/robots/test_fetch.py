"""The Fetch arm against gymnasium-robotics, step by step."""

import types
import warnings
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

from metarl import envs
from metarl.envs import Simulator, TaskFamily, goals
from metarl.envs.robots.fetch import Fetch, Task

robotics = pytest.importorskip("gymnasium_robotics")

CASES: dict[str, Task] = {
    "FetchReachDense-v4": "reach",
    "FetchPushDense-v4": "push",
    "FetchSlideDense-v4": "slide",
    "FetchPickAndPlaceDense-v4": "pick_and_place",
}


class Numbers:
    """MuJoCo's enumerations as plain numbers, as they were when gymnasium-robotics was written."""

    def __init__(self, enumeration: Any) -> None:
        self._enumeration = enumeration

    def __getattr__(self, name: str) -> int:
        return getattr(self._enumeration, name).value


@pytest.fixture(autouse=True)
def _mujoco_as_it_was(monkeypatch: pytest.MonkeyPatch):
    """Since MuJoCo 4 a joint's type is no longer equal to a member of mjtJoint."""
    old = types.SimpleNamespace(**vars(mujoco))
    old.mjtJoint, old.mjtEq = Numbers(mujoco.mjtJoint), Numbers(mujoco.mjtEq)
    monkeypatch.setattr("gymnasium_robotics.utils.mujoco_utils.mujoco", old)


def make(name: str) -> tuple[Any, TaskFamily]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gymnasium.register_envs(robotics)
        theirs: Any = gymnasium.make(name).unwrapped
    robot = Fetch(CASES[name])
    tracks = robot.tracks[-3:]
    box: Any = ((-9.0, -9.0, -9.0), (9.0, 9.0, 9.0))
    goal = goals.reach_in_box(*box, tracks=tracks, success_within=0.05)  # type: ignore[arg-type]
    return theirs, TaskFamily("test", robot, goal, "", horizon=200, action_scale=1.0)


@pytest.mark.parametrize("name", CASES)
def test_reproduces_gymnasium_robotics_step_by_step(name: str):
    """Starts, state, observation and reward for 200 steps."""
    theirs, family = make(name)
    expected, _ = theirs.reset(seed=2)
    ours = Simulator(family, 2)
    x, y, z = map(float, expected["desired_goal"])
    task = {"x": x, "y": y, "z": z}
    ours.set_tasks(family.task(task).repeat(2))
    observation = ours.reset([np_random(2)[0], np_random(5)[0]])
    np.testing.assert_array_equal(ours.fields["qpos"][0], theirs.data.qpos)
    np.testing.assert_allclose(observation[0], expected["observation"], rtol=0, atol=1e-10)
    rng = np.random.default_rng(0)
    for step in range(200):
        action = rng.uniform(-1.0, 1.0, 4)
        if step % 40 < 20:  # down to the object and on
            action[2] = -0.3
        expected, their_reward, terminated, _, info = theirs.step(action)
        observation, reward, ended, succeeded = ours.step(np.stack([action, -action]))
        np.testing.assert_array_equal(ours.fields["qpos"][0], theirs.data.qpos)
        np.testing.assert_allclose(observation[0], expected["observation"], rtol=0, atol=1e-10)
        assert reward[0] == pytest.approx(float(their_reward), abs=1e-12)
        assert bool(ended[0]) == bool(terminated)
        assert bool(succeeded[0]) == bool(info["is_success"])


def test_families_draw_goals_where_gymnasium_robotics_does():
    for name in CASES:
        theirs, _ = make(name)
        family = envs.make(name.removesuffix("Dense-v4"))
        drawn = np.array([theirs.reset(seed=seed)[0]["desired_goal"] for seed in range(60)])
        tasks = family.sample_tasks(500, seed=0)
        for axis, column in enumerate(("x", "y", "z")):
            if column in tasks.names:
                assert tasks[column].min() <= drawn[:, axis].min() + 0.02
                assert tasks[column].max() >= drawn[:, axis].max() - 0.02
        np.testing.assert_allclose(tasks["x"].mean(), drawn[:, 0].mean(), atol=0.07)


def test_without_gymnasium_robotics_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("metarl.envs.robots.fetch.find_spec", lambda name: None)
    how = r"in a checkout of metarl, pip install -c constraints\.txt '\.\[robots\]'"
    with pytest.raises(ValueError, match=f"FetchPush needs gymnasium-robotics: {how}"):
        envs.make("FetchPush")
    assert "FetchPush" not in envs.families()
    assert "HalfCheetahDir" in envs.families()


def test_the_reward_of_gymnasium_robotics_is_a_preset_of_pushing():
    ours, theirs = envs.make("FetchPush"), envs.make("FetchPush", preset="plappert2018")
    assert theirs.goal.formula == envs.make("FetchPickAndPlace").goal.formula != ours.goal.formula
    assert theirs.goal.distributions == ours.goal.distributions
    with pytest.raises(
        ValueError, match="FetchPush has no preset 'plapert'; did you mean plappert2"
    ):
        envs.make("FetchPush", preset="plapert")
    with pytest.raises(ValueError, match="FetchReach has no preset 'plappert2018'"):
        envs.make("FetchReach", preset="plappert2018")
