"""Worlds: robots, what is asked of them, what varies in their bodies, and many of them at once."""

from envs import dynamics, goals
from envs.catalogue import families, make, presets
from envs.family import TaskFamily
from envs.foreign import ForeignFamily
from envs.registration import register
from envs.robot import Robot
from envs.simulator import Simulator
from envs.tasks import Tasks

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
