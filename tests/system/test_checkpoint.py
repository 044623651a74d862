"""Checkpoints: exact, whole or absent, refused when damaged or foreign."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import metarl
from metarl import envs
from metarl.system import checkpoint


def test_a_learner_comes_back_exactly(learner: metarl.MAML, tmp_path: Path):
    learner.learn(200)
    learner.save(tmp_path / "learner")
    loaded = metarl.load(tmp_path / "learner.safetensors")
    assert loaded.config == learner.config
    assert loaded.family.describe() == learner.family.describe()
    assert (loaded.iteration, loaded.num_timesteps) == (learner.iteration, learner.num_timesteps)
    assert all(torch.equal(loaded.parameters[n], p) for n, p in learner.parameters.items())


def test_damaged_files_are_refused(learner: metarl.MAML, tmp_path: Path):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    whole = path.read_bytes()
    for content in (b"", b"not a checkpoint", whole[: len(whole) // 2], whole[:-8], whole[:40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged or not a checkpoint"):
            metarl.load(path)


def test_foreign_files_are_refused_and_never_run(tmp_path: Path):
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "boom",))

    pickled = tmp_path / "model.zip"
    pickled.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="is damaged or not a checkpoint"):
        metarl.load(pickled)
    assert not (tmp_path / "boom").exists()

    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    with pytest.raises(ValueError, match="but not a metarl checkpoint"):
        metarl.load(foreign)
    save_file({"w": torch.zeros(3)}, foreign, {"format": checkpoint.FORMAT, "version": "99"})
    with pytest.raises(ValueError, match="has checkpoint version .99.; this metarl reads versions 2 and 3"):
        metarl.load(foreign)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        metarl.load(tmp_path / "nothing.safetensors")


def test_parameters_that_do_not_fit_are_refused(learner: metarl.MAML, tmp_path: Path):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    tensors, data = checkpoint.read(path)
    checkpoint.write(path, {**tensors, "bias0": torch.zeros(99)}, data)
    with pytest.raises(ValueError, match="holds other parameters than its settings call for"):
        metarl.load(path)


def test_a_family_of_ones_own_must_be_given_and_must_be_the_same(tmp_path: Path):
    own = envs.make("Point2D", horizon=5).replace(name="MyPoint")
    learner = metarl.MAML(own, hidden=(4,))
    path = tmp_path / "own.safetensors"
    learner.save(path)
    with pytest.raises(ValueError, match=r"MyPoint, which is not in the catalogue; pass it"):
        metarl.load(path)
    with pytest.raises(ValueError, match="horizon was 5 and is 6"):
        metarl.load(path, family=own.replace(horizon=6))
    assert metarl.load(path, family=own).family is own


def test_a_failed_write_leaves_the_old_file(learner: metarl.MAML, tmp_path: Path, monkeypatch):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        learner.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["learner.safetensors"]
