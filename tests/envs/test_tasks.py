"""The table of tasks: what goes in comes out, by index, as text and as JSON."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarl.envs import Tasks


def test_tasks_index_print_and_round_trip():
    tasks = Tasks.from_dicts([{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": -4.0}])
    assert tasks[1] == {"x": 3.0, "y": -4.0}
    assert tasks["y"].tolist() == [2.0, -4.0]
    assert tasks[[1, 0]]["x"].tolist() == [3.0, 1.0]
    assert tasks.repeat(2)["x"].tolist() == [1.0, 1.0, 3.0, 3.0]
    assert Tasks.from_json(tasks.to_json()) == tasks
    assert tasks.label(0) == "x 1.00, y 2.00"
    assert len(str(tasks).splitlines()) == 3
    with pytest.raises(ValueError, match="read-only"):
        tasks.values[0, 0] = 5.0
    with pytest.raises(KeyError, match="no parameter 'z'; there are x, y"):
        tasks["z"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_json_gives_back_every_number_to_the_bit(numbers: list[float]):
    tasks = Tasks(("a b", "x\u00e9"), np.array([numbers, numbers[::-1]]).T)
    again = Tasks.from_json(tasks.to_json())
    assert again == tasks
    assert again.values.tobytes() == tasks.values.tobytes()  # also the sign of zero


def test_a_table_does_not_follow_the_array_it_was_made_of():
    values = np.array([[1.0], [2.0]])
    tasks = Tasks(("x",), values)
    values[0, 0] = 9.0
    assert tasks["x"].tolist() == [1.0, 2.0]


def test_slices_are_tables_and_numpy_integers_are_rows():
    tasks = Tasks(("x", "y"), np.arange(8.0).reshape(4, 2))
    assert tasks[1:3] == Tasks(("x", "y"), np.array([[2.0, 3.0], [4.0, 5.0]]))
    assert tasks[np.int64(3)] == {"x": 6.0, "y": 7.0}  # type: ignore[index]
    assert list(tasks[np.array([True, False, False, True])]["y"]) == [1.0, 7.0]
    assert len(tasks) == 4
    assert tasks != Tasks(("y", "x"), tasks.values)
    assert tasks != "tasks"


def test_many_parameters_are_counted_in_a_label():
    tasks = Tasks(tuple("abcde"), np.zeros((1, 5)))
    assert tasks.label(0) == "5 parameters"
    assert Tasks((), np.zeros((1, 0))).label(0) == ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Tasks(("x",), np.zeros((2, 2))),
            r"need values of shape \[task, 1\], got \[2, 2\]",
        ),
        (lambda: Tasks(("x",), np.zeros(2)), r"need values of shape \[task, 1\], got \[2\]"),
        (lambda: Tasks(("x",), np.array([[np.inf]])), "x must be a finite number, got inf$"),
        (
            lambda: Tasks(("x", "y"), np.array([[0.0, 1.0], [2.0, np.nan]])),
            r"parameter y must be a finite number, got nan \(task 2 of 2\)",
        ),
        (lambda: Tasks.from_dicts([]), "at least 1 task is needed, got 0"),
        (
            lambda: Tasks.from_dicts([{"x": 1.0}, {"y": 1.0}]),
            r"must have the same parameters: x in the first, got y \(task 2 of 2\)",
        ),
        (lambda: Tasks.from_json('{"x": 1.0}'), "must be a JSON list of objects"),
        (lambda: Tasks.from_json("[1.0]"), "must be a JSON list of objects"),
    ],
)
def test_bad_tables_are_refused(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("value", ["fast", None, np.array([1.2]), [1.2]])
def test_a_value_that_is_not_one_number_is_named(value: object):
    with pytest.raises(ValueError, match="velocity must be a number, got "):
        Tasks.from_dicts([{"velocity": value}])  # type: ignore[dict-item]
