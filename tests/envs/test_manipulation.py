"""Pushing with the tip behind the object: the reward by hand, and its formula."""

import numpy as np
import pytest

from metarl.envs import goals
from metarl.envs.goal import Step

GOAL = goals.push_to((-1.0, -1.0), (1.0, 1.0), height=0.4, near_weight=2.0, behind=0.06)
TASK = {"x": np.array([0.5]), "y": np.array([0.2])}


def reward(tip: list[float], pushed: list[float]) -> float:
    now = np.array([[*tip, *pushed]])
    return float(GOAL.reward(Step(now, now, 0.04), TASK)[0])


def test_the_tip_belongs_on_the_line_from_the_point_through_the_object():
    # 0.3 m from the point along y: 6 cm * 0.3 / 0.32 behind the object
    behind = [0.5, -0.1 - 0.05625, 0.4]
    assert reward(behind, [0.5, -0.1, 0.4]) == pytest.approx(-0.3)
    before = [0.5, -0.1 + 0.05625, 0.4]
    assert reward(before, [0.5, -0.1, 0.4]) == pytest.approx(-0.3 - 2.0 * 0.1125)
    above = [0.5, -0.1, 0.4 + 0.05625]
    assert reward(above, [0.5, -0.1, 0.4]) == pytest.approx(-0.3 - 2.0 * 0.05625 * 2**0.5)


def test_at_the_point_it_belongs_at_the_object():
    assert reward([0.5, 0.2, 0.4], [0.5, 0.2, 0.4]) == 0.0
    sides = [reward([0.5 + x, 0.2 + y, 0.4], [0.5, 0.2, 0.4]) for x, y in ((0.03, 0), (0, -0.03))]
    assert sides == pytest.approx([-0.06, -0.06])


def test_the_formula_says_so():
    assert GOAL.formula == (
        "-distance of object and point - 2 distance of tip and place 6 cm behind it"
    )
    plain = goals.push_to((-1.0, -1.0), (1.0, 1.0), height=0.4)
    assert plain.formula == "-distance of object and point - 0.5 distance of tip and object"


def test_a_fixed_point_is_a_goal_too():
    goal = goals.reach_in_box(
        (0.1, 0.2, 0.3), (0.1, 0.2, 0.3), tracks=("x", "y", "z"), success_within=0.05
    )
    places = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.8]])
    step = Step(places, places, 0.1, {})
    np.testing.assert_allclose(goal.reward(step, {}), [0.0, -0.5])
    assert goal.succeeds is not None
    assert goal.succeeds(step, {}).tolist() == [True, False]
