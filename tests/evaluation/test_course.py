"""Dip and recovery, against numbers worked out by hand."""

import numpy as np
import pytest

from metarl.evaluation.course import Course


def test_numbers_by_hand():
    """Steps of a quarter second: rates are means of two. The steady rate is 3."""
    rewards = np.zeros((3, 20))
    rewards[:, :8] = np.arange(8.0)  # 4 to 7 in the second before the change
    rewards[0, 8:] = [-4, -2, 0, 2, 3, 3, 3, 3, 3, 3, 3, 3]  # rates -3, -1, 1, 2.5, 3
    rewards[1, 8:] = [-4, -2, *[0] * 10]
    rewards[2, 8:] = [3] * 12
    course = Course(rewards, np.full(3, 3.0), change=8, dt=0.25)
    np.testing.assert_allclose(course.before, 5.5)
    np.testing.assert_allclose(course.rates[0, :5], [-3, -1, 1, 2.5, 3])
    np.testing.assert_allclose(course.dip, [-3, -3, 3])
    np.testing.assert_allclose(course.soon[:, -1], [3, 0, 3])
    # 90 % of the way from -3 to 3 is 2.4: the window that ends after 5 steps; half-way is 0
    np.testing.assert_allclose(course.seconds(), [1.25, np.inf, 0.5])
    np.testing.assert_allclose(course.seconds(0.5), [1.0, 1.0, 0.5])
    assert course.recovered == pytest.approx(2 / 3)
    assert course.columns()["90 %"] == "1.25 s"
    # 90 % of the rate is 2.7: after 6 steps, never and at once
    assert course.regained == pytest.approx(2 / 3)
    assert course.columns()["of the rate"] == "67%"
    assert course.to_dict()["seconds"] == [1.25, None, 0.5]
    np.testing.assert_allclose(course.smooth[:, 8], rewards[:, 8], err_msg="across the change")
    np.testing.assert_allclose(course.smooth[:, 5], 4.5)


def test_recovery_after_two_seconds_is_too_late():
    rewards = np.concatenate([np.ones((2, 4)), np.zeros((2, 10)), np.ones((2, 10))], axis=1)
    course = Course(rewards, np.ones(2), change=4, dt=0.25)
    np.testing.assert_allclose(course.seconds(), 3.0)
    assert course.recovered == 0.0


def test_a_part_of_a_rate_that_is_not_above_zero_says_nothing():
    course = Course(np.full((2, 20), -0.5), np.array([0.5, -1.0]), change=4, dt=0.25)
    assert course.regained is None
    assert course.columns()["of the rate"] == "-"
    assert course.times()["regained_within_2_s"] is None


def test_a_task_without_a_rate_to_come_back_to_is_not_regained():
    course = Course(np.ones((2, 20)), np.array([1.0, -0.2]), change=4, dt=0.25)
    assert course.regained == 0.5


def test_who_hardly_dips_has_regained_its_rate():
    """A twentieth of the rate is lost for good: not nine tenths of the way, but of the rate."""
    course = Course(np.full((2, 20), 0.95), np.ones(2), change=4, dt=0.25)
    assert course.recovered == 0.0
    assert course.regained == 1.0


def test_a_robot_that_has_fallen_has_not_recovered():
    """Where every step costs something, nothing costs less than to lie there."""
    rewards = np.concatenate([np.full((2, 4), -0.5), np.full((2, 4), -2.0), np.zeros((2, 12))], 1)
    rewards[1, 8:] = -0.5
    steady = np.full(2, -0.5)
    course = Course(rewards, steady, change=4, dt=0.25, lengths=np.array([8, 20]))
    np.testing.assert_allclose(course.seconds(), [np.inf, 1.5])
    assert course.recovered == 0.5
