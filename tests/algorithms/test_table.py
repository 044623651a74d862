"""The table of meta-learners: what distinguishes each from MAML-TRPO."""

from typing import Any, Literal

import pytest
import torch

import metarl
from metarl import envs
from metarl.algorithms.table import ALGORITHMS, Algorithm
from metarl.learner import config
from tests.conftest import SMALL

CHOICES = [name for name in Algorithm._fields if name not in ("summary", "source")]


def test_every_algorithm_is_another_choice_with_a_source():
    rows = [tuple(getattr(row, name) for name in CHOICES) for row in ALGORITHMS.values()]
    assert len(set(rows)) == len(rows)
    assert all(row.summary and "20" in row.source for row in ALGORITHMS.values())


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("maml-trpo", {}),
        ("maml-vpg", {"outer_step": "gradient"}),
        ("maml-ppo", {"outer_step": "clipped"}),
        ("promp", {"outer_step": "clipped", "penalises_inner_kl": True}),
        ("e-maml", {"credits_exploration": True}),
        ("fomaml", {"first_order": True}),
        ("reptile", {"outer_step": "interpolation"}),
        ("meta-sgd", {"learns_rates": True}),
        ("anil", {"adapts": "head"}),
        ("cavia", {"adapts": "context"}),
        ("pretrain", {"adapts_in_training": False}),
        ("siamese", {"adapts_in_training": False, "outer_step": "clipped"}),
    ],
)
def test_what_an_algorithm_changes_about_maml_trpo(name: str, choices: dict):
    """As the papers have it: each is MAML with one or two choices of its own."""
    base, row = ALGORITHMS["maml-trpo"], ALGORITHMS[name]
    changed = {
        choice: getattr(row, choice)
        for choice in CHOICES
        if getattr(row, choice) != getattr(base, choice)
    }
    assert changed == choices


def test_a_new_row_of_known_choices_is_a_new_algorithm(
    monkeypatch: pytest.MonkeyPatch, point: envs.TaskFamily
):
    """First-order ProMP: it takes no code besides its row and its name among the settings."""
    row = ALGORITHMS["promp"]._replace(first_order=True)
    monkeypatch.setitem(ALGORITHMS, "fo-promp", row)
    monkeypatch.setitem(config._CHOICES, "algorithm", Literal["fo-promp", "promp"])
    settings: dict[str, Any] = {**SMALL, "inner_kl_penalty": 0.0, "outer_lr": 3e-3}
    first = metarl.MAML(point, seed=3, algorithm="fo-promp", **settings)
    second = metarl.MAML(point, seed=3, algorithm="promp", **settings)
    for learner in (first, second):
        learner.learn(1)
    pairs = [(first.parameters[name], second.parameters[name]) for name in first.parameters]
    assert any(not torch.equal(one, other) for one, other in pairs), "the second derivatives count"
    # but they are small: Adam takes both the same way in nearly all coordinates
    start = metarl.MAML(point, seed=3, algorithm="promp", **settings).parameters
    moves = [
        torch.cat([(learner.parameters[name] - start[name]).flatten() for name in start])
        for learner in (first, second)
    ]
    assert torch.nn.functional.cosine_similarity(*moves, dim=0) > 0.5
