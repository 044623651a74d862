"""`Robot`: what a body is, how it starts, what it observes and when it has fallen.

A robot is written once, over arrays with a leading simulation axis [sim]; the simulator steps many
of them and hands over MuJoCo's fields by name. It knows nothing of tasks, rewards or learning.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Fields = Mapping[str, Array]
"""MjData fields by name, each [sim, ...]; `qpos`, `qvel` and `ctrl` may be written."""


class Robot(ABC):
    """A body in a MuJoCo model, read and driven through arrays over simulations.

    A robot of one's own subclasses this and fills in the class attributes and the four methods.
    """

    name: str
    """The name shown to people."""
    mjcf: Path
    """The robot's MJCF file."""
    frame_skip: int
    """Physics steps per control step."""
    fields: tuple[str, ...] = ("qpos", "qvel", "ctrl")
    """The MjData fields that the methods read."""
    camera: tuple[float, float, float] = (4.0, 90.0, -15.0)
    """For films: distance [m], azimuth and elevation [degrees]."""
    tracks: tuple[str, ...] = ("x",)
    """The names of the columns of `position`."""

    @abstractmethod
    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Draw one start state: qpos [nq] and qvel [nv]."""

    @abstractmethod
    def observe(self, fields: Fields) -> Array:
        """Return what the robot senses, [sim, observation]."""

    @abstractmethod
    def position(self, fields: Fields) -> Array:
        """Return where the robot is, [sim, len(tracks)] in m; its rate is the velocity."""

    @abstractmethod
    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Return whether the robot is upright and its state finite, [sim]."""

    def drive(self, fields: Fields, control: Array) -> None:
        """Apply `control` [sim, nu], within the actuators' range, for the coming step."""
        fields["ctrl"][:] = control


def gymnasium_asset(filename: str) -> Path:
    """Return the path of one of Gymnasium's MuJoCo models."""
    return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / filename


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MuJoCo from printing, and from writing MUJOCO_LOG.TXT into the working directory.

    What it would say here is either about models that are not ours or handled by the caller.
    """
    config = mujoco.MjLogConfig.get()
    console, file = config.logto_console, config.logto_file
    config.logto_console = config.logto_file = False
    config.set()
    try:
        yield
    finally:
        config.logto_console, config.logto_file = console, file
        config.set()


@cache
def load_model(mjcf: Path) -> mujoco.MjModel:
    """Compile an MJCF file once; the model is shared, so it must not be written to.

    Raises:
        FileNotFoundError: when there is no such file.
    """
    if not mjcf.is_file():
        raise FileNotFoundError(f"no MJCF file at {mjcf}")
    with quiet():
        return mujoco.MjModel.from_xml_path(str(mjcf))
