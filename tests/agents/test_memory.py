"""The running memory: the embedding of all that was seen, in any order; it forgets as told."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from metarl.agents.acting_memory import ActingMemory
from metarl.agents.memory import PATIENCE, RECENT, SCALE, TaskMemory
from metarl.agents.siamese import SiameseEncoder

SEEN, ACTIONS, STEPS, N = 5, 2, 30, 7
HIDDEN, TOLERANCE = 16, 0.005
LIMIT = 4.0
COSTS = np.array([[0.5, 0.1], [0.0, 1.5]])
FRESH, COUNT = 2 * HIDDEN, 2 * HIDDEN + 1


@pytest.fixture(scope="module", params=[False, True], ids=["relu", "products"])
def memory(request: pytest.FixtureRequest) -> TaskMemory:
    generator = torch.Generator().manual_seed(0)
    encoder = SiameseEncoder(
        SEEN,
        ACTIONS,
        4,
        HIDDEN,
        products=request.param,
        action_limit=LIMIT,
        cost_of_actions=torch.from_numpy(COSTS),
        generator=generator,
    )
    encoder.normalise_to(3.0 * torch.randn(200, 2 * SEEN + ACTIONS + 2) + 1.0)
    return TaskMemory(encoder)


@pytest.fixture(scope="module")
def window() -> torch.Tensor:
    """[n, time, transition], with outliers that are cut off."""
    generator = torch.Generator().manual_seed(1)
    return of_episodes(8.0 * torch.randn(N, STEPS, 2 * SEEN + ACTIONS + 2, generator=generator))


def of_episodes(window: torch.Tensor) -> torch.Tensor:
    """The same with the changes that its rewards have from step to step."""
    rewards = window[..., SEEN + ACTIONS].numpy()
    changes = np.diff(rewards, axis=-1, prepend=rewards[..., :1])
    return torch.cat([window[..., :-1], torch.from_numpy(changes)[..., None]], dim=-1)


def charge(actions: np.ndarray) -> np.ndarray:
    """What actions, [n, action], take off rewards that `of_episodes` has without, [n]."""
    return (COSTS[0] * (np.clip(actions, -LIMIT, LIMIT) - COSTS[1]) ** 2).sum(1)


def running(memory: TaskMemory, window: torch.Tensor, active: np.ndarray | None = None):
    """Memories after each transition of a window, in NumPy."""
    acting = ActingMemory(memory)
    state = acting.empty(len(window))
    states = []
    for step in range(window.shape[1]):
        row = window[:, step].numpy()
        acting.remember(
            state,
            row[:, :SEEN],
            row[:, SEEN : SEEN + ACTIONS],
            row[:, SEEN + ACTIONS] - charge(row[:, SEEN : SEEN + ACTIONS]),
            row[:, SEEN + ACTIONS + 1 : -1],
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
    took_place = torch.ones(N, STEPS, dtype=torch.bool)
    start = torch.zeros(N, memory.size)
    with torch.no_grad():
        contexts, _ = memory.along(start, window, took_place)
        shuffled, _ = memory.along(start, window[:, torch.randperm(STEPS)], took_place)
    torch.testing.assert_close(contexts[:, -1], shuffled[:, -1], atol=2e-5, rtol=0.0)


def test_a_reward_is_compared_with_the_one_before_of_its_episode(
    memory: TaskMemory, window: torch.Tensor
):
    """In torch and NumPy; with none at first, and none after an episode began."""
    acting, states = running(memory, window)
    reward = torch.full((N, 1), 3.0)
    assert (memory.change_of_reward(torch.zeros(N, memory.size), reward) == 0.0).all()
    after = torch.from_numpy(states[4])
    expected = 3.0 - window[:, 4, SEEN + ACTIONS, None]
    torch.testing.assert_close(memory.change_of_reward(after, reward), expected)
    anew = memory.begin_episode(after)
    assert (memory.change_of_reward(anew, reward) == 0.0).all()
    torch.testing.assert_close(memory.context(anew), memory.context(after))
    acting.begin_episode(states[4])
    np.testing.assert_array_equal(states[4], anew)


def test_nothing_seen_is_exactly_no_context(memory: TaskMemory):
    acting = ActingMemory(memory)
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
    np.testing.assert_allclose(states[-1][:, COUNT], (1 - 0.9**STEPS) / 0.1, rtol=1e-5)
    with torch.no_grad():
        features = memory.encoder.features(window)
    powers = 0.9 ** torch.arange(STEPS - 1, -1, -1.0)
    expected = (features * powers[:, None]).sum(1).numpy()
    np.testing.assert_allclose(states[-1][:, :HIDDEN], expected, rtol=1e-4, atol=1e-4)


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
    np.testing.assert_allclose(bounded[:, COUNT], 1.0 / (1.0 - math.exp(-1.0 / 50)), rtol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(forgetful.context(bounded), memory.context(past))
    later = forgetful.remember(bounded, window[:, 0])
    torch.testing.assert_close(later[:, COUNT], bounded[:, COUNT])
    assert torch.equal(memory.bounded(past), past)
    young = torch.from_numpy(states[20])
    torch.testing.assert_close(forgetful.bounded(young), young)


def test_a_part_kept_outside_0_to_1_is_refused(memory: TaskMemory):
    with pytest.raises(ValueError, match=r"must be in \(0, 1\], got 1.5"):
        TaskMemory(memory.encoder, keep=1.5)


def test_what_is_recent_is_a_sum_that_fades(memory: TaskMemory, window: torch.Tensor):
    """Of every transition n steps back, exp(-n / 5), whatever the whole memory holds."""
    _, states = running(memory, window)
    with torch.no_grad():
        features = memory.encoder.features(window).numpy()
    fading = np.exp(-np.arange(STEPS)[::-1] / RECENT)
    expected = (features * fading[:, None]).sum(1)
    np.testing.assert_allclose(states[-1][:, HIDDEN : 2 * HIDDEN], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(states[-1][:, FRESH], fading.sum(), rtol=1e-5)


def test_a_change_is_noticed_and_what_came_before_is_forgotten(
    memory: TaskMemory, window: torch.Tensor
):
    """Step by step as the formula says, in torch and in NumPy; rows differ in what they meet."""
    wary = replace(memory, tolerance=TOLERANCE)
    changed = 0.02 * window[:, :20] + 4.0
    changed[:4, 12:] -= 8.0  # another world for the first four rows
    changed = of_episodes(changed)
    acting, states = running(wary, changed)
    encoder, state = wary.encoder, torch.zeros(N, wary.size)
    for step in range(20):
        with torch.no_grad():
            features = encoder.features(changed[:, step])
            whole = memory.remember(state, changed[:, step])  # without forgetting
            total, recent = whole[:, :HIDDEN], whole[:, HIDDEN : 2 * HIDDEN]
            fresh, count = whole[:, FRESH, None], whole[:, COUNT, None]
            apart = (encoder.whole(total / count) - encoder.whole(recent / fresh)).norm(dim=1)
            trust = torch.exp(-((apart / TOLERANCE) ** 4))[:, None]
            expected = torch.cat(
                [
                    features + trust * (total - features),
                    features + trust * (recent - features),
                    1.0 + trust * (fresh - 1.0),
                    1.0 + trust * (count - 1.0),
                    changed[:, step, SEEN + ACTIONS, None],
                    torch.ones(N, 1),
                ],
                dim=1,
            )
            state = wary.remember(state, changed[:, step])
        torch.testing.assert_close(state, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(states[step], state.numpy(), rtol=1e-3, atol=1e-3)
    assert (states[11][:, COUNT] > 10.0).all(), "so far nothing has changed"
    assert (states[-1][:4, COUNT] < 8.0).all(), "what came before the change is gone"
    assert (states[-1][4:, COUNT] > 17.0).all(), "the others keep what they know"
    np.testing.assert_allclose(
        acting.context(states[-1]), wary.context(state).detach().numpy(), atol=1e-4
    )


def test_without_a_tolerance_nothing_is_forgotten(memory: TaskMemory, window: torch.Tensor):
    changed = window.clone()
    changed[:, 12:] += 20.0
    _, states = running(memory, changed)
    assert (states[-1][:, COUNT] == STEPS).all()


def test_rollouts_are_pooled_as_if_they_were_one_window(memory: TaskMemory, window: torch.Tensor):
    """Seven rollouts of one task that begin with the same memory; one forgot that."""
    _, states = running(memory, window)
    start, ends = torch.from_numpy(states[9][0]), []
    for row in window:
        state = start[None]
        for step in range(STEPS):
            with torch.no_grad():
                state = memory.remember(state, row[None, step])
        ends.append(state[0])
    lengths = torch.full((N,), STEPS)
    pooled = memory.pooled(start, torch.stack(ends), lengths)
    with torch.no_grad():
        features = memory.encoder.features(torch.cat([window[0, :10], window.flatten(0, 1)]))
    torch.testing.assert_close(pooled[:HIDDEN], features.sum(0), rtol=1e-4, atol=1e-3)
    assert pooled[COUNT] == 10 + N * STEPS
    recent = torch.stack(ends)[:, HIDDEN:COUNT].mean(0)
    torch.testing.assert_close(pooled[HIDDEN:COUNT], recent)
    assert (pooled[COUNT + 1 :] == 0.0).all(), "another episode begins"
    ends[0] = torch.from_numpy(states[4][0])  # five transitions are less than the start's ten
    pooled = memory.pooled(start, torch.stack(ends), lengths)
    assert pooled[COUNT] == pytest.approx(10 * (N - 1) / N + (N - 1) * STEPS + 5)


@pytest.mark.parametrize("steps", [5, 15, 40])
@pytest.mark.parametrize("window", [None, 30])
def test_what_all_rollouts_forgot_is_gone_however_long_they_are(
    memory: TaskMemory, steps: int, window: int | None
):
    """Before it went by counts alone, the start was taken away, not added, from 11 steps on."""
    rules = memory.forgetting(window)
    start, alone = torch.zeros(rules.size), torch.zeros(rules.size)
    transition = torch.ones(rules.encoder.transition_size)
    with torch.no_grad():
        for _ in range(10):
            start = rules.remember(start, -transition)
        kept = start
        for _ in range(steps):
            alone = rules.remember(alone, transition)
            kept = rules.remember(kept, transition)
        lengths = torch.full((2,), steps)
        new = rules.pooled(start, torch.stack([alone, alone]), lengths)
        torch.testing.assert_close(rules.mean(new), rules.mean(alone))
        assert new[COUNT] == pytest.approx(2 * alone[COUNT].item(), rel=1e-5)
        # and what they kept is there once
        both = rules.pooled(start, torch.stack([kept, kept]), lengths)
    expected = kept + alone
    torch.testing.assert_close(both[:HIDDEN], expected[:HIDDEN], rtol=1e-4, atol=1e-3)
    assert both[COUNT] == pytest.approx(expected[COUNT].item(), rel=1e-4)


def test_contexts_keep_to_the_bounds_of_tasks(memory: TaskMemory, window: torch.Tensor):
    """Number by number, before the first transitions count for little; in NumPy as in torch."""
    start, valid = torch.zeros(N, memory.size), torch.ones(N, STEPS, dtype=torch.bool)
    with torch.no_grad():
        free, ends = memory.along(start, window, valid)
    believed = (1.0 - torch.exp(-torch.arange(STEPS + 1.0) / PATIENCE))[:, None] / SCALE
    embeddings = free[:, 1:] / believed[1:]
    low, high = (embeddings.flatten(0, 1).quantile(part, 0) for part in (0.3, 0.6))
    low[0] = high[0] = 0.0  # a number that tasks do not use
    bounds = torch.stack([low, high])
    narrow = replace(memory, bounds=bounds)
    with torch.no_grad():
        kept, same = narrow.along(start, window, valid)
    assert torch.equal(same, ends), "what is remembered has no bounds"
    torch.testing.assert_close(kept[:, 1:], embeddings.clamp(low, high) * believed[1:])
    assert 0.2 < (kept == free).float().mean() < 0.9
    np.testing.assert_allclose(ActingMemory(narrow).context(ends.numpy()), kept[:, -1], atol=1e-5)


def test_bounds_must_be_low_and_high(memory: TaskMemory):
    for wrong in ([[1.0], [0.0]], [[0.0], [math.inf]], [[math.nan], [1.0]]):
        with pytest.raises(ValueError, match="bounds must be low and high"):
            replace(memory, bounds=torch.tensor(wrong))


def test_a_tolerance_must_be_positive(memory: TaskMemory):
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tolerance must be above 0"):
            replace(memory, tolerance=wrong)


def test_a_window_is_of_one_step_at_least(memory: TaskMemory):
    with pytest.raises(ValueError, match="memory_window must be at least 1 control step, got 0"):
        memory.forgetting(0)
