"""The robots, one a file."""

from envs.robots.ant import Ant
from envs.robots.half_cheetah import HalfCheetah
from envs.robots.point import Point

__all__ = ["Ant", "HalfCheetah", "Point"]
