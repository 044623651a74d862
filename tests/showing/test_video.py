"""Videos: decoded again, looked at for what must be in them, never half-written."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageSequence

import metarl
from metarl import envs
from metarl.envs.drawing import camera
from metarl.sampling.streams import Key, Phase
from metarl.showing.film import shoot
from metarl.showing.pages import GAP, HEADER
from metarl.showing.video import write_video
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
    assert pictures.shape[1:] == (480, 2 * 480 + GAP, 3)
    assert pictures.reshape(len(pictures), -1).std(1).min() > 20.0, "no black or empty frames"
    assert iio.immeta(path)["codec"] == "h264"
    assert list(tmp_path.rglob("*")) == [tmp_path / "deep", path], "nothing else is left"


def test_gif(point: envs.TaskFamily, tmp_path: Path):
    learner = metarl.MAML(point, **SMALL)
    path = metarl.render(learner, {"x": 0.4, "y": 0.4}, tmp_path / "film.gif", rollouts=4, steps=2)
    pictures = iio.imread(path)
    # the format joins equal frames: at most one a step, and the held end
    assert 2 <= len(pictures) <= 13 + 20
    assert pictures.shape[-1] == 3


@pytest.mark.parametrize("step", [0.008 * 3, 0.015 * 2, 1 / 30, 0.05])
def test_gifs_run_in_real_time(step: float, tmp_path: Path):
    """Whose pictures are shown for whole hundredths of a second."""
    pictures = (np.full((8, 8, 3), shade, np.uint8) for shade in range(0, 240, 4))
    write_video(tmp_path / "film.gif", pictures, 1.0 / step)
    with Image.open(tmp_path / "film.gif") as film:
        shown = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
    assert len(shown) == 60
    assert sum(shown[:-1]) == pytest.approx(1000.0 * 59 * step, abs=10.1)
    assert max(shown[:-1]) - min(shown[:-1]) <= 10
    assert shown[-1] == pytest.approx(1000.0 + 1000.0 * step, abs=60.0)


# imageio's reader leaves the pipes of its ffmpeg process to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_film_is_what_the_camera_sees(cheetah: metarl.MAML, tmp_path: Path):
    """Frames of the file against direct pictures of the states of the episode."""
    task, key = FAMILY.task({"direction": 1.0}), Key(0, Phase.ADAPT)
    path = metarl.render(cheetah, task, tmp_path / "film.mp4", rollouts=4)
    pictures = iio.imread(path).astype(float)
    stage = list(cheetah.adaptation(task, 4, [cheetah.config.inner_lr], key))[1]
    take = shoot(FAMILY, cheetah.policy, task, stage.parameters, key, "")
    with closing(camera(FAMILY, (480, 400))) as view:
        for frame in (0, 6, 10):
            direct = view.take(take.states[frame], task[0], frame * FAMILY.dt)
            difference = np.abs(pictures[frame, HEADER:, -480:] - direct)
            assert difference.mean() < 3.0
            other = view.take(take.states[10 - frame if frame != 6 else 0], task[0], 0.0)
            assert np.abs(pictures[frame, HEADER:, -480:] - other).mean() > 3.0


# imageio's reader leaves the pipes of its ffmpeg process to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tasks_in_rows_and_steps_in_columns(cheetah: metarl.MAML, tmp_path: Path):
    tasks = FAMILY.sample_tasks(2, seed=0)
    path = tmp_path / "film.mp4"
    metarl.render(cheetah, tasks, path, rollouts=4, steps=(0, 1, 3), height=240)
    picture = iio.imread(path)[5]
    assert picture.shape == (480, 3 * 240 + 2 * GAP // 2, 3)
    panels = [picture[r : r + 200, c : c + 240] for r in (40, 280) for c in (0, 248, 496)]
    assert all(panel.std() > 10.0 for panel in panels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be numbers of inner steps"),
        ({"steps": (0, -1, 2)}, "steps must be a whole number of at least 0, got -1"),
        ({"steps": ()}, "steps must be numbers of inner steps"),
        ({"height": 100}, "height must be 120 to 4320 pixels, got 100"),
        ({"height": 10**9}, "height must be 120 to 4320 pixels, got 1000000000"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"rollouts": 0}, "rollouts must be a whole number of at least 1, got 0"),
        ({"memory_window": 3}, "memory_window requires change"),
        ({"memory_window": 3, "change": "0.2"}, "memory_window requires a policy with a memory"),
    ],
)
def test_bad_settings_are_refused(
    cheetah: metarl.MAML, tmp_path: Path, settings: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        metarl.render(cheetah, {"direction": 1.0}, tmp_path / "film.mp4", **settings)
    assert not list(tmp_path.iterdir())


def test_pages_too_large_for_h264_are_refused_before_they_are_drawn(
    cheetah: metarl.MAML, tmp_path: Path
):
    tasks = cheetah.family.sample_tasks(35, seed=0)
    with pytest.raises(ValueError, match=r"at most 16,384 pixels .* x 16,800: film fewer tasks"):
        metarl.render(cheetah, tasks, tmp_path / "film.mp4")
    with pytest.raises(TypeError, match=r"metarl\.load\('runs/x'\)"):
        metarl.render("runs/x", tasks, tmp_path / "film.mp4")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["film.avi", "film", "film.MP5"])
def test_other_endings_are_refused(cheetah: metarl.MAML, tmp_path: Path, name: str):
    with pytest.raises(ValueError, match=r"must end in \.mp4 or \.gif"):
        metarl.render(cheetah, {"direction": 1.0}, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_misspelt_setting_is_named(cheetah: metarl.MAML, tmp_path: Path):
    with pytest.raises(TypeError, match="no setting 'hight'; did you mean height"):
        metarl.render(cheetah, {"direction": 1.0}, tmp_path / "film.mp4", hight=240)  # type: ignore[call-arg]


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is asked for on Linux")
def test_without_opengl_says_what_to_install(tmp_path: Path):
    """In a process whose EGL knows no device."""
    code = (
        "import sys, metarl, pathlib\n"
        "learner = metarl.MAML('Point2D', tasks=2, rollouts=2, hidden=(4,))\n"
        "try:\n"
        "    path = pathlib.Path(sys.argv[1]) / 'a.mp4'\n"
        "    metarl.render(learner, {'x': 0.1, 'y': 0.1}, path, renderer='opengl')\n"
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
