"""What a study searches for: five settings, those that the algorithm uses, around its defaults."""

from typing import Any

import optuna
import pytest

from metarl.algorithms.table import ALGORITHMS
from metarl.learner.config import Config
from metarl.learner.defaults import defaults
from metarl.search_space import BATCH, COUNT, batches, of_defaults, search_space, suggested


def config_of(algorithm: str, **changes: Any) -> Config:
    return Config(**{**defaults("HalfCheetahVel", "default", algorithm), **changes})


def names(algorithm: str, *held: str) -> list[str]:
    space = search_space(config_of(algorithm), held)
    return [part if isinstance(part, str) else part.name for part in space]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("maml-trpo", ["inner_lr", "max_kl", "gae_lambda", BATCH, "discount"]),
        ("promp", ["inner_lr", "outer_lr", "outer_epochs", "gae_lambda", BATCH]),
        ("siamese", ["encoder_lr", "outer_lr", "outer_epochs", "gae_lambda", BATCH]),
        ("pretrain", ["max_kl", "gae_lambda", BATCH, "discount", "initial_std"]),
        ("reptile", ["inner_lr", "interpolation", "gae_lambda", BATCH, "discount"]),
    ],
)
def test_the_five_settings_of_an_algorithm(algorithm: str, expected: list[str]):
    assert names(algorithm) == expected


def test_what_is_given_is_not_searched_for():
    space = names("maml-trpo", "inner_lr", "tasks")
    assert space == ["max_kl", "gae_lambda", "discount", "initial_std"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_suggestion_is_allowed_and_the_first_is_the_default(algorithm: str):
    config = config_of(algorithm)
    space = search_space(config, ())
    assert len(space) == COUNT
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(of_defaults(space, config))
    fields = vars(config)
    first = suggested(study.ask(), space, config)
    assert first == {name: fields[name] for name in first}
    for _ in range(20):
        settings = suggested(study.ask(), space, config)
        changed = Config.of({**fields, **settings})
        assert changed.tasks * changed.rollouts == config.tasks * config.rollouts


def test_batches_hold_as_many_rollouts():
    assert batches(Config(tasks=20, rollouts=20)) == ["10x40", "20x20", "40x10"]
    assert batches(config_of("siamese")) == ["10x8", "20x4", "40x2"], "episodes come in pairs"
    assert batches(Config(tasks=1, rollouts=3)) == ["1x3"]
