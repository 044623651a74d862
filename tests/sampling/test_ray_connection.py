"""What travels to a cluster with a family; nothing here needs Ray."""

import sys
from pathlib import Path

import cloudpickle
import pytest

from metarl import envs
from metarl.sampling.ray_connection import pickled_with_own_modules


def test_a_module_under_two_names_travels_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a package's alias of what it brings along, such as `requests.packages`."""
    (tmp_path / "own_arm.py").write_text("LENGTH = 0.3\n")
    monkeypatch.syspath_prepend(tmp_path)
    import own_arm  # pyright: ignore[reportMissingImports]

    monkeypatch.setitem(sys.modules, "alias_of_own_arm", own_arm)
    before = set(cloudpickle.list_registry_pickle_by_value())
    family = cloudpickle.loads(pickled_with_own_modules(envs.make("Point2D")))
    assert family.name == "Point2D"
    assert set(cloudpickle.list_registry_pickle_by_value()) == before
    monkeypatch.delitem(sys.modules, "own_arm")
