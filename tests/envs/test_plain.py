"""NumPy's scalars and paths are taken wherever Python's own are."""

import json
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl import envs
from metarl.envs.distributions import Uniform
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.plain import check_seed, plain, whole


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([1, 2]), [1, 2]),
        (np.array(2.5), 2.5),
        (Path("a/b"), "a/b"),
        ([np.int8(1), {"x": (np.float64(2.0), None)}], [1, {"x": (2.0, None)}]),
        ("text", "text"),
    ],
)
def test_values_become_those_that_json_has(value: object, expected: object):
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)
    assert json.loads(json.dumps(result)) == json.loads(json.dumps(expected))


def test_fields_of_families_may_be_numpys():
    ours = envs.make(
        "Point2D", horizon=np.int64(12), action_scale=np.float32(0.5), falls=np.bool_(True)
    )
    foreign = ForeignFamily(
        "Pendulum",
        lambda: gymnasium.make("Pendulum-v1"),
        lambda env, task: None,
        (Uniform("mass", np.float32(0.5), np.float64(2.0)),),  # type: ignore[arg-type]
        horizon=np.int16(12),  # type: ignore[arg-type]
        action_scale=np.float32(0.5),  # type: ignore[arg-type]
    )
    for family in (ours, foreign):
        described = json.loads(json.dumps(family.describe()))
        assert (described["horizon"], described["action_scale"]) == (12, 0.5)
        tasks = family.sample_tasks(np.int64(3), seed=np.int64(1))  # type: ignore[arg-type]
        assert tasks == family.sample_tasks(3, seed=1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("horizon", 2.5, "horizon must be a whole number of steps, got 2.5"),
        ("horizon", "3", "horizon must be a whole number of steps, got '3'"),
        ("horizon", np.int64(0), "horizon must be at least 1 step, got 0"),
        ("action_scale", "1", "action_scale must be positive, got '1'"),
        ("action_scale", np.float32("nan"), "action_scale must be positive, got nan"),
    ],
)
def test_other_types_are_refused_in_a_line(field: str, value: Any, message: str):
    with pytest.raises(ValueError, match=message):
        envs.make("Point2D", **{field: value})


def test_task_parameters_may_be_numpys_and_nothing_but_numbers():
    family = envs.make("Point2D")
    task = {"x": np.float32(0.25), "y": np.array(0.5)}
    assert family.task(task)[0] == {"x": 0.25, "y": 0.5}
    for bad in ("fast", np.zeros(2), {}):
        with pytest.raises(ValueError, match="task parameter x must be a number, got"):
            family.task({"x": bad, "y": 0.0})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3.0), np.array(3)])
def test_counts_of_any_kind_become_whole_numbers(value: Any):
    assert whole("rollouts", value) == 3
    assert type(whole("rollouts", value)) is int


@pytest.mark.parametrize(
    "value", [0, -1, 1.5, "3", None, True, float("nan"), float("inf"), np.float64(2.5), [3]]
)
def test_what_is_no_count_is_named_with_its_value(value: Any):
    expected = f"rollouts must be a whole number of at least 1, got {plain(value)!r}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        whole("rollouts", value)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", None, True, np.int64(-1)])
def test_what_is_no_seed_is_refused_in_one_way(seed: Any):
    message = rf"seed must be a whole number of at least 0 and below 2\^63, got {plain(seed)!r}"
    with pytest.raises(ValueError, match=message):
        check_seed(seed)
    with pytest.raises(ValueError, match=message):
        envs.make("Point2D").sample_tasks(2, seed=(3, seed))
    check_seed(np.uint64(2**63 - 1))
