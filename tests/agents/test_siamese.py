"""The Siamese encoder: one network in two branches, a distance, a gradient."""

import pytest
import torch
from torch import Tensor

from metarl.agents.siamese import SiameseEncoder

OBSERVATION, ACTION = 3, 2
TRANSITION = 2 * OBSERVATION + ACTION + 2


def encoder(seed: int = 0) -> SiameseEncoder:
    generator = torch.Generator().manual_seed(seed)
    return SiameseEncoder(OBSERVATION, ACTION, 4, 8, generator=generator).double()


def windows(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, TRANSITION, generator=generator, dtype=torch.float64)


def test_both_branches_are_one_network():
    """What changes one branch changes the other, and there is one set of weights."""
    network, x = encoder(), windows(5, 7)
    first, second = network(x, x)
    assert first.equal(second)
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    again, other = network(x, x)
    assert again.equal(other)
    assert not again.equal(first)
    # layers of 10 -> 8 -> 8 and 8 -> 8 -> 4, with biases, once
    assert sum(p.numel() for p in network.parameters()) == 10 * 8 + 8 + 72 + 72 + 8 * 4 + 4


def test_distance_is_a_metric_of_embeddings():
    network = encoder()
    x, y, z = windows(3, 6, 7)
    assert network.distance(x, x).equal(torch.zeros(6, dtype=torch.float64))
    assert network.distance(x, y).equal(network.distance(y, x))
    assert (network.distance(x, y) > 0.0).all()
    assert (network.distance(x, z) <= network.distance(x, y) + network.distance(y, z) + 1e-12).all()
    expected = (network.forward_once(x) - network.forward_once(y)).square().sum(-1).sqrt()
    torch.testing.assert_close(network.distance(x, y), expected)


def test_embedding_by_hand():
    """The mean of each transition's features, with its normalised change of state."""
    network, x = encoder(), windows(7)
    network.normalise_to(windows(100, seed=2) * 3.0 + 1.0)
    state, middle, after, last = x.split([OBSERVATION, ACTION + 1, OBSERVATION, 1], -1)
    rows = (torch.cat([state, middle, after - state, last], -1) - network.mean) / network.std
    features = torch.stack([network.each(row) for row in rows])
    torch.testing.assert_close(network.forward_once(x), network.whole(features.sum(0) / 7.0))


def test_products_of_two_linear_functions():
    """Of a transition, each a quadratic form: it takes the sign of neither."""
    generator = torch.Generator().manual_seed(0)
    network = SiameseEncoder(OBSERVATION, ACTION, 4, 8, products=True, generator=generator).double()
    first, x = network.each[0], windows()
    assert isinstance(first, torch.nn.Linear)
    left, right = first.weight[:8] @ x + first.bias[:8], first.weight[8:] @ x + first.bias[8:]
    torch.testing.assert_close(network.each[:2](x), left * right)


def test_the_order_of_transitions_does_not_matter():
    network, x = encoder(), windows(7)
    shuffled = x[torch.tensor([3, 0, 6, 1, 5, 2, 4])]
    torch.testing.assert_close(network.forward_once(shuffled), network.forward_once(x))


def test_steps_that_did_not_take_place_are_not_seen():
    network, x = encoder(), windows(2, 7)
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 4:] = False
    embedded = network.forward_once(x, valid)
    torch.testing.assert_close(embedded[0], network.forward_once(x[0]))
    torch.testing.assert_close(embedded[1], network.forward_once(x[1, :4]))


def test_gradient_against_finite_differences():
    network = encoder()
    names, weights = zip(*network.named_parameters(), strict=True)
    x, y = windows(2, 3, 5)

    def distance(*given: Tensor) -> Tensor:
        first, second = torch.func.functional_call(
            network, dict(zip(names, given, strict=True)), (x, y)
        )
        return torch.linalg.vector_norm(first - second, dim=-1)

    assert torch.autograd.gradcheck(distance, weights)


def test_statistics_are_part_of_the_model():
    network, other = encoder(), encoder(seed=5)
    seen = windows(500, seed=3) * 2.0
    seen[:, 1] = 4.0  # a column that never varies keeps its unit
    network.normalise_to(seen)
    assert network.std[1] == 1.0
    other.load_state_dict(network.state_dict())
    x = windows(4, 7)
    assert other.forward_once(x).equal(network.forward_once(x))


def test_wrong_transitions_are_named():
    with pytest.raises(ValueError, match=f"must have {TRANSITION} numbers .* got 4"):
        encoder().forward_once(torch.zeros(5, 4, dtype=torch.float64))
