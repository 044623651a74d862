"""Contrastive losses with answers known by hand."""

import math

import pytest
import torch

from metarl.agents.contrast import LOSSES, contrastive, info_nce, triplet

# two tasks: pairs of one task lie 0.5 and 0 apart, pairs of different ones 1 and 4
DISTANCES = torch.tensor([[0.5, 1.0], [4.0, 0.0]], dtype=torch.float64)
APART = torch.tensor([[0.0, 1.5], [1.5, 0.0]], dtype=torch.float64)


def test_contrastive_by_hand():
    # same: (0.25 + 0) / 2; different, margin 2 x 1.5 = 3: ((3 - 1)^2 + 0) / 2
    assert contrastive(DISTANCES, APART, 2.0).item() == pytest.approx(0.125 + 2.0)


def test_triplet_by_hand():
    # max(0, 0.5 - 1 + 3) and max(0, 0 - 4 + 3)
    assert triplet(DISTANCES, APART, 2.0).item() == pytest.approx(2.5 / 2.0)


def test_info_nce_by_hand():
    first = -math.log(math.exp(-0.25 / 4) / (math.exp(-0.25 / 4) + math.exp(-1 / 4)))
    second = -math.log(1.0 / (1.0 + math.exp(-16 / 4)))
    assert info_nce(DISTANCES, APART, 2.0).item() == pytest.approx((first + second) / 2.0)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_fall_as_tasks_separate(name: str):
    """Descending them leads to where every point is nearest to the other one of its task."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 6, 3, generator=generator, requires_grad=True)
    apart = 1.0 - torch.eye(6)
    optimiser = torch.optim.Adam([points], lr=0.05)
    for _ in range(400):
        squares = (points[0, :, None] - points[1]).square().sum(-1)
        loss = LOSSES[name]((squares + 1e-12).sqrt(), apart, 1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    distances = torch.cdist(points[0], points[1]).detach()
    nearest_other = (distances + 100.0 * torch.eye(6)).min(1).values
    assert (nearest_other - distances.diagonal() > 0.5).all()
