"""Intervals against known answers and against what 95 % means."""

import numpy as np
import pytest
from scipy import stats

from metarl.evaluation.interval import interquartile, interval


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


def test_interquartile_mean_by_hand():
    """Of eight values the middle four count, wherever they come from."""
    runs = np.array([[9.0, 1.0, -500.0, 4.0], [2.0, 300.0, 3.0, 0.0]])
    result = interquartile(runs)
    assert result.mean == pytest.approx((1.0 + 2.0 + 3.0 + 4.0) / 4.0)
    assert result.low < result.mean < result.high
    same = interquartile(np.full((1, 5), 3.0))
    assert same == (3.0, 3.0, 3.0)


def test_whole_runs_are_drawn_again():
    """Runs that differ a lot leave much uncertain; runs that are equal add nothing."""
    result = interquartile(np.repeat([[0.0], [50.0], [100.0]], 40, axis=1))
    assert result.low < 10.0
    assert result.high > 90.0
    run = np.random.default_rng(2).normal(0.0, 1.0, (1, 30))
    once, thrice = interquartile(run), interquartile(np.repeat(run, 3, axis=0))
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.15)


def test_interquartile_interval_holds_the_truth_at_its_rate():
    """The middle half of a symmetric distribution has its centre as mean; heavy tails included."""
    draws = 2.0 + np.random.default_rng(1).standard_t(2, (400, 1, 80))
    inside = [(r := interquartile(each, resamples=400)).low <= 2.0 <= r.high for each in draws]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)
