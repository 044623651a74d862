"""Settings: what they work out, and that their keywords are their fields."""

import dataclasses
from typing import get_type_hints

import pytest

from metarl.evaluation import settings
from metarl.evaluation.settings import (
    ComparisonSettings,
    EvaluationSettings,
    settings_of,
)


@pytest.mark.parametrize("kind", ["Evaluation", "Comparison"])
def test_keywords_are_the_fields_but_for_tasks(kind: str):
    """Names and types are written twice, since `Unpack` takes no dataclass: they must agree."""
    fields = get_type_hints(getattr(settings, f"{kind}Settings"))
    assert fields.pop("tasks") is int
    assert get_type_hints(getattr(settings, f"{kind}Keywords")) == fields


def test_keywords_become_settings():
    chosen = settings_of(EvaluationSettings, {"rollouts": 3, "split": "train"})
    assert chosen == EvaluationSettings(rollouts=3, split="train")
    assert settings_of(ComparisonSettings, {}) == ComparisonSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.rollouts = 4  # type: ignore[misc]


def test_an_unknown_setting_is_named_with_the_nearest():
    with pytest.raises(TypeError, match=r"no setting 'rolouts'; did you mean rollouts\?"):
        settings_of(EvaluationSettings, {"rolouts": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", -1), ("steps", 1.5), ("scored", 0), ("scored", -1), ("rollouts", 0), ("seed", -1)],
)
def test_a_value_that_is_not_allowed_is_named(name: str, value: float):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of .*, got {value}"):
        settings_of(EvaluationSettings, {name: value})


def test_a_comparisons_seed_is_checked_too():
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
        settings_of(ComparisonSettings, {"seed": -1})
