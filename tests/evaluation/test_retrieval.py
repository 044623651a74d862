"""How well tasks are told apart: measures by hand, plain words, the file."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import metarl
from metarl import envs
from metarl.evaluation.retrieval import Retrieval, retrieval
from tests.conftest import SMALL


def invented(novelty: list[float], outside: list[float] | None) -> Retrieval:
    """Three new tasks among eight known ones on a line, with an invented encoder."""
    line = envs.make("HalfCheetahVel")
    known, new = np.linspace(0.0, 1.75, 8), np.array([0.1, 0.9, 1.6])
    tasks = dataclasses.replace(line.sample_tasks(8, seed=0), values=known[:, None])
    drawn = dataclasses.replace(tasks, values=new[:, None])
    far = np.array([0.1, 0.9, 0.0])  # the third is taken for the opposite end
    return Retrieval(
        family="HalfCheetahVel",
        known=tasks,
        new=drawn,
        embeddings=(known[:, None], far[:, None]),
        apart=np.abs(new[:, None] - known),
        novelty=np.array(novelty),
        novelty_outside=None if outside is None else np.array(outside),
        threshold=1.0,
    )


def test_measures_of_retrieval_by_hand():
    measured = invented([0.1, 0.5, 0.3], [0.4, 2.0])
    assert measured.hit_rate == pytest.approx(2 / 3)
    # of 6 pairs, 0.4 loses to 0.5 alone
    assert measured.auroc == pytest.approx(5 / 6)
    expected = stats.spearmanr(measured.distances.ravel(), measured.apart.ravel())[0]
    assert measured.correlation == pytest.approx(float(expected))
    assert invented([0.1, 0.5, 0.3], None).auroc is None
    perfect = dataclasses.replace(measured, embeddings=(measured.known.values, measured.new.values))
    assert perfect.correlation == pytest.approx(1.0)
    assert perfect.hit_rate == 1.0


def test_says_in_words_what_it_measured():
    text = str(invented([0.1, 0.5, 1.3], [0.4, 2.0]))
    assert text.startswith("HalfCheetahVel: 3 new tasks, one rollout each")
    shares = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in text.splitlines()}
    assert shares["nearest of 8 known tasks is among the 5 closest"] == "67%"
    # beyond the threshold of 1: one of three from inside, one of two from outside
    assert shares["new tasks from inside the training range taken for novel"] == "33%"
    assert shares["tasks from outside the training range recognised"] == "50%"
    assert "outside" not in str(invented([0.1, 0.5, 1.3], None))


def test_the_file_holds_the_measures(tmp_path: Path):
    measured = invented([0.1, 0.5, 0.3], [0.4, 2.0])
    (path,) = measured.save(tmp_path)
    assert path == tmp_path / "similarity.json"
    assert json.loads(path.read_text()) == {
        "family": "HalfCheetahVel",
        "known": 8,
        "new": 3,
        "correlation": measured.correlation,
        "found": measured.hit_rate,
        "auroc": measured.auroc,
        "false_alarms": 0.0,
        "recognised": 0.5,
    }


def test_parameters_are_compared_as_fractions_of_the_range():
    """On Point2D, whose parameters run from -0.5 to 0.5: a fraction is a distance."""
    learner = metarl.MAML(envs.make("Point2D", horizon=5), **SMALL)
    encoder = metarl.train_similarity(
        learner, tasks=10, rollouts=2, window=5, hidden=8, iterations=2
    )
    measured = retrieval(learner, encoder, known=4, tasks=3, seed=1)
    apart = measured.new.values[:, None] - measured.known.values
    np.testing.assert_allclose(measured.apart, np.linalg.norm(apart, axis=-1))
    assert measured.novelty.shape == (3,)
    assert (measured.novelty_outside is not None) == learner.family.extrapolates
    other = metarl.MAML(learner.family, **{**SMALL, "seed": 1})
    with pytest.raises(ValueError, match="trained on another policy"):
        retrieval(other, encoder)
