"""Layers in their fast forms, against plain products."""

import pytest
import torch
from torch import Tensor

from metarl.agents.layers import activated, add_times, affine, times, weight_gradient

OUT = [6, 20]
"""Formed transposed, and not."""


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("out", OUT)
@pytest.mark.parametrize("rows", [(7, 9), (3, 7, 9), (2, 3, 7, 9)])
def test_a_weight_common_to_all(out: int, rows: tuple[int, ...]):
    x, weight, bias = random(*rows), random(9, out), random(out)
    close(times(x, weight), torch.einsum("...i,io->...o", x, weight))
    close(affine(x, weight, bias), torch.einsum("...i,io->...o", x, weight) + bias)


@pytest.mark.parametrize("out", OUT)
def test_each_tasks_own_weight(out: int):
    x, weight, bias = random(3, 7, 9), random(3, 9, out), random(3, out)
    close(times(x, weight), torch.einsum("tri,tio->tro", x, weight))
    close(affine(x, weight, bias), torch.einsum("tri,tio->tro", x, weight) + bias[:, None])


@pytest.mark.parametrize("out", OUT)
@pytest.mark.parametrize("first", ["common", "own"])
@pytest.mark.parametrize("second", ["common", "own"])
def test_a_product_is_added_to_another(out: int, first: str, second: str):
    weights = {"common": random(9, out), "own": random(3, 9, out)}
    bias = {"common": random(out), "own": random(3, out)}[first]
    x, y = random(3, 7, 9), random(3, 7, 9)
    total = affine(x, weights[first], bias)
    expected = total + y @ weights[second]
    add_times(total, y, weights[second])
    close(total, expected)


@pytest.mark.parametrize("out", OUT)
def test_gradients_by_weights(out: int):
    x, deltas = random(3, 7, 9), random(3, 7, out)
    actual = weight_gradient(x, deltas)
    close(actual, torch.einsum("tri,tro->tio", x, deltas))
    add_times(actual, x.mT, deltas)
    close(actual, 2.0 * torch.einsum("tri,tro->tio", x, deltas))


@pytest.mark.parametrize("out", OUT)
def test_autograd_passes_through(out: int):
    weight, bias = random(9, out).requires_grad_(), random(out).requires_grad_()
    assert torch.autograd.gradcheck(affine, (random(3, 7, 9).requires_grad_(), weight, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activations_in_place(dtype: torch.dtype):
    values = torch.linspace(-12.0, 12.0, 2001, dtype=dtype)
    for name, exact in (("tanh", torch.tanh), ("relu", torch.relu)):
        expected = exact(values.double()).to(dtype)
        actual = values.clone()
        assert activated(actual, name) is actual
        torch.testing.assert_close(actual, expected, atol=2e-7, rtol=2e-6)
