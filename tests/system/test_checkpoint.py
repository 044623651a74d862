"""Checkpoints: exact, whole or absent, refused when damaged or foreign."""

import json
import pickle
import resource
import signal
from dataclasses import asdict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file

import metarl
from metarl import envs
from metarl.learner.config import Config
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
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"^{path} is empty$"):
        metarl.load(path)
    for content in (b"not a checkpoint", whole[: len(whole) // 2], whole[:-8], whole[:40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{path} is damaged or not a checkpoint$"):
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
    with pytest.raises(
        ValueError, match=r"has checkpoint version .99.; this metarl reads versions 2 and 3"
    ):
        metarl.load(foreign)


def test_what_is_not_there_is_named_as_it_was_given(tmp_path: Path, run_folder: Path):
    for path in (tmp_path / "nothing", tmp_path / "nothing.safetensors"):
        missing = f"^there is no run folder or checkpoint {path}$"
        with pytest.raises(FileNotFoundError, match=missing):
            metarl.load(path)
    library = tmp_path / "library"
    missing = f"^there is no skill library {library}; metarl similarity"
    with pytest.raises(FileNotFoundError, match=missing):
        metarl.SkillLibrary.load(library)
    meant = rf"is a folder; of a run folder: metarl\.load\('{run_folder}'\)"
    with pytest.raises(ValueError, match=meant):
        metarl.MAML.load(run_folder)
    (run_folder / "checkpoint.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=f"{run_folder} holds no checkpoint.safetensors"):
        metarl.load(run_folder)


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


OLD = Path(__file__).parent / "version_2"
"""A learner, a similarity and a library, as the last commit with that format wrote them."""


def test_files_of_version_2_are_read():
    """With the digest of the policy that was written, and of the one that went on from it."""
    learner = metarl.load(OLD / "checkpoint.safetensors")
    assert (learner.iteration, learner.num_timesteps) == (3, 120)
    written = "7f365fbca4c17858553e94bfb14fc4a24af4a83e0c36978d6864de80ceaa2ca1"
    assert learner.fingerprint == written
    similarity = metarl.Similarity.load(OLD / "similarity.safetensors")
    library = metarl.SkillLibrary.load(OLD / "library.safetensors")
    assert similarity.origin == library.origin == written
    assert (len(similarity.tasks), len(library)) == (10, 3)
    learner.learn(100, reset_num_timesteps=False)
    assert (learner.iteration, learner.num_timesteps) == (6, 240)
    assert learner.fingerprint == "2dcc2470cfd08201662718e8263645fe1ebc99797bcebc544ec3e9132e5747f5"


def test_a_file_of_version_2_is_written_as_version_3_with_the_same_content(tmp_path: Path):
    old = OLD / "checkpoint.safetensors"
    metarl.load(old).save(tmp_path / "new.safetensors")
    before, after = checkpoint.read(old), checkpoint.read(tmp_path / "new.safetensors")
    assert after.tensors.keys() == before.tensors.keys()
    assert all(torch.equal(after.tensors[name], value) for name, value in before.tensors.items())
    # settings that came later have their defaults
    config = after.data.pop("config")
    assert config == json.loads(json.dumps(asdict(Config()))) | before.data.pop("config")
    assert all(after.data[name] == before.data[name] for name in before.data if name != "versions")
    assert b'"version":"3"' in (tmp_path / "new.safetensors").read_bytes()


def test_the_same_content_is_the_same_bytes(tmp_path: Path):
    tensors = {name: torch.arange(3.0) for name in "cab"}
    for name, order in (("a", 1), ("b", -1)):
        data = dict([("x", 1), ("y", [2.5])][::order])
        checkpoint.write(tmp_path / name, dict(list(tensors.items())[::order]), {"d": data["y"]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert safetensors.torch.load_file(tmp_path / "a").keys() == tensors.keys(), "for any reader"


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_refused(tmp_path: Path, stride: int):
    """In the length, the header with its names and its checksum, the padding, the tensors."""
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {"w": torch.arange(5.0)}, {"seed": 3})
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), stride):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"a\.safetensors (is|has)"):
            checkpoint.read(path)
    path.write_bytes(whole)
    assert checkpoint.read(path).data == {"seed": 3}


def test_whatever_a_wrong_value_leads_to_is_told_in_one_line(tmp_path: Path):
    for error in (
        KeyError("x"),
        TypeError("a\nb"),
        RuntimeError("\x1b[31mred"),
        ValueError("y" * 999),
    ):
        with (
            pytest.raises(ValueError, match="does not hold a whole thing") as raised,
            checkpoint.sound(tmp_path / "f", "thing"),
        ):
            raise error
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 500


def test_a_full_disk_leaves_the_old_file_and_is_told(learner: metarl.MAML, tmp_path: Path):
    """Files of this process may grow no further: the kernel refuses the write itself."""
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot be written: File too large; .* is unchanged"):
            learner.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["learner.safetensors"]


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
