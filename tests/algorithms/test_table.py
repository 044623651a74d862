"""The table of meta-learners: what distinguishes each from MAML-TRPO."""

import pytest

from metarl.algorithms.table import ALGORITHMS, Algorithm

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
