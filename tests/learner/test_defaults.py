"""Which settings hold where the user gives none: the order of precedence, in small tables."""

import pytest

from metarl import envs
from metarl.algorithms.table import ALGORITHMS
from metarl.envs import menagerie_families
from metarl.learner import defaults as module
from metarl.learner.config import Config
from metarl.learner.defaults import NEEDED_BY_ALGORITHM, PUBLISHED, TUNED, defaults


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        module, "TUNED", {("Arm", "promp"): {"inner_lr": 1.0}, ("Arm", "anil"): {"tasks": 1}}
    )
    monkeypatch.setattr(module, "NEEDED_BY_ALGORITHM", {"promp": {"inner_lr": 2.0, "max_kl": 2.0}})
    monkeypatch.setattr(
        module, "PUBLISHED", {"paper": {"": {"inner_lr": 3.0}, "Leg": {"inner_lr": 4.0}}}
    )


@pytest.mark.parametrize(
    ("family", "preset", "algorithm", "expected"),
    [
        ("Arm", "default", "maml-trpo", {}),
        ("Arm", "default", "anil", {"tasks": 1}),
        ("Arm", "default", "promp", {"inner_lr": 1.0, "max_kl": 2.0}),
        ("Arm", "paper", "promp", {"inner_lr": 3.0, "max_kl": 2.0}),
        ("Leg", "paper", "promp", {"inner_lr": 4.0, "max_kl": 2.0}),
        ("Leg", "paper", "maml-trpo", {"inner_lr": 4.0}),
        ("Leg", "default", "maml-trpo", {}),
        ("Leg", "unknown", "promp", {"inner_lr": 2.0, "max_kl": 2.0}),
    ],
)
def test_the_variant_comes_before_what_was_tuned_before_what_the_algorithm_needs(
    tables: None, family: str, preset: str, algorithm: str, expected: dict
):
    assert defaults(family, preset, algorithm) == {**expected, "algorithm": algorithm}


def test_the_tables_name_what_there_is():
    assert set(NEEDED_BY_ALGORITHM) <= set(ALGORITHMS)
    for family, algorithm in TUNED:
        assert family in {*envs.families(), *menagerie_families.ENTRIES}
        assert algorithm in ALGORITHMS
    for preset, families in PUBLISHED.items():
        for name in set(families) - {""}:
            assert preset in envs.presets(name)


def test_every_combination_of_them_is_allowed():
    presets = ["default", *PUBLISHED]
    for family in ("", *envs.families()):
        for preset in presets:
            for algorithm in ALGORITHMS:
                Config.of(defaults(family, preset, algorithm))
