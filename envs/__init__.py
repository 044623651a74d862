"""Worlds: robots, what is asked of them, what varies in their bodies, and many of them at once."""

if (
    __name__ == "envs"
):  # found in a checkout's root; a second copy would not know the first's classes
    raise ImportError("metarl's envs are imported as: from metarl import envs")

import metarl.envs.mujoco_import  # noqa: F401, before anything imports MuJoCo
from metarl.envs import dynamics, goals
from metarl.envs.catalogue import families, make, presets
from metarl.envs.family import TaskFamily
from metarl.envs.foreign import ForeignFamily
from metarl.envs.registration import register
from metarl.envs.robot import Robot
from metarl.envs.simulator import Simulator
from metarl.envs.tasks import Tasks

__all__ = [
    "ForeignFamily",
    "Robot",
    "Simulator",
    "TaskFamily",
    "Tasks",
    "dynamics",
    "families",
    "goals",
    "make",
    "presets",
]

register()
