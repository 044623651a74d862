"""Where an arm reaches, against its geometry."""

from pathlib import Path

import numpy as np
import pytest

from metarl.envs.reachable import ENOUGH, NEAR, box_within_reach, tip_of
from metarl.envs.robots.servo_robot import ServoRobot
from metarl.envs.servos import Servos
from tests.envs.legged import ARM, written


def arm(folder: Path, model: str = ARM, stride: float = 1.0, tip: str | None = None) -> ServoRobot:
    servos = Servos(gains=(20.0, 1.0), stride=stride)
    return ServoRobot(written(folder, model), servos=servos, tip=tip)


def nearest(points: np.ndarray, stride: float, rod: float) -> np.ndarray:
    """How near a planar arm of 0.3 m and `rod` m comes to points, by a fine grid of angles."""
    angles = np.linspace(-stride, stride, 161)
    shoulder, elbow = (each.ravel() for each in np.meshgrid(angles, angles))
    x = 0.3 * np.cos(shoulder) + rod * np.cos(shoulder + elbow)
    z = 0.3 - 0.3 * np.sin(shoulder) - rod * np.sin(shoulder + elbow)
    tips = np.stack([x, 0.0 * x, z], axis=1)
    return np.array([np.linalg.norm(tips - point, axis=1).min() for point in points])


@pytest.mark.parametrize("stride", [0.3, 1.0, 2.0])
def test_most_points_of_the_box_are_within_reach(tmp_path: Path, stride: float):
    robot = arm(tmp_path, stride=stride, tip="grasp")
    box = box_within_reach(robot, robot.load())
    points = np.random.default_rng(1).uniform(box.low, box.high, (300, 3))
    within = float((nearest(points, stride, 0.35) < NEAR).mean())
    assert within > ENOUGH - 0.05
    assert within == pytest.approx(box.reachable, abs=0.08)
    assert box.low[1] == box.high[1] == 0.0, "it moves in a plane"


def test_a_longer_stride_reaches_farther(tmp_path: Path):
    areas = []
    for stride in (0.3, 1.0):
        robot = arm(tmp_path, stride=stride, tip="grasp")
        box = box_within_reach(robot, robot.load())
        areas.append((box.high[0] - box.low[0]) * (box.high[2] - box.low[2]))
    assert areas[1] > 3.0 * areas[0]


@pytest.mark.parametrize(
    ("end", "tip"),
    [
        ('<body name="hand" pos="0.3 0 0"><geom size="0.03"/></body>', "hand"),
        ('<site name="finger" pos="0.3 0 0"/>', "finger"),
        ("", "lower"),  # nothing but the joint's own frame has a name
    ],
)
def test_the_tip_is_what_is_farthest_behind_the_last_joint(tmp_path: Path, end: str, tip: str):
    start = ARM.index('<body name="hand"')
    stop = ARM.index("</body>", start) + len("</body>")
    robot = arm(tmp_path, ARM[:start] + end + ARM[stop:])
    assert tip_of(robot, robot.load()) == tip


def test_an_action_is_told_by_its_actuator_and_joint(tmp_path: Path):
    robot = arm(tmp_path)
    assert robot.driven(robot.load()) == [("shoulder", 0), ("elbow", 1)]
