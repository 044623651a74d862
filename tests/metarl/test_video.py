"""Videos: decoded again, looked at for what must be in them, never half-written."""

import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import envs
import metarl
from metarl import video
from metarl.streams import Key, Phase
from tests.conftest import SMALL

FAMILY = envs.make("HalfCheetahDir", horizon=10)


@pytest.fixture
def cheetah() -> metarl.MAML:
    return metarl.MAML(FAMILY, **SMALL)


# imageio's reader leaves the pipes of its ffmpeg process to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mp4_shows_every_step_and_holds_the_last(cheetah: metarl.MAML, tmp_path: Path):
    path = metarl.render(cheetah, {"direction": 1.0}, tmp_path / "deep" / "film.mp4", rollouts=4)
    pictures = iio.imread(path)
    rate = round(1.0 / FAMILY.dt)
    assert len(pictures) == pytest.approx(11 + rate, abs=1)
    width, height = 2 * video.PANEL[0] + video.GAP, video.PANEL[1] + video.HEADER
    assert pictures.shape[1:] == (height, width, 3)
    assert iio.immeta(path)["codec"] == "h264"
    assert list(tmp_path.rglob("*")) == [tmp_path / "deep", path], "nothing else is left"


def test_gif(point: envs.TaskFamily, tmp_path: Path):
    learner = metarl.MAML(point, **SMALL)
    path = metarl.render(learner, {"x": 0.4, "y": 0.4}, tmp_path / "film.gif", rollouts=4, steps=2)
    pictures = iio.imread(path)
    # the format joins equal frames: at most one a step, and the held end
    assert 2 <= len(pictures) <= 13 + 20
    assert pictures.shape[-1] == 3


def test_both_sides_start_alike_and_show_robot_and_goal(cheetah: metarl.MAML):
    task = FAMILY.task({"direction": -1.0})
    key = Key(0, Phase.ADAPT)
    stages = list(cheetah.adaptation(task, 4, [0.5], key))
    takes = [
        video.shoot(FAMILY, cheetah.policy, task, stage.parameters, key, "a title")
        for stage in stages
    ]
    np.testing.assert_array_equal(takes[0].qpos[0], takes[1].qpos[0])
    assert not np.array_equal(takes[0].qpos[-1], takes[1].qpos[-1])
    assert takes[0].qpos.shape == (11, FAMILY.model.nq)
    first = next(video.frames(FAMILY, task, takes))
    sides = [first[video.HEADER :, : video.PANEL[0]], first[video.HEADER :, -video.PANEL[0] :]]
    np.testing.assert_array_equal(sides[0], sides[1])
    red = (sides[0][..., 0] > 150) & (sides[0][..., 1:] < 80).all(-1)
    assert red.sum() > 100, "the goal's arrow is drawn"
    assert sides[0].std() > 10.0, "there is a scene"


def test_the_filmed_states_are_those_of_the_episode(cheetah: metarl.MAML):
    """The reward that was counted is what the filmed positions give."""
    task = FAMILY.task({"direction": -1.0})
    key = Key(3, Phase.ADAPT)
    stage = next(cheetah.adaptation(task, 4, [0.5], key))
    take = video.shoot(FAMILY, cheetah.policy, task, stage.parameters, key, "")
    forward = -np.diff(take.qpos[:, 0]) / FAMILY.dt
    assert len(forward) == len(take.rewards) == 10
    # what the control cost takes off is at most 6 actuators' worth
    difference = forward - take.rewards
    assert (difference >= -1e-6).all()
    assert (difference <= FAMILY.control_cost * 6 + 1e-6).all()


@pytest.mark.parametrize("name", ["film.avi", "film", "film.MP5"])
def test_other_endings_are_refused(cheetah: metarl.MAML, tmp_path: Path, name: str):
    with pytest.raises(ValueError, match=r"must end in \.mp4 or \.gif"):
        metarl.render(cheetah, {"direction": 1.0}, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_two_tasks_are_refused(cheetah: metarl.MAML, tmp_path: Path):
    with pytest.raises(ValueError, match="a video shows one task, got 2"):
        metarl.render(cheetah, FAMILY.sample_tasks(2, seed=0), tmp_path / "film.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is asked for on Linux")
def test_without_opengl_says_what_to_install(tmp_path: Path):
    """In a process whose EGL knows no device."""
    code = (
        "import sys, metarl, pathlib\n"
        "learner = metarl.MAML('Point2D', tasks=2, rollouts=2, hidden=(4,))\n"
        "try:\n"
        "    metarl.render(learner, {'x': 0.1, 'y': 0.1}, pathlib.Path(sys.argv[1]) / 'a.mp4')\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "99"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no OpenGL to draw with" in done.stdout
    assert "apt install libegl1" in done.stdout
    assert not list(tmp_path.iterdir())
