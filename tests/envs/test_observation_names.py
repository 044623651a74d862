"""Names of observations against what the robots' docstrings say they are."""

import pytest

from metarl import envs
from metarl.envs.observation_names import observation_names


def test_names_of_the_half_cheetah():
    family = envs.make("HalfCheetahVel")
    joints = ["rootz", "rooty", "bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"]
    velocities = [f"{joint} velocity" for joint in ["rootx", *joints]]
    assert observation_names(family.robot, family.model) == [*joints, *velocities]


def test_numbers_that_follow_several_coordinates_are_called_by_their_place():
    family = envs.make("ReacherGoal")
    angles = ["joint0", "joint1", "joint0 #2", "joint1 #2"]  # cosines and sines
    speeds = ["joint0 velocity", "joint1 velocity"]
    assert observation_names(family.robot, family.model) == [
        *angles,
        *speeds,
        "observation 6",
        "observation 7",
    ]


@pytest.mark.parametrize("name", ["Point2D", "AntGoal", "HopperRandParams", "HumanoidDir"])
def test_every_number_has_a_name_of_its_own(name: str):
    family = envs.make(name)
    names = observation_names(family.robot, family.model)
    assert len(set(names)) == family.observation_size
