"""Libraries' threads: one inside, as before outside."""

import contextlib

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import metarl
from metarl import envs
from metarl.sampling.streams import Key, Phase
from metarl.system import library_threads
from metarl.system.library_threads import one_library_thread
from tests.conftest import SMALL


def threads() -> list[int]:
    blas = [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]
    return [torch.get_num_threads(), *blas]


@pytest.fixture(autouse=True)
def two_threads():
    library_threads._libraries.cache_clear()  # other tests have loaded further libraries since
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2, "blas"):
        yield
    torch.set_num_threads(before)


def test_one_inside_and_as_before_outside():
    before = threads()
    assert set(before) == {2}
    with contextlib.suppress(KeyError), one_library_thread():
        assert set(threads()) == {1}
        with one_library_thread():
            assert set(threads()) == {1}
        assert set(threads()) == {1}
        raise KeyError
    assert threads() == before


def test_who_iterates_over_stages_has_its_own_threads():
    family = envs.make("Point2D", horizon=5)
    learner = metarl.MAML(family, **SMALL)
    tasks = family.sample_tasks(2, seed=0)
    before = threads()
    one, other = (learner.adaptation(tasks, 2, [0.1], Key(0, Phase.ADAPT)) for _ in range(2))
    for _ in zip(one, other, strict=True):
        assert threads() == before
    assert threads() == before
