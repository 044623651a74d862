"""Settings of the encoder."""

import dataclasses
import re

import pytest

from metarl.skills.config import SimilarityConfig


def test_the_defaults_pass_their_own_check():
    config = SimilarityConfig()
    assert SimilarityConfig.of(dataclasses.asdict(config)) == config
    assert SimilarityConfig.of({"tasks": 10, "loss": "triplet"}).tasks == 10


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("loss", "cosine", "one of contrastive, triplet, info-nce"),
        ("tasks", 9, "at least 10"),
        ("rollouts", 1, "at least 2"),
        ("batch", 1, "at least 2"),
        ("embedding_size", 1, "at least 2"),
        ("window", 0, "at least 1"),
        ("hidden", 0, "at least 1"),
        ("seed", -1, "a whole number of at least 0 and below 2^63"),
        ("margin", 0.0, "positive"),
        ("lr", float("inf"), "positive"),
        ("lr", float("nan"), "positive"),
        ("iterations", -1, "at least 0"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: object, allowed: str):
    message = f"{name} must be {allowed}, got {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SimilarityConfig.of({name: value})


def test_an_unknown_setting_gets_the_nearest_name():
    with pytest.raises(ValueError, match="no setting 'windows'; did you mean window"):
        SimilarityConfig.of({"windows": 3})
