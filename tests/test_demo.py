"""The demo, short: everything once, and nobody's files lost."""

from pathlib import Path

import pytest

from metarl.demo import demo


def test_writes_what_it_promises_and_replaces_itself_only(tmp_path: Path):
    for _ in range(2):
        evaluation, files = demo(tmp_path / "demo", 80_000, seed=0)
        assert evaluation.returns.shape == (1, 40, 2)
        assert all(path.exists() for path in files.values())
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="not an earlier demo"):
        demo(tmp_path / "thesis", 80_000, seed=0)
    assert (tmp_path / "thesis" / "config.json").exists()
