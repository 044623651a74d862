"""The demo, short: everything once, and nobody's files lost."""

from pathlib import Path
from typing import Any

import pytest

import metarl
from metarl import envs
from metarl.demo import demo
from metarl.system.ownership import owned
from tests.conftest import SMALL


@pytest.mark.slow
def test_writes_what_it_promises_and_replaces_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nothing draws\nhere")

    def small(_: str, **settings: Any) -> metarl.MAML:
        family = envs.make("HalfCheetahDir", horizon=20)
        return metarl.MAML(family, **{**SMALL, "rollouts": 4, "encoder_steps": 2, **settings})

    for films in (True, False):
        if not films:  # again, and nobody is there to see how well it learns
            monkeypatch.setattr("metarl.demo.render", fail)
            monkeypatch.setattr("metarl.demo.MAML", small)
        evaluation, files = demo(tmp_path / "demo", 80_000 if films else 300, seed=0)
        assert evaluation.returns.shape == (1, 40, 3)
        assert set(files) == {"run", "numbers", "figure"} | ({"video"} if films else set())
        assert all(path.exists() for path in files.values())
        assert ("no video: nothing draws here\n" in capsys.readouterr().err) is not films
    (tmp_path / "empty").mkdir()
    demo(tmp_path / "empty", 300, seed=0)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="not an earlier demo"):
        demo(tmp_path / "thesis", 80_000, seed=0)
    assert (tmp_path / "thesis" / "config.json").exists()


def test_a_demo_is_not_lost_to_bad_settings_or_while_it_runs(tmp_path: Path):
    for name in ("DEMO", "adaptation.mp4"):
        (tmp_path / name).write_text("from before")
    with pytest.raises(ValueError, match="total_timesteps must be"):
        demo(tmp_path, 0, seed=0)
    with pytest.raises(ValueError, match="seed must be"):
        demo(tmp_path, 300, seed=-1)
    with owned(tmp_path), pytest.raises(ValueError, match="in use"):
        demo(tmp_path, 300, seed=0)
    assert (tmp_path / "adaptation.mp4").exists()
