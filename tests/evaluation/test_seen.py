"""Returns by what was seen before, against loops written out."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.seen import returns_by_what_was_seen
from metarl.experience.memories import nothing_seen
from metarl.experience.rollouts import Rollouts
from metarl.learner.task_encoder import HIDDEN
from metarl.sampling.streams import Key, Phase

TASKS, ROLLOUTS, HORIZON = 3, 4, 10
SMALL = {"tasks": 4, "rollouts": 4, "hidden": (8,), "threads": 1, "encoder_steps": 2}
KEY = Key(5, Phase.EVALUATE)


@pytest.fixture(scope="module")
def learner() -> metarl.MAML:
    family = envs.make("Point2D", horizon=HORIZON)
    learner = metarl.MAML(family, algorithm="siamese", seed=0, **SMALL)
    learner.learn(2 * 4 * 4 * HORIZON)
    encoder = learner.state.encoder
    assert encoder is not None
    certain = replace(encoder, memory=replace(encoder.memory, tolerance=math.inf))
    learner.state = replace(learner.state, encoder=certain)  # counts are whole numbers
    return learner


@pytest.fixture(scope="module")
def tasks(learner: metarl.MAML) -> envs.Tasks:
    return learner.family.sample_tasks(TASKS, seed=5, split="test")


@pytest.fixture(scope="module")
def first(learner: metarl.MAML, tasks: envs.Tasks) -> Rollouts:
    return learner.sample(tasks, learner.parameters, ROLLOUTS, KEY)


def test_quarters_are_of_the_first_episode(
    learner: metarl.MAML, tasks: envs.Tasks, first: Rollouts
):
    """Ten steps are quarters of 3, 3, 2 and 2 steps; each counts as a whole episode."""
    returns = returns_by_what_was_seen(learner, tasks, first, KEY)
    rewards = first.rewards.double().numpy()
    for name, steps in (
        ("first", (0, 1, 2)),
        ("second", (3, 4, 5)),
        ("third", (6, 7)),
        ("last", (8, 9)),
    ):
        rate = sum(rewards[:, :, step] for step in steps) / len(steps)
        expected = HORIZON * rate
        np.testing.assert_allclose(returns[f"{name} quarter of the first episode"], expected)


def test_rollouts_begin_with_what_others_saw(
    learner: metarl.MAML,
    tasks: envs.Tasks,
    first: Rollouts,
    monkeypatch: pytest.MonkeyPatch,
):
    """With the sum of one, then two memories of its own task; five there are not."""
    begun: list[torch.Tensor] = []
    sample = metarl.MAML.sample

    def watched(self: metarl.MAML, tasks: envs.Tasks, *rest: Any, **named: Any) -> Rollouts:
        begun.append(named["memory"].start)
        assert tasks.values[5].tolist() == tasks.values[4].tolist()  # task 1, rollouts 0 and 1
        return sample(self, tasks, *rest, **named)

    monkeypatch.setattr(metarl.MAML, "sample", watched)
    returns = returns_by_what_was_seen(learner, tasks, first, KEY)
    assert list(returns)[4:] == ["after 1 rollout", "after 2 rollouts"]
    for count, start in zip((1, 2), begun, strict=True):
        for task in range(TASKS):
            for rollout in range(ROLLOUTS):
                expected = torch.zeros(start.shape[-1])
                for other in range(count):
                    expected = expected + first.memories[task, (rollout + other) % ROLLOUTS]
                begin = start[task * ROLLOUTS + rollout]
                torch.testing.assert_close(begin[:HIDDEN], expected[:HIDDEN])
                # what is recent is so for each rollout
                torch.testing.assert_close(begin[HIDDEN:-3], expected[HIDDEN:-3] / count)
                assert begin[-2:].tolist() == [0.0, 0.0], "an episode begins"
        # as many transitions as the rollouts had
        assert start[:, -3].tolist() == [count * HORIZON] * (TASKS * ROLLOUTS)


def test_they_are_part_of_an_evaluation(learner: metarl.MAML, tmp_path: Path):
    evaluation = metarl.evaluate(learner, tasks=TASKS, rollouts=20, steps=1, seed=5)
    assert evaluation.seen is not None
    assert {values.shape for values in evaluation.seen.values()} == {(1, TASKS)}
    early, late = (
        evaluation.seen[f"{name} quarter of the first episode"] for name in ("first", "last")
    )
    assert not np.array_equal(early, late)
    table = str(evaluation).splitlines()
    assert any("after 5 rollouts" in line for line in table)
    saved = json.loads(evaluation.save(tmp_path)[0].read_text())["seen"]
    assert list(saved) == list(evaluation.seen)
    mean = np.mean(evaluation.seen["after 1 rollout"])
    assert saved["after 1 rollout"]["mean"] == pytest.approx(mean)


def test_of_a_single_task_intervals_are_over_rollouts(learner: metarl.MAML):
    evaluation = metarl.evaluate(learner, tasks=1, rollouts=20, steps=1, seed=5)
    assert evaluation.seen is not None
    for words, mean in evaluation.seen_curve().items():
        assert evaluation.seen[words].shape == (1, 20)
        assert mean.low < evaluation.seen[words].mean() < mean.high
    assert "nan" not in str(evaluation)


def test_without_a_number_only_the_memory_adapts(learner: metarl.MAML):
    """Gradient steps of a policy that was trained without them are for those who ask."""
    assert metarl.evaluate(learner, tasks=2, rollouts=3).steps == 1
    assert metarl.evaluate(learner, tasks=2, rollouts=3, steps=2).steps == 2


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([-9.0], "Rollouts seen before add 1.0 [1.0, 1.0] to the first episode's return, 3 test"),
        ([-9.0, -7.0], "return; adding one gradient step helps: 2.0 [2.0, 2.0], 3 test tasks."),
        ([-9.0, -9.5, -10.0], "; adding 2 gradient steps HURTS: -1.0 [-1.0, -1.0], 3 test"),
    ],
)
def test_the_verdict_tells_memory_and_gradient_apart(after: list[float], words: str):
    returns = np.tile([-10.0, *after], (1, 3, 1))
    tasks = envs.Tasks(("x",), np.arange(3.0)[:, None])
    seen = {"after 1 rollout": np.zeros((1, 3))}
    settings = {"inner_lrs": [0.0, 0.03, 0.03][: len(after)]}
    evaluation = Evaluation("Point2D", "siamese", tasks, returns, None, settings, seen=seen)
    assert words in evaluation.verdict()


def test_where_every_step_is_a_gradient_the_verdict_is_on_all_of_them(point: envs.TaskFamily):
    """With a context beside an algorithm that trains through gradient steps."""
    learner = metarl.MAML(
        point, context="siamese", seed=0, tasks=4, rollouts=4, hidden=(8,), threads=1
    )
    evaluation = metarl.evaluate(learner, tasks=2, rollouts=3, steps=2)
    assert evaluation.seen is not None
    assert evaluation.verdict().startswith("Adaptation ")
    assert evaluation.columns()["inner step"] == ["0", "1", "2"]


def test_a_policy_without_memory_has_none(point: envs.TaskFamily, tmp_path: Path):
    learner = metarl.MAML(point, seed=0, tasks=4, rollouts=4, hidden=(8,), threads=1)
    assert nothing_seen(learner.state.memory, 1) is None
    evaluation = metarl.evaluate(learner, tasks=2, rollouts=3)
    assert evaluation.seen is None
    assert "seen" not in json.loads(evaluation.save(tmp_path)[0].read_text())


def test_the_most_likely_actions_are_taken_throughout(
    learner: metarl.MAML, tasks: envs.Tasks, monkeypatch: pytest.MonkeyPatch
):
    asked: list[bool] = []
    sample = metarl.MAML.sample

    def watched(self: metarl.MAML, *rest: Any, **named: Any) -> Rollouts:
        asked.append(named.get("deterministic", False))
        return sample(self, *rest, **named)

    monkeypatch.setattr(metarl.MAML, "sample", watched)
    metarl.evaluate(learner, tasks=tasks, rollouts=2, steps=1, scored=2, deterministic=True)
    assert len(asked) > 2
    assert all(asked)


def test_what_each_step_is_of_a_policy_with_memory(learner: metarl.MAML, tasks: envs.Tasks):
    evaluation = metarl.evaluate(learner, tasks=tasks, rollouts=2, steps=2, scored=2)
    assert evaluation.columns()["inner step"] == [
        "0: nothing seen",
        "1: 2 rollouts seen",
        "2: and a gradient step",
    ]
