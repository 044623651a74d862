"""Settings of films: what words become, and that their keywords are their fields."""

from collections.abc import Sequence
from typing import get_type_hints

import numpy as np
import pytest

from metarl.evaluation.settings import EvaluationSettings
from metarl.showing.settings import FilmKeywords, FilmSettings, film_settings


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, (0, 1)),
        (3, (0, 3)),
        ((2,), (0, 2)),
        ([0, 1, 3], (0, 1, 3)),
        ((1, 3), (1, 3)),
        ((0, 1.0), (0, 1)),
        (1.0, (0, 1)),
        (np.int64(2), (0, 2)),
    ],
)
def test_a_single_number_of_steps_is_beside_the_policy_before(
    steps: int | Sequence[int], expected: tuple[int, ...]
):
    assert film_settings({"steps": steps}).steps == expected


def test_counts_are_whole():
    settings = film_settings({"height": 720.0, "rollouts": 1e1})  # type: ignore[typeddict-item]
    assert (type(settings.height), settings.height) == (int, 720)
    assert (type(settings.rollouts), settings.rollouts) == (int, 10)
    with pytest.raises(ValueError, match=r"height must be a whole number .* got 720\.5"):
        film_settings({"height": 720.5})  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match="steps must be a whole number of at least 0, got 'a'"):
        film_settings({"steps": "a"})  # type: ignore[typeddict-item]


def test_what_is_left_out_has_its_default():
    assert film_settings({}) == FilmSettings()
    assert film_settings({"ghost": True}) == FilmSettings(ghost=True)
    assert FilmSettings.rollouts == EvaluationSettings.rollouts


def test_keywords_are_the_fields():
    fields = get_type_hints(FilmSettings)
    assert fields.pop("steps") == tuple[int, ...]
    keywords = get_type_hints(FilmKeywords)
    assert keywords.pop("steps") == int | Sequence[int]
    assert keywords == fields
