"""Which camera is chosen, and that a machine without OpenGL films all the same."""

import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from metarl import envs
from metarl.envs import drawing
from metarl.envs.opengl_camera import OpenGLCamera
from metarl.envs.ray_camera import RayCamera

FAMILY = envs.make("Point2D")
SIZE = (64, 48)
TASK = {"x": 0.2, "y": 0.1}

BARE = """
import ctypes

load = ctypes.CDLL.__init__


def refuse(self, name, *arguments, **options):
    if name and any(part in str(name) for part in ("EGL", "GL.so", "GLX", "GLES", "OSMesa")):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    load(self, name, *arguments, **options)


ctypes.CDLL.__init__ = refuse
"""
"""A `sitecustomize` that makes libraries of OpenGL impossible to load, as if they were missing."""

FILM = """
import sys
import metarl
from metarl import envs

learner = metarl.MAML(envs.make("Point2D", horizon=5), tasks=2, rollouts=2, hidden=(4,), threads=1)
metarl.render(learner, {"x": 0.1, "y": 0.1}, sys.argv[1], rollouts=2, height=120)
metarl.render(learner, {"x": 0.1, "y": 0.1}, sys.argv[1], rollouts=2, height=120, ghost=True)
"""


def test_rays_are_chosen_by_name_and_draw():
    with closing(drawing.camera(FAMILY, SIZE, renderer="rays")) as camera:
        assert isinstance(camera, RayCamera)
        picture = camera.take(FAMILY.model.qpos0, TASK, 0.0)
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10.0


def test_opengl_is_chosen_where_it_works():
    try:
        OpenGLCamera(FAMILY, SIZE).close()
    except RuntimeError as error:
        pytest.skip(f"{error}")
    for renderer in ("auto", "opengl"):
        with closing(drawing.camera(FAMILY, SIZE, renderer=renderer)) as camera:
            assert isinstance(camera, OpenGLCamera)


def test_rays_are_chosen_where_opengl_fails_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> None:
        raise RuntimeError("no OpenGL to draw with (a reason). On Linux install EGL.")

    monkeypatch.setattr(drawing, "OpenGLCamera", fail)
    drawing._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with closing(drawing.camera(FAMILY, SIZE)) as camera:
                assert isinstance(camera, RayCamera)
    drawing._say_once.cache_clear()
    (record,) = caplog.records
    assert record.getMessage() == (
        "no OpenGL to draw with (a reason): pictures are drawn by casting rays"
    )
    with pytest.raises(RuntimeError, match="install EGL"):
        drawing.camera(FAMILY, SIZE, renderer="opengl")


def test_another_renderer_is_refused():
    with pytest.raises(ValueError, match="one of auto, opengl, rays, got 'vulkan'"):
        drawing.camera(FAMILY, SIZE, renderer="vulkan")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems bring their OpenGL")
@pytest.mark.parametrize(
    ("setting", "reason"),
    [(None, "'NoneType' object has no attribute 'eglQueryString'"), ("egl", "has no attribute")],
    ids=["unset", "egl"],
)
def test_a_bare_machine_films(tmp_path: Path, setting: str | None, reason: str):
    """In a process that cannot load OpenGL, with `MUJOCO_GL` unset and asking for EGL."""
    (tmp_path / "sitecustomize.py").write_text(BARE)
    left_out = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if setting:
        environment["MUJOCO_GL"] = setting
    film = tmp_path / "film.mp4"
    done = subprocess.run(
        [sys.executable, "-c", FILM, str(film)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert film.stat().st_size > 1000
    (line,) = done.stderr.strip().splitlines()
    assert reason in line
    assert line.endswith("pictures are drawn by casting rays")
