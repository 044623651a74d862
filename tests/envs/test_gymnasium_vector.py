"""`TaskVectorEnv` against Gymnasium's own vector of single environments."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordVideo

from metarl import envs
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.gymnasium_vector import TaskVectorEnv


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


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_success_is_told_where_gymnasiums_own_vector_tells_it(mode: AutoresetMode):
    """In `final_info` of an episode that ended, and not for the one that has begun since."""
    ours: Any = TaskVectorEnv("PandaReach", 3, horizon=4, autoreset_mode=mode)
    single = [lambda: TaskEnv("PandaReach", horizon=4)] * 3
    theirs = gymnasium.vector.SyncVectorEnv(single, autoreset_mode=mode)
    ours.reset(seed=5)
    theirs.reset(seed=5)
    # the second one begins anew: from then on episodes end at different times
    mask = np.array([False, True, False])
    compared = 0
    for step, action in enumerate(actions_for(ours, 20)):
        if step == 2 and mode == AutoresetMode.NEXT_STEP:
            ours.reset(options={"reset_mask": mask})
            theirs.reset(options={"reset_mask": mask})
        infos = [env.step(action)[4] for env in (ours, theirs)]
        pairs = [infos]
        assert ("final_info" in infos[0]) == ("final_info" in infos[1])
        if "final_info" in infos[1]:
            pairs.append([info["final_info"] for info in infos])
        for a, b in pairs:
            told = np.asarray(b.get("_is_success", np.zeros(3, bool)))
            np.testing.assert_array_equal(a["_is_success"], told)
            np.testing.assert_array_equal(
                a["is_success"][told], np.asarray(b["is_success"])[told] if told.any() else []
            )
            compared += told.sum()
    assert compared > 30


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


def test_a_table_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 simulations need 1 task or as many, got 2"):
        TaskVectorEnv("Point2D", 3, task=envs.make("Point2D").sample_tasks(2, seed=0))


class Clip:
    """In place of MoviePy's, which writes files and need not be installed: keeps them."""

    made: ClassVar[list[tuple[np.ndarray, int]]] = []

    def __init__(self, frames: list[np.ndarray], fps: int) -> None:
        self.made.append((np.stack(frames), fps))

    def write_videofile(self, path: str, logger: object) -> None:
        assert path.endswith(".mp4")


def test_gymnasium_records_videos_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("moviepy", "moviepy.video", "moviepy.video.io"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    clips = ModuleType("moviepy.video.io.ImageSequenceClip")
    clips.ImageSequenceClip = Clip  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, clips.__name__, clips)
    settings = {"horizon": 6, "render_mode": "rgb_array", "width": 64, "height": 48}
    env: Any = gymnasium.make_vec("metarl/HopperRandParams-v0", num_envs=4, **settings)
    recorded = RecordVideo(env, str(tmp_path / "films"), episode_trigger=lambda n: n == 0)
    recorded.reset(seed=0)
    for _ in range(8):
        recorded.step(np.zeros((4, 3), np.float32))
    pictures = env.render()
    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * 4
    assert (pictures[0] != pictures[1]).any(), "other bodies"
    recorded.close()
    ((frames, fps),) = Clip.made
    assert fps == 125, "a control step is 0.008 s"
    assert frames.shape == (7, 96, 128, 3), "the start and six steps, two by two"
    assert (frames[0] != frames[6]).any()


def test_seeds_of_numpy_are_seeds_and_only_images_are_drawn():
    env = TaskVectorEnv("Point2D", 2)
    np.testing.assert_array_equal(env.reset(seed=np.int64(3))[0], env.reset(seed=3)[0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="render_mode must be rgb_array or None, got 'human'"):
        TaskVectorEnv("Point2D", 2, render_mode="human")


def test_a_refused_reset_leaves_ended_episodes_ended():
    env = TaskVectorEnv(envs.make("Point2D", horizon=1), 2)
    env.reset(seed=0)
    env.step(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="bogus"):
        env.reset(options={"task": {"bogus": 1.0}})
    env.step(np.zeros((2, 2), np.float32))  # begins the next ones
    assert env._episodes.time.tolist() == [0, 0]
