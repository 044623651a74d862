"""Films of third-party environments: their own pictures, kept exactly, in the panels of a film."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import imageio.v3 as iio
import numpy as np
import pytest

import metarl
from metarl.envs import ForeignFamily, task_through_reset_options
from metarl.envs.distributions import Uniform
from metarl.showing.pictures import Screen, packed
from tests.conftest import SMALL


class Bar(gymnasium.Env):
    """Its picture is a bar as bright as its level and as wide as the steps taken."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012, as Gymnasium
    observation_space = gymnasium.spaces.Box(0.0, 100.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode = render_mode
        self.level, self.taken = 0.0, 0

    def reset(self, *, seed=None, options=None):
        self.level, self.taken = (options or {"task": {"level": 0.0}})["task"]["level"], 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.taken += 1
        return np.full(1, self.taken, np.float32), 1.0, False, False, {}

    def render(self) -> Any:
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[:, : 10 * self.taken] = round(self.level)
        return picture


def bars(render_mode: str | None = "rgb_array") -> metarl.MAML:
    family = ForeignFamily(
        "Bar",
        lambda: Bar(render_mode),
        task_through_reset_options,
        (Uniform("level", 100.0, 250.0),),
        horizon=5,
    )
    return metarl.MAML(family, **SMALL)


# imageio's reader leaves the pipes of its ffmpeg process to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_environment_of_others_is_filmed_side_by_side(tmp_path: Path):
    path = metarl.render(bars(), {"level": 200.0}, tmp_path / "film.mp4", rollouts=2, steps=(0, 1))
    pictures = iio.imread(path)
    assert len(pictures) == pytest.approx(6 + 25, abs=1), "six pictures, the last one for a second"
    assert iio.immeta(path)["fps"] == 25
    assert pictures.shape[1:] == (480, 2 * 480 + 16, 3)
    for left in (0, 496):  # before and after adaptation
        # 480 x 320 pixels of a panel of 480 x 400: 80 a step taken
        middle = pictures[:6, 80 + 200, left : left + 480].mean(axis=-1)
        widths = (middle > 100).sum(axis=1)
        np.testing.assert_allclose(widths, 80 * np.arange(6), atol=4)
        assert middle[5, 200] == pytest.approx(200.0, abs=4)


def test_what_cannot_be_filmed_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"Bar cannot be filmed: .* render_mode='rgb_array'"):
        metarl.render(bars(None), {"level": 200.0}, tmp_path / "film.mp4")
    with pytest.raises(ValueError, match=r"Bar cannot be filmed with a ghost.*ghost=False"):
        metarl.render(bars(), {"level": 200.0}, tmp_path / "film.mp4", ghost=True)
    assert not list(tmp_path.iterdir())


def test_pictures_are_kept_exactly():
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    screen = Screen((40, 30), (0, 0, 0))
    np.testing.assert_array_equal(screen.take(packed(picture), {}, 0.0), picture)
    padded = Screen((40, 50), (9, 9, 9)).take(packed(picture), {}, 0.0)
    np.testing.assert_array_equal(padded[10:40], picture)
    assert (padded[:10] == 9).all()


@pytest.mark.parametrize("picture", [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_other_pictures_are_refused(picture: Any):
    with pytest.raises(ValueError, match=r"must return a picture \[height, width, 3\] of uint8"):
        packed(picture)


# imageio's reader leaves the pipes of its ffmpeg process to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_gymnasiums_mujoco_environments_are_filmed_headless(tmp_path: Path):
    """In a process of its own, where nothing has been drawn before."""
    code = (
        "import sys, gymnasium, metarl\n"
        "from metarl.envs.distributions import Uniform\n"
        "def set_gravity(env, task):\n"
        "    env.unwrapped.model.opt.gravity[2] = task['gravity']\n"
        "make = lambda: gymnasium.make('InvertedPendulum-v5', render_mode='rgb_array')\n"
        "gravity = (Uniform('gravity', -12.0, -8.0),)\n"
        "family = metarl.envs.ForeignFamily('Balance', make, set_gravity, gravity, horizon=4)\n"
        "learner = metarl.MAML(family, tasks=2, rollouts=2, hidden=(4,), threads=1)\n"
        "metarl.render(learner, {'gravity': -10.0}, sys.argv[1], rollouts=2)\n"
    )
    path = tmp_path / "film.mp4"
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MUJOCO_GL")}
    command = [sys.executable, "-c", code, str(path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    pictures = iio.imread(path)
    assert len(pictures) == pytest.approx(5 + 25, abs=1)
    assert (pictures[0] != pictures[4]).any()
    assert pictures[0].std() > 20.0
