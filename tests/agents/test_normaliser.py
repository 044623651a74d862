"""Moments of what was seen, in parts or at once."""

import torch

from metarl.agents.normaliser import Normaliser


def test_parts_make_the_moments_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    data = 100.0 + 3.0 * torch.randn(50, 4, generator=generator, dtype=torch.float64)
    normaliser = Normaliser.new(4)
    for part in (data[:7], data[7:7], data[7:30], data[30:]):
        normaliser = normaliser.updated(part)
    assert int(normaliser.count) == 50
    torch.testing.assert_close(normaliser.mean, data.mean(0))
    torch.testing.assert_close(normaliser.variance, data.var(0, correction=0))
    normal = normaliser(data)
    torch.testing.assert_close(normal.mean(0), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(normal.std(0, correction=0), torch.ones(4, dtype=torch.float64))


def test_a_new_one_changes_outliers_only():
    observation = torch.tensor([[0.5, -3.0, 400.0]])
    torch.testing.assert_close(Normaliser.new(3)(observation), torch.tensor([[0.5, -3.0, 10.0]]))


def test_what_never_varies_is_not_blown_up():
    normaliser = Normaliser.new(1).updated(torch.full((9, 1), 2.0))
    assert normaliser(torch.tensor([[2.001]])).abs().item() < 0.2
    assert torch.isfinite(normaliser(torch.tensor([[3.0]]))).all()
