"""The running memory: the embedding of all that was seen, in any order; it forgets as told."""

import math

import numpy as np
import pytest
import torch

from metarl.agents.memory import PATIENCE, SCALE, TaskMemory
from metarl.agents.siamese import SiameseEncoder

SEEN, ACTIONS, STEPS, N = 5, 2, 30, 7


@pytest.fixture(scope="module", params=[False, True], ids=["relu", "products"])
def memory(request: pytest.FixtureRequest) -> TaskMemory:
    generator = torch.Generator().manual_seed(0)
    encoder = SiameseEncoder(SEEN, ACTIONS, 4, 16, products=request.param, generator=generator)
    encoder.normalise_to(3.0 * torch.randn(200, 2 * SEEN + ACTIONS + 1) + 1.0)
    return TaskMemory(encoder)


@pytest.fixture(scope="module")
def window() -> torch.Tensor:
    """[n, time, transition], with outliers that are cut off."""
    generator = torch.Generator().manual_seed(1)
    return 8.0 * torch.randn(N, STEPS, 2 * SEEN + ACTIONS + 1, generator=generator)


def running(memory: TaskMemory, window: torch.Tensor, active: np.ndarray | None = None):
    """Memories after each transition of a window, in NumPy."""
    acting = memory.acting()
    state = acting.empty(len(window))
    states = []
    for step in range(window.shape[1]):
        row = window[:, step].numpy()
        acting.remember(
            state,
            row[:, :SEEN],
            row[:, SEEN : SEEN + ACTIONS],
            row[:, SEEN + ACTIONS],
            row[:, SEEN + ACTIONS + 1 :],
            None if active is None else active[:, step],
        )
        states.append(state.copy())
    return acting, states


def test_it_is_the_embedding_of_the_whole_window(memory: TaskMemory, window: torch.Tensor):
    acting, states = running(memory, window)
    for steps in (1, 2, STEPS):
        with torch.no_grad():
            embedding = memory.encoder.forward_once(window[:, :steps])
        believed = (1.0 - math.exp(-steps / PATIENCE)) / SCALE
        expected = (believed * embedding).numpy()
        np.testing.assert_allclose(acting.context(states[steps - 1]), expected, atol=2e-5)


def test_torch_and_numpy_agree(memory: TaskMemory, window: torch.Tensor):
    acting, states = running(memory, window)
    state = torch.zeros(N, memory.size)
    with torch.no_grad():
        for step in range(STEPS):
            state = memory.remember(state, window[:, step])
            np.testing.assert_allclose(states[step], state.numpy(), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(
            acting.context(states[-1]), memory.context(state).numpy(), atol=2e-5
        )


def test_the_order_of_transitions_does_not_matter(memory: TaskMemory, window: torch.Tensor):
    acting, states = running(memory, window)
    _, shuffled = running(memory, window[:, torch.randperm(STEPS)])
    np.testing.assert_allclose(acting.context(states[-1]), acting.context(shuffled[-1]), atol=2e-5)


def test_nothing_seen_is_exactly_no_context(memory: TaskMemory):
    acting = memory.acting()
    assert (acting.context(acting.empty(3)) == 0.0).all()
    assert (memory.context(torch.zeros(3, memory.size)) == 0.0).all()


def test_what_did_not_take_place_is_not_remembered(memory: TaskMemory, window: torch.Tensor):
    active = np.arange(STEPS) < np.arange(1, N + 1)[:, None]
    _, states = running(memory, window, active)
    for row in range(N):
        _, alone = running(memory, window[row : row + 1, : row + 1])
        np.testing.assert_allclose(states[-1][row], alone[-1][0], rtol=1e-5, atol=1e-5)


def test_it_forgets_as_fast_as_it_is_told(memory: TaskMemory, window: torch.Tensor):
    """With a part kept of 0.9, the count is a geometric sum and old transitions fade."""
    forgetful = TaskMemory(memory.encoder, keep=0.9)
    _, states = running(forgetful, window)
    np.testing.assert_allclose(states[-1][:, -1], (1 - 0.9**STEPS) / 0.1, rtol=1e-5)
    with torch.no_grad():
        features = memory.encoder.features(window)
    powers = 0.9 ** torch.arange(STEPS - 1, -1, -1.0)
    expected = (features * powers[:, None]).sum(1).numpy()
    np.testing.assert_allclose(states[-1][:, :-1], expected, rtol=1e-4, atol=1e-4)


def test_a_window_is_where_a_transition_counts_e_times_less(memory: TaskMemory):
    forgetful = memory.forgetting(50)
    assert forgetful.keep**50 == pytest.approx(math.exp(-1.0))
    assert memory.forgetting(None).keep == 1.0
    with pytest.raises(ValueError, match="at least 1 control step, got 0"):
        memory.forgetting(0)


def test_a_long_past_weighs_no_more_than_the_window(memory: TaskMemory, window: torch.Tensor):
    """Its embedding stays; a young memory, and one that forgets nothing, stay as they are."""
    _, states = running(memory, window)
    past = 100.0 * torch.from_numpy(states[-1])
    forgetful = memory.forgetting(50)
    bounded = forgetful.bounded(past)
    np.testing.assert_allclose(bounded[:, -1], 1.0 / (1.0 - math.exp(-1.0 / 50)), rtol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(forgetful.context(bounded), memory.context(past))
    later = forgetful.remember(bounded, window[:, 0])
    torch.testing.assert_close(later[:, -1], bounded[:, -1])
    assert torch.equal(memory.bounded(past), past)
    young = torch.from_numpy(states[20])
    torch.testing.assert_close(forgetful.bounded(young), young)


def test_a_part_kept_outside_0_to_1_is_refused(memory: TaskMemory):
    with pytest.raises(ValueError, match=r"must be in \(0, 1\], got 1.5"):
        TaskMemory(memory.encoder, keep=1.5)
