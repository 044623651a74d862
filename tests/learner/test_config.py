"""Settings."""

import dataclasses
import re

import pytest

from metarl.learner.config import Config


def test_every_setting_is_described_and_passes_its_own_check():
    config = Config()
    assert Config.of(dataclasses.asdict(config)) == config
    assert Config(hidden=[3, 4]).hidden == (3, 4)  # type: ignore[arg-type], as JSON has it


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tasks", 0),
        ("tasks", 2.5),
        ("rollouts", 1),
        ("inner_steps", 0),
        ("inner_lr", 0.0),
        ("inner_lr", float("nan")),
        ("inner_lr", float("inf")),
        ("discount", 1.01),
        ("gae_lambda", -0.1),
        ("hidden", (64, 0)),
        ("max_kl", 0.0),
        ("cg_damping", -1.0),
        ("fisher_fraction", 0.0),
        ("backtrack_ratio", 1.5),
        ("seed", -1),
        ("threads", -1),
        ("algorithm", "maml"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: object):
    with pytest.raises(ValueError, match=rf"{name} must be .*, got {re.escape(repr(value))}"):
        Config.of({name: value})


def test_an_unknown_setting_gets_the_nearest_name():
    with pytest.raises(ValueError, match="no setting 'inner_rl'; did you mean inner_lr"):
        Config.of({"inner_rl": 0.1})
