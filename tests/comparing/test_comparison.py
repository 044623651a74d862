"""What was compared: arithmetic with known answers, plain words, the file."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from metarl.comparing.comparison import Comparison, Curve, joined
from metarl.evaluation.interval import interval


def curve(steps: list[int], means: list[float], asked: int = 0) -> Curve:
    """Two tasks of one run, 1 above and below the mean."""
    returns = np.array([means, means]) + np.array([[-1.0], [1.0]])
    return Curve(np.array(steps), returns[None], asked)


def test_steps_to_a_return_are_interpolated_in_the_logarithm():
    rising = curve([100, 1000, 10_000], [-9.0, -5.0, -3.0])
    assert rising.reaches(-5.0) == pytest.approx(1000.0)
    assert rising.reaches(-4.0) == pytest.approx(10.0**3.5)
    assert rising.reaches(-20.0) == 100.0
    assert math.isinf(rising.reaches(-2.9))
    from_zero = curve([0, 100], [-9.0, -5.0])
    assert from_zero.reaches(-6.0) == 100.0, "there is no logarithm of 0 to go from"


def test_the_answer_is_a_ratio_of_steps():
    comparison = Comparison(
        "Point2D",
        {
            "maml-trpo": curve([0, 100, 2000], [-9.0, -8.0, -4.0], asked=2),
            "PPO from scratch": curve([1000, 100_000], [-8.0, -3.0]),
            "PPO from pretraining": curve([0, 1000], [-8.0, -7.0]),
            "told the task": curve([0], [-1.0]),
        },
        100_000,
        {},
    )
    # -4 lies 4 / 5 of the way from 1,000 to 100,000
    assert comparison.factors("maml-trpo")["PPO from scratch"] == pytest.approx(
        10.0 ** (3 + 1.6) / 2000
    )
    answer = comparison.answer()
    assert "maml-trpo: a return of -4.0 for 2,000 environment steps of the task" in answer
    assert "PPO from scratch needs 19.9 times as many" in answer
    assert "PPO from pretraining does not get there in 1,000, 0 times as many" in answer
    assert "told the task" not in answer
    better = {**comparison.curves, "PPO from pretraining": curve([0, 1000], [-3.9, -8.0])}
    answer = Comparison("Point2D", better, 100_000, {}).answer()
    assert "PPO from pretraining reaches as much before its first step" in answer


def test_intervals_are_over_runs_where_there_are_some():
    returns = np.arange(12.0).reshape(3, 2, 2)
    runs = Curve(np.array([1, 2]), returns)
    assert runs.intervals()[1] == interval(returns[:, :, 1].mean(1))
    alone = Curve(np.array([1, 2]), returns[:1])
    assert alone.intervals()[1] == interval(returns[0, :, 1])


def test_runs_of_one_method_are_joined_in_order_of_appearance():
    """Every number is different, so that a swapped run or method shows."""
    steps = np.array([0, 10])
    first, second, other = (
        Curve(steps, start + np.arange(4.0).reshape(1, 2, 2), asked=1) for start in (0, 10, 20)
    )
    curves = joined([("maml-trpo", first), ("promp", other), ("maml-trpo", second)])
    assert list(curves) == ["maml-trpo", "promp"]
    expected = [[[0.0, 1.0], [2.0, 3.0]], [[10.0, 11.0], [12.0, 13.0]]]
    np.testing.assert_array_equal(curves["maml-trpo"].returns, expected)
    np.testing.assert_array_equal(curves["promp"].returns, other.returns)
    assert curves["maml-trpo"].asked == 1
    assert curves["maml-trpo"].steps.tolist() == [0, 10]


def test_runs_whose_robots_fell_earlier_took_fewer_steps():
    """What a run costs is a mean too."""
    curves = [
        ("promp", Curve(np.array([0, last]), np.zeros((1, 2, 2)), asked=1)) for last in (10, 1000)
    ]
    assert joined(curves)["promp"].steps.tolist() == [0, 505]


def test_the_file_holds_every_number(tmp_path: Path):
    curves = {"maml-trpo": curve([0, 100], [-9.0, -8.0], asked=1), "flat": curve([0], [-1.0])}
    comparison = Comparison("Point2D", curves, 500, {"seed": 3})
    (path,) = comparison.save(tmp_path, "again")
    assert path == tmp_path / "again.json"
    assert json.loads(path.read_text()) == {
        "family": "Point2D",
        "answer": comparison.answer(),
        "budget": 500,
        "curves": {
            "maml-trpo": {"steps": [0, 100], "returns": [[[-10.0, -9.0], [-8.0, -7.0]]]},
            "flat": {"steps": [0], "returns": [[[-2.0], [0.0]]]},
        },
        "settings": {"seed": 3},
    }
