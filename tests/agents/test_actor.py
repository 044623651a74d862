"""An actor: what it refuses, and that what it returns is its caller's."""

import numpy as np
import pytest

import metarl
from metarl.agents import Actor
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def actor() -> Actor:
    """Of a policy that remembers."""
    settings = {**SMALL, "rollouts": 4, "algorithm": "siamese"}
    return metarl.MAML("Point2D", **settings).actor()


def test_a_memory_that_was_kept_stays_as_it_was(actor: Actor):
    kept = actor.memory
    before = kept.copy()
    actor.remember(np.zeros(2), np.ones(2), -1.0, np.ones(2))
    np.testing.assert_array_equal(kept, before)
    assert not np.array_equal(actor.memory, before)
    actor.forget()
    np.testing.assert_array_equal(actor.memory, before)


def test_states_are_checked_as_observations_are(actor: Actor):
    memory = actor.memory.astype(np.float64)
    action, _ = actor.predict(np.zeros(2), (memory,))
    assert action.dtype == np.float32
    memory[0] = np.nan
    with pytest.raises(ValueError, match="a memory in state is not finite"):
        actor.predict(np.zeros(2), (memory,))
    with pytest.raises(ValueError, match="state must hold memories"):
        actor.predict(np.zeros(2), (memory[1:],))


def test_no_observations_have_no_actions(actor: Actor):
    assert actor.predict(np.zeros((0, 2)))[0].shape == (0, 2)


def test_parameters_of_another_kind_of_network_are_named():
    cavia = metarl.MAML("Point2D", **SMALL, algorithm="cavia")
    other = metarl.MAML("Point2D", **SMALL)
    with pytest.raises(ValueError, match=r"context_weight must be \[.*\], got none"):
        cavia.actor(other.parameters)
    with pytest.raises(ValueError, match="the policy has no context"):
        other.actor(cavia.parameters)
