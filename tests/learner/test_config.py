"""Settings."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.learner.config import Config
from metarl.skills.config import SimilarityConfig
from tests.conftest import SMALL


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
        ("seed", 2**63),
        ("threads", -1),
        ("algorithm", "maml"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: object):
    with pytest.raises(ValueError, match=rf"{name} must be .*, got {re.escape(repr(value))}"):
        Config.of({name: value})


@pytest.mark.parametrize("told", [0.1, 0.2, 0.3, 0.7, 1.0])
def test_all_trials_may_be_told_their_task_or_change(told: float):
    """1 - 0.9 is less than 0.1, as computers count."""
    Config.of({"algorithm": "siamese", "told": told, "changes": 1.0 - told})
    with pytest.raises(ValueError, match=r"told must be at most the .* in which tasks stay"):
        Config.of({"algorithm": "siamese", "told": told, "changes": 1.0 - told + 0.01})


def test_an_unknown_setting_gets_the_nearest_name():
    with pytest.raises(ValueError, match="no setting 'inner_rl'; did you mean inner_lr"):
        Config.of({"inner_rl": 0.1})


NUMPYS = {
    "inner_lr": np.float32(0.5),
    "tasks": np.int64(4),
    "rollouts": np.int32(3),
    "hidden": np.array([8]),
    "normalise_advantages": np.bool_(False),
    "seed": np.uint8(3),
    "threads": np.int64(1),
    "device": torch.device("cpu"),
}


def test_what_could_be_trained_can_be_saved(tmp_path: Path):
    """Settings, counts, seeds and tasks from NumPy give what Python's own numbers give."""
    family = envs.make("Point2D", horizon=np.int64(12), action_scale=np.float32(0.5))
    own = {**SMALL, "normalise_advantages": False, "seed": 3, "device": "cpu"}
    learner = metarl.MAML(family, **NUMPYS)
    assert learner.config == Config.of(own)
    metarl.train(learner, tmp_path / "run", np.int64(200))  # type: ignore[arg-type]
    resumed = metarl.resume(tmp_path / "run", total_timesteps=np.int64(700))  # type: ignore[arg-type]
    expected = metarl.MAML(family, **own).learn(700)
    task = {"x": np.float32(0.25), "y": np.float64(0.5)}
    counts = {name: np.int64(2) for name in ("rollouts", "steps", "seed")}
    adapted = resumed.adapt(task, **counts)  # type: ignore[arg-type]
    plainly = expected.adapt({"x": 0.25, "y": 0.5}, rollouts=2, steps=2, seed=2)
    np.testing.assert_array_equal(adapted.returns, plainly.returns)
    metarl.evaluate(
        resumed,
        tasks=np.int64(3),  # type: ignore[arg-type]
        rollouts=np.int64(2),  # type: ignore[arg-type]
        seed=np.int64(1),  # type: ignore[arg-type]
    ).save(tmp_path / "evaluation.json")
    settings = {"tasks": np.int64(10), "lr": np.float32(1e-3), "iterations": np.int64(2)}
    metarl.train_similarity(resumed, **settings).save(tmp_path / "similarity.safetensors")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("inner_lr", "0.1", "a number, got '0.1'"),
        ("inner_lr", torch.tensor(0.5), r"a number, got tensor\(0.5"),
        ("tasks", True, "a whole number, got True"),
        ("hidden", 64, r"sizes of at least 1, such as \(64, 64\), got 64"),
        ("hidden", np.array([3.5]), r"sizes of at least 1, .* got \(3.5,\)"),
        ("normalise_advantages", 1, "True or False, got 1"),
        ("activation", None, "one of tanh, relu, got None"),
        ("device", 0, "a text, got 0"),
    ],
)
def test_another_type_is_refused_in_a_line(name: str, value: Any, expected: str):
    with pytest.raises(ValueError, match=f"{name} must be {expected}"):
        metarl.MAML("Point2D", **{name: value})
    with pytest.raises(ValueError, match=r"window must be a whole number, got 2.5"):
        SimilarityConfig.of({"window": 2.5})
