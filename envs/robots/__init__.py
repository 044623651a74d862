"""The robots, one a file."""

from envs.robots.ant import Ant
from envs.robots.half_cheetah import HalfCheetah
from envs.robots.hopper import Hopper
from envs.robots.humanoid import Humanoid
from envs.robots.point import Point
from envs.robots.pusher import Pusher
from envs.robots.reacher import Reacher
from envs.robots.swimmer import Swimmer
from envs.robots.walker2d import Walker2d

__all__ = [
    "Ant",
    "HalfCheetah",
    "Hopper",
    "Humanoid",
    "Point",
    "Pusher",
    "Reacher",
    "Swimmer",
    "Walker2d",
]
