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
    assert course.to_dict()["seconds"] == [1.25, None, 0.5]
    np.testing.assert_allclose(course.smooth[:, 8], rewards[:, 8], err_msg="across the change")
    np.testing.assert_allclose(course.smooth[:, 5], 4.5)


def test_recovery_after_two_seconds_is_too_late():
    rewards = np.concatenate([np.ones((2, 4)), np.zeros((2, 10)), np.ones((2, 10))], axis=1)
    course = Course(rewards, np.ones(2), change=4, dt=0.25)
    np.testing.assert_allclose(course.seconds(), 3.0)
    assert course.recovered == 0.0
