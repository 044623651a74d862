"""Rollouts and batches, filled with a different number for every task, rollout and time."""

import pytest
import torch
from torch import Tensor

from metarl.experience.rollouts import Batch, Rollouts, evenly_spaced

TASKS, ROLLOUTS, TIME = 2, 5, 4
STEPS = (TASKS, ROLLOUTS, TIME)


def numbered(*shape: int, start: int = 0) -> Tensor:
    return start + torch.arange(float(torch.Size(shape).numel())).view(shape)


def rollouts() -> Rollouts:
    """The last rollout of the first task ends after one step, that of the second after three."""
    valid = torch.ones(STEPS, dtype=torch.bool)
    valid[0, -1, 1:] = False
    valid[1, -1, 3:] = False
    return Rollouts(
        observations=numbered(*STEPS, 3),
        actions=numbered(*STEPS, 2, start=1000),
        means=numbered(*STEPS, 2, start=2000),
        rewards=numbered(*STEPS) * valid,
        log_probs=numbered(*STEPS, start=3000),
        valid=valid,
        terminated=~valid[:, :, -1],
        final_observations=numbered(TASKS, ROLLOUTS, 3, start=4000),
        succeeded=torch.zeros(TASKS, ROLLOUTS, dtype=torch.bool),
        memories=numbered(TASKS, ROLLOUTS, 4, start=5000),
        failed=torch.zeros(TASKS, ROLLOUTS, dtype=torch.bool),
        continued=torch.zeros(TASKS, ROLLOUTS, dtype=torch.bool),
    )


def batch() -> Batch:
    """As `prepare` makes it of `rollouts`."""
    valid = rollouts().valid
    return Batch(
        observations=numbered(*STEPS, 3),
        actions=numbered(*STEPS, 2, start=1000),
        log_probs=numbered(*STEPS, start=2000),
        advantages=numbered(*STEPS, start=3000),
        rewards=numbered(*STEPS, start=4000),
        weights=valid / valid.sum((1, 2), keepdim=True),
        unit=torch.ones(STEPS),
    )


def test_returns_and_lengths_are_sums_over_time():
    data = rollouts()
    assert data.returns[0].tolist() == [6.0, 22.0, 38.0, 54.0, 16.0]
    assert data.returns[1, -1] == 36 + 37 + 38
    assert data.lengths.tolist() == [[4, 4, 4, 4, 1], [4, 4, 4, 4, 3]]
    assert data.steps == 17 + 19


def test_every_field_moves_to_another_device():
    moved = rollouts().to(torch.device("meta"))
    for before, after in zip(rollouts(), moved, strict=True):
        assert after.device.type == "meta"
        assert (after.shape, after.dtype) == (before.shape, before.dtype)


def test_a_subset_has_evenly_spaced_rollouts_of_each_task():
    part = batch().subset(0.4)
    for name in Batch._fields[:5]:
        assert torch.equal(getattr(part, name), getattr(batch(), name)[:, [0, 2]])
    assert part.actions.shape == (2, 2, 4, 2)


@pytest.mark.parametrize("fraction", [0.2, 0.4, 0.6, 0.8])
def test_a_subset_keeps_a_mean(fraction: float):
    whole = batch()
    part = whole.subset(fraction)
    torch.testing.assert_close(part.weights.sum((1, 2)), torch.ones(TASKS))
    chosen = evenly_spaced(ROLLOUTS, fraction)
    for task in range(TASKS):
        valid = rollouts().valid[task, chosen]
        expected = whole.advantages[task, chosen][valid].mean()
        torch.testing.assert_close((part.weights * part.advantages)[task].sum(), expected)


def test_a_subset_of_everything_is_the_batch_itself():
    whole = batch()
    assert whole.subset(1.0) is whole


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [
        (20, 0.1, [0, 10]),
        (5, 0.6, [0, 1, 3]),
        (4, 1.0, [0, 1, 2, 3]),
        (7, 0.01, [0]),
    ],
)
def test_evenly_spaced_by_hand(count: int, fraction: float, expected: list[int]):
    assert evenly_spaced(count, fraction) == expected
