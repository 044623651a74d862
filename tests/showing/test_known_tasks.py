"""The map of known tasks: a plane that keeps distances, colours, and a mark where the policy is."""

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.envs.tasks import Tasks
from metarl.showing.known_tasks import TASKS, KnownTasks, known_tasks
from tests.conftest import SMALL

RNG = np.random.default_rng(0)
LINE = np.linspace(0.5, 3.0, 30)
CONTEXTS = np.zeros((30, 5), np.float32)
CONTEXTS[:, 1], CONTEXTS[:, 3] = 4.0 * LINE, 0.3 * np.sin(LINE)
KNOWN = KnownTasks(Tasks(("velocity",), LINE[:, None]), CONTEXTS)


def test_places_are_the_plane_of_most_variance_in_one_scale():
    """Distances on the map are those of the contexts, up to one factor; the origin is on it."""
    places = KNOWN.places(CONTEXTS)
    distances = np.linalg.norm(np.diff(CONTEXTS, axis=0), axis=1)
    factors = np.linalg.norm(np.diff(places, axis=0), axis=1) / distances
    np.testing.assert_allclose(factors, factors[0], rtol=1e-3)
    everything = np.concatenate([places, KNOWN.places(np.zeros((1, 5), np.float32))])
    assert np.abs(everything).max() == pytest.approx(1.0)
    assert np.ptp(everything[:, 0]) > np.ptp(everything[:, 1]), "the first varies most"
    far = KNOWN.places(np.full((1, 5), 100.0, np.float32))
    assert np.abs(far).max() == pytest.approx(1.15), "what is beyond is on the edge"


def test_one_number_is_a_line():
    alone = KnownTasks(KNOWN.tasks, CONTEXTS[:, 1:2])
    assert (alone.places(alone.contexts)[:, 1] == alone.places(alone.contexts)[0, 1]).all()


@pytest.mark.parametrize("size", [40, 144, 300])
def test_the_policys_place_is_marked_in_the_colour_of_its_task(size: int):
    way = CONTEXTS[20:25]
    picture = np.asarray(KNOWN.picture(way, {"velocity": LINE[24]}, size))
    assert picture.shape == (size, size, 4)
    top = 0.14 * size if size >= 60 else 0.0
    x, y = KNOWN.places(way)[-1]
    reach = 0.39 * (size - top)
    column, row = round(size / 2 + reach * x), round((size + top) / 2 - reach * y)
    expected = KNOWN.colours(LINE[24:25])[0].astype(int)
    assert np.abs(picture[row, column, :3].astype(int) - expected).max() < 30
    still = np.asarray(KNOWN.picture(way[-1:], {"velocity": LINE[24]}, size))
    assert (still != picture).any(), "the way there is drawn"


def test_colours_are_of_the_first_parameter_and_of_a_single_value_too():
    colours = KNOWN.colours(LINE).astype(int)
    assert len(np.unique(colours, axis=0)) > 20
    assert colours[-1].sum() > colours[0].sum()
    same = KnownTasks(Tasks(("mass",), np.ones((3, 1))), CONTEXTS[:3])
    assert len(np.unique(same.colours(np.ones(3)), axis=0)) == 1


def test_known_tasks_are_those_of_training_after_a_rollout():
    point = envs.make("Point2D", horizon=8)
    learner = metarl.MAML(point, **{**SMALL, "rollouts": 4}, algorithm="siamese", embedding_size=3)
    known = known_tasks(learner, 4)
    assert known is not None
    assert len(known.tasks) == TASKS
    assert known.contexts.shape == (TASKS, 3)
    assert known.contexts.std(0).min() > 0.0
    again = known_tasks(learner, 4)
    assert again is not None
    np.testing.assert_array_equal(known.contexts, again.contexts)
    memory = learner.state.memory
    assert memory is not None
    assert float(torch.from_numpy(known.contexts).norm(dim=1).max()) < 100.0
    assert known_tasks(metarl.MAML(point, **SMALL), 4) is None
