"""The robots, one a file."""

from metarl.envs.robots.ant import Ant
from metarl.envs.robots.half_cheetah import HalfCheetah
from metarl.envs.robots.hopper import Hopper
from metarl.envs.robots.humanoid import Humanoid
from metarl.envs.robots.point import Point
from metarl.envs.robots.pusher import Pusher
from metarl.envs.robots.reacher import Reacher
from metarl.envs.robots.swimmer import Swimmer
from metarl.envs.robots.walker2d import Walker2d

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
