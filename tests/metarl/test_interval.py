"""Intervals against scipy's own and against what 95 % means."""

import numpy as np
import pytest
from scipy import stats

from metarl.interval import interval


def test_is_students_interval():
    values = np.array([3.0, 5.0, 4.0, 8.0, -1.0])
    result = interval(values)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert result.mean == pytest.approx(3.8)
    assert (result.low, result.high) == pytest.approx((low, high))
    assert str(result) == f"3.8 [{low:.1f}, {high:.1f}]"


def test_holds_the_true_mean_in_95_of_100_samples():
    draws = np.random.default_rng(0).normal(2.0, 3.0, (4000, 6))
    inside = [(result := interval(row)).low <= 2.0 <= result.high for row in draws]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)
