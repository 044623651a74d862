"""Rewards that are sums of terms."""

from typing import Any

import numpy as np
import pytest

from metarl.envs.distributions import Uniform
from metarl.envs.goal import Goal, Step, Term

SPEED = Term("speed", 2.0, lambda step, task: step.velocity[:, 0] - task["wanted"])
POWER = Term("power", -0.5, lambda step, _: np.abs(step.seen["torque"]).sum(axis=1), ("torque",))
STEP = Step(np.zeros((3, 1)), np.array([[1.0], [2.0], [3.0]]), 0.5, {"torque": np.eye(3, 4)})
TASK = {"wanted": np.array([1.0, 0.0, -1.0])}


def goal() -> Goal:
    return Goal.of_terms("run", (Uniform("wanted", -1.0, 1.0),), (SPEED, POWER), tracks=("x",))


def test_the_reward_is_the_sum_of_its_parts():
    parts = goal().parts(STEP, TASK)
    np.testing.assert_allclose(parts["speed"], [2.0, 8.0, 14.0])
    np.testing.assert_allclose(parts["power"], [-0.5, -0.5, -0.5])
    np.testing.assert_array_equal(goal().reward(STEP, TASK), parts["speed"] + parts["power"])


def test_a_goal_sees_what_its_terms_see():
    assert goal().sees == ("torque",)
    assert goal().tracks == ("x",)
    assert [term.name for term in goal().terms] == ["speed", "power"]


def test_a_goal_without_terms_has_no_parts():
    assert Goal("stand", (), lambda step, _: step.after[:, 0]).parts(STEP, TASK) == {}


@pytest.mark.parametrize("terms", [(), (SPEED, SPEED)])
def test_terms_need_names_of_their_own(terms: tuple[Term, ...]):
    with pytest.raises(ValueError, match="terms with a name of their own each, got"):
        Goal.of_terms("run", (), terms)


def test_a_sum_of_terms_is_its_own_formula():
    assert goal().formula == "2 speed - 0.5 power"
    assert Goal.of_terms("run", (), (SPEED, POWER), formula="v").formula == "v"


def test_a_constant_term_counts_for_every_simulation():
    alive = Term("alive", 0.5, lambda step, task: 1.0)  # type: ignore[arg-type, return-value]
    both = Goal.of_terms("run", (), (alive, SPEED))
    np.testing.assert_allclose(both.parts(STEP, TASK)["alive"], [0.5] * 3)
    np.testing.assert_allclose(both.reward(STEP, TASK), [2.5, 8.5, 14.5])


def test_a_term_of_another_shape_is_refused():
    column = Term("x", 1.0, lambda step, task: step.after)
    with pytest.raises(ValueError, match=r"the term 'x' must be \[3\], .* got \[3, 1\]"):
        Goal.of_terms("run", (), (column, SPEED)).reward(STEP, TASK)


@pytest.mark.parametrize("name", ["reached", "succeeds"])
@pytest.mark.parametrize(
    ("flags", "got"),
    [
        (lambda step, _: step.after > 1.0, r"\[3, 1\] of bool"),
        (lambda step, _: (step.after[:, 0] > 1.0).astype(int), r"\[3\] of int64"),
        (lambda step, _: step.after[:2, 0] > 1.0, r"\[2\] of bool"),
    ],
)
def test_ends_and_successes_are_a_flag_for_each_simulation(name: str, flags, got: str):
    settings: Any = {name: flags}
    wrong = Goal("run", (), lambda step, _: step.after[:, 0], **settings)
    ask = wrong.ends if name == "reached" else wrong.succeeded
    with pytest.raises(ValueError, match=rf"{name} of the goal 'run' must be \[3\] .*got {got}"):
        ask(STEP, TASK)
    settings = {name: lambda step, _: step.after[:, 0] > 1.0}
    right = Goal("r", (), wrong.reward, **settings)
    ask = right.ends if name == "reached" else right.succeeded
    assert ask(STEP, TASK).tolist() == [False, True, True]
