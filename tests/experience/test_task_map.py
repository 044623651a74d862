"""Where tasks lie on the map that an encoder is drawn to."""

import numpy as np
import pytest
import torch

from metarl import envs
from metarl.experience.task_map import SPREAD, TaskMap, task_map


def map_of(family: envs.TaskFamily, size: int) -> TaskMap:
    return task_map(family.coordinates(family.sample_tasks(500, seed=0)), size)


@pytest.mark.parametrize("name", ["HalfCheetahVel", "AntDir2D", "HalfCheetahCrippled"])
def test_places_keep_the_distances_of_tasks(name: str):
    family = envs.make(name)
    coordinates = family.coordinates(family.sample_tasks(40, seed=7))
    places = map_of(family, 8).places(coordinates)
    assert places.shape == (40, 8)
    apart = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=-1)
    found = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    ratios = found[apart > 0.0] / apart[apart > 0.0]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)


def test_the_mean_task_lies_at_the_origin_and_two_are_five_apart_on_average():
    family = envs.make("HalfCheetahVel")  # uniform: two draws differ by a third of the range
    places = map_of(family, 4).places(np.array([[0.0], [0.5], [1.0]]))
    np.testing.assert_allclose(places[:, 1:], 0.0)
    np.testing.assert_allclose(places[:, 0], [-1.5 * SPREAD, 0.0, 1.5 * SPREAD], atol=0.5)


def test_more_coordinates_than_numbers_are_mixed_into_all_of_them():
    family = envs.make("WalkerRandParams")
    coordinates = family.coordinates(family.sample_tasks(60, seed=7))
    assert coordinates.shape[1] > 8
    places = map_of(family, 8).places(coordinates)
    assert torch.pdist(places).mean() == pytest.approx(SPREAD, rel=0.1)
    assert np.linalg.matrix_rank(places.numpy()) == 8, "no number is left out"
    kept = np.corrcoef(torch.pdist(torch.from_numpy(coordinates)), torch.pdist(places))[0, 1]
    assert kept > 0.1, "distances are kept roughly"
    assert torch.equal(places, map_of(family, 8).places(coordinates)), "drawn alike every time"


def test_a_single_task_has_no_map():
    with pytest.raises(ValueError, match="a single task"):
        task_map(np.ones((5, 2)), 8)
