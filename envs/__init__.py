"""Families of tasks: robots, goals, varying dynamics, and the simulator that steps many at once."""

# a checkout's root has this folder on the path too; a second copy would have classes of its own,
# which the first one's `isinstance` does not know
if __name__ == "envs":
    raise ImportError("metarl's envs are imported as: from metarl import envs")

import metarl.envs.mujoco_import  # noqa: F401, before anything imports MuJoCo
from metarl.envs import dynamics, goals
from metarl.envs.catalogue import families, lacking, make, presets
from metarl.envs.family import Family
from metarl.envs.foreign_family import ForeignFamily, task_through_reset_options
from metarl.envs.registration import register
from metarl.envs.robot import Robot
from metarl.envs.robots.menagerie import MenagerieRobot
from metarl.envs.robots.servo_robot import ServoRobot
from metarl.envs.servos import Physics, Servos
from metarl.envs.simulator import Simulator
from metarl.envs.task_env import task_env_family
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks

__all__ = [
    "Family",
    "ForeignFamily",
    "MenagerieRobot",
    "Physics",
    "Robot",
    "ServoRobot",
    "Servos",
    "Simulator",
    "TaskFamily",
    "Tasks",
    "dynamics",
    "families",
    "goals",
    "lacking",
    "make",
    "presets",
    "task_env_family",
    "task_through_reset_options",
]

register()
