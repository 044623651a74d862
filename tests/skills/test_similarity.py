"""Similarity of tasks: what the encoder is given, that it learns, that its file is safe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.siamese import SiameseEncoder
from metarl.evaluation.retrieval import retrieval
from metarl.experience.rollouts import Rollouts
from metarl.experience.transitions import Pairs, transitions
from metarl.sampling.streams import Key, Phase
from metarl.skills.similarity import before_adaptation, closest
from tests.conftest import SMALL

TINY: dict[str, Any] = {
    "tasks": 12,
    "rollouts": 2,
    "window": 6,
    "hidden": 8,
    "batch": 6,
    "iterations": 3,
}


@pytest.fixture(scope="module")
def cheetah() -> metarl.MAML:
    return metarl.MAML(envs.make("HalfCheetahVel", horizon=20), seed=3, **SMALL)


@pytest.fixture(scope="module")
def similarity(cheetah: metarl.MAML) -> metarl.Similarity:
    return metarl.train_similarity(cheetah, tasks=100, window=20, hidden=32, iterations=400)


def that_sees(rollouts: Rollouts) -> SiameseEncoder:
    """An encoder of such rollouts, for which actions cost nothing."""
    sizes = rollouts.observations.shape[-1], rollouts.actions.shape[-1]
    return SiameseEncoder(*sizes, generator=torch.Generator())


def test_transitions_end_with_the_final_observation():
    learner = metarl.MAML("HopperRandParams", **SMALL)  # its rollouts end at different lengths
    tasks = learner.family.sample_tasks(3, seed=0)
    rollouts = before_adaptation(learner, tasks, 4, Key(0, Phase.SIMILARITY))
    found = transitions(rollouts, that_sees(rollouts))
    lengths = rollouts.lengths
    assert len(lengths.unique()) > 3
    for task in range(3):
        for rollout in range(4):
            seen = rollouts.observations[task, rollout]
            last = int(lengths[task, rollout]) - 1
            for step in (0, last // 2, last):
                after = (
                    seen[step + 1] if step < last else rollouts.final_observations[task, rollout]
                )
                earned = rollouts.rewards[task, rollout]
                reward, before = earned[step].view(1), earned[max(0, step - 1)]
                action = rollouts.actions[task, rollout, step]
                row = [seen[step], action, reward, after, reward - before]
                assert found[task, rollout, step].equal(torch.cat(row))


def test_pairs_are_windows_of_two_rollouts_of_one_task(cheetah: metarl.MAML):
    tasks = cheetah.family.sample_tasks(5, seed=0)
    rollouts = before_adaptation(cheetah, tasks, 3, Key(0, Phase.SIMILARITY))
    encoder = that_sees(rollouts)
    pairs = Pairs(transitions(rollouts, encoder), rollouts.valid, torch.arange(25.0).view(5, 5))
    windows, valid, apart = pairs.draw(4, 6, torch.Generator().manual_seed(0))
    assert windows.shape == (2, 4, 6, cheetah.family.observation_size * 2 + 6 + 2)
    assert valid.all()
    every = transitions(rollouts, encoder)
    for index in range(4):
        places = []
        for branch in range(2):
            hits = (every == windows[branch, index, 0]).all(-1).nonzero()
            (place,) = hits.tolist()
            places.append(place)
            task, rollout, start = place
            assert windows[branch, index].equal(every[task, rollout, start : start + 6])
        assert places[0][0] == places[1][0]
        assert places[0][1] != places[1][1]
        # the differences belong to the same tasks
        assert apart[index, index] == 6.0 * places[0][0]


def test_learns_how_far_wanted_speeds_are_apart(
    cheetah: metarl.MAML, similarity: metarl.Similarity
):
    found = retrieval(cheetah, similarity, known=60, tasks=40)
    assert found.correlation > 0.9
    assert found.hit_rate > 0.8
    assert found.auroc is not None
    assert found.auroc > 0.9
    assert "Spearman" in str(found)


def test_tells_known_tasks_from_those_outside(cheetah: metarl.MAML, similarity: metarl.Similarity):
    share = {}
    for split in ("test", "extrapolate"):
        tasks = cheetah.family.sample_tasks(60, seed=9, split=split)
        rollouts = before_adaptation(cheetah, tasks, 1, Key(5, Phase.SIMILARITY))
        share[split] = similarity.is_novel(rollouts).mean()
    assert share["test"] < 0.2
    assert share["extrapolate"] > 0.8


def test_nearest_against_brute_force(cheetah: metarl.MAML, similarity: metarl.Similarity):
    tasks = cheetah.family.sample_tasks(3, seed=1, split="test")
    rollouts = before_adaptation(cheetah, tasks, 2, Key(1, Phase.SIMILARITY))
    distances, indices = similarity.nearest(rollouts, 4)
    new, known = similarity.embed(rollouts).numpy(), similarity.embeddings.numpy()
    for task in range(3):
        expected = np.linalg.norm(known - new[task], axis=1)
        assert indices[task].tolist() == np.argsort(expected)[:4].tolist()
        np.testing.assert_allclose(distances[task], np.sort(expected)[:4], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="k must be 1 to 100, the known tasks, got 101"):
        similarity.nearest(rollouts, 101)


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "info-nce"])
def test_every_loss_trains_and_is_reproducible(cheetah: metarl.MAML, loss: str):
    before = {name: value.clone() for name, value in cheetah.parameters.items()}
    first = metarl.train_similarity(cheetah, loss=loss, **TINY)
    again = metarl.train_similarity(cheetah, loss=loss, **TINY)
    other = metarl.train_similarity(cheetah, loss=loss, **TINY, seed=1)
    assert first.embeddings.equal(again.embeddings)
    assert first.threshold == again.threshold > 0.0
    assert not first.embeddings.equal(other.embeddings)
    assert all(value.equal(before[name]) for name, value in cheetah.parameters.items())


def test_saved_and_loaded_it_is_the_same(
    cheetah: metarl.MAML, similarity: metarl.Similarity, tmp_path: Path
):
    path = tmp_path / "cheetah.safetensors"
    similarity.save(path)
    loaded = metarl.Similarity.load(path)
    rollouts = before_adaptation(cheetah, similarity.tasks[:3], 2, Key(1, Phase.SIMILARITY))
    assert loaded.embed(rollouts).equal(similarity.embed(rollouts))
    assert loaded.distances(rollouts).equal(similarity.distances(rollouts))
    assert loaded.tasks == similarity.tasks
    assert loaded.config == similarity.config
    assert (loaded.family, loaded.threshold) == ("HalfCheetahVel", similarity.threshold)


def test_damaged_and_foreign_files_are_refused(
    cheetah: metarl.MAML, similarity: metarl.Similarity, tmp_path: Path
):
    path = tmp_path / "cheetah.safetensors"
    similarity.save(path)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged"):
        metarl.Similarity.load(torn)
    other = cheetah.save(tmp_path / "learner") or tmp_path / "learner.safetensors"
    with pytest.raises(ValueError, match="checkpoint of a learner, not of a similarity"):
        metarl.Similarity.load(other)
    tensors, data = similarity.contents()
    tensors.pop("encoder/whole.0.bias")
    metarl.system.checkpoint.write(tmp_path / "part.safetensors", tensors, data, kind="similarity")
    with pytest.raises(ValueError, match="does not hold a whole encoder"):
        metarl.Similarity.load(tmp_path / "part.safetensors")
    with pytest.raises(FileNotFoundError):
        metarl.Similarity.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of contrastive, triplet, info-nce, got 'hinge'"),
        ({"rollouts": 1}, "rollouts must be at least 2, got 1"),
        ({"tasks": 9}, "tasks must be at least 10, got 9"),
        ({"margin": 0.0}, "margin must be positive, got 0.0"),
        ({"iterations": 0}, "iterations must be at least 1 for a policy without memory, got 0"),
        (
            {"lr": 1e6, "tasks": 10, "iterations": 50},
            "diverged with lr=1e\\+06: a smaller one may help",
        ),
    ],
)
def test_bad_settings_are_named(cheetah: metarl.MAML, settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        metarl.train_similarity(cheetah, **settings)


def test_what_is_alike_is_not_apart():
    """However many are compared, and however far from 0 they lie."""
    points = 20.0 + torch.randn(100, 16, generator=torch.Generator().manual_seed(0))
    distances, indices = closest(points, points, 1, "known tasks")
    assert (distances == 0.0).all()
    assert indices[:, 0].tolist() == list(range(100))
