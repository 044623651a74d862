"""Partial results: found again as they were, never taken for those of another call."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from metarl.system.partial_results import Arrays, PartialResults

OF = {"checkpoint": "abc", "tasks": [{"x": 0.1}], "budget": (1, 2)}


def arrays() -> Arrays:
    return {
        "z": np.array([0.1, np.nan, -np.inf]),
        "a": np.arange(6).reshape(2, 3).T,  # not contiguous
        "n": np.array(7),
    }


def refuse() -> Arrays:
    raise AssertionError("this part was made already")


def test_a_part_is_made_once_and_comes_back_with_the_same_bits_and_order(tmp_path: Path):
    path = tmp_path / "folder" / "partial.safetensors"
    with suppress(KeyboardInterrupt), PartialResults(path) as partial:
        partial.get("one", OF, arrays)
        partial.get("two", OF, arrays)
        raise KeyboardInterrupt
    with PartialResults(path) as partial:
        kept = partial.get("one", OF, refuse)
        assert list(kept) == ["z", "a", "n"]
        for name, value in arrays().items():
            assert kept[name].dtype == value.dtype
            np.testing.assert_array_equal(kept[name], value)
        assert partial.find("three", OF) is None
        assert path.exists()
    assert list(path.parent.iterdir()) == [], "with the result there is no use for it"


def test_what_something_else_decided_is_passed_over_with_one_line(tmp_path: Path):
    path = tmp_path / "partial.safetensors"
    PartialResults(path).get("one", OF, arrays)
    PartialResults(path).get("one", OF, refuse)
    other = OF | {"checkpoint": "abd", "budget": (1, 3)}
    partial = PartialResults(path)
    words = r"is from an earlier call with other checkpoint, budget: its results are not used"
    with pytest.warns(UserWarning, match=words):
        assert partial.find("one", other) is None
    partial.get("one", other, arrays)
    assert partial.find("one", OF) is None, "without a further line"
    PartialResults(path).get("one", other, refuse)


def test_a_damaged_file_is_passed_over_and_replaced(tmp_path: Path):
    path = tmp_path / "partial.safetensors"
    PartialResults(path).get("one", OF, arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.warns(UserWarning, match=r"is damaged: .* checksum .*: its results are not used"):
        partial = PartialResults(path)
    partial.get("one", OF, arrays)
    assert path.read_bytes() == whole, "the same content gives the same bytes"


def test_without_a_path_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with PartialResults(None) as partial:
        partial.get("one", OF, arrays)
        assert partial.find("one", OF) is None
    assert list(tmp_path.iterdir()) == []
