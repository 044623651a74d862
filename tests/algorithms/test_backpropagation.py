"""Derivatives by hand against autograd's: forward, backward and second order."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hvp, jvp, vjp

from metarl.agents.layers import ACTIVATIONS
from metarl.algorithms.backpropagation import (
    DERIVATIVES,
    Network,
    Rows,
    backward,
    backward_pass,
    forward,
    forward_pass,
    forward_tangent,
    hessian_product,
    loss_gradient,
)
from metarl.algorithms.fisher import flatten, unflatten

pytestmark = pytest.mark.usefixtures("double_precision")

TASKS, ROWS, SEEN, ACTIONS = 3, 11, 4, 2
SIZES = {"no": (), "one": (6,), "two": (6, 5), "wide": (20, 18, 3)}
"""Hidden layers; products with 16 columns or more are computed in another form."""


def parameters(hidden: tuple[int, ...], tasks: int | None = None) -> dict[str, Tensor]:
    """Parameters common to all tasks, or one set for each."""
    generator = torch.Generator().manual_seed(len(hidden))
    sizes = (SEEN, *hidden, ACTIONS)
    leading = () if tasks is None else (tasks,)
    named: dict[str, Tensor] = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        named[f"weight{layer}"] = torch.randn(*leading, fan_in, fan_out, generator=generator) / 2
        named[f"bias{layer}"] = torch.randn(*leading, fan_out, generator=generator) / 2
    return named | {"log_std": torch.randn(*leading, ACTIONS, generator=generator) / 4}


def rows() -> Rows:
    generator = torch.Generator().manual_seed(7)
    valid = torch.rand(TASKS, ROWS, generator=generator) < 0.8
    return Rows(
        observations=torch.randn(TASKS, ROWS, SEEN, generator=generator),
        actions=torch.randn(TASKS, ROWS, ACTIONS, generator=generator),
        log_probs=torch.randn(TASKS, ROWS, generator=generator) - 3.0,
        advantages=torch.randn(TASKS, ROWS, generator=generator),
        weights=valid / valid.sum(1, keepdim=True),
    )


def mean_of(named: dict[str, Tensor], observations: Tensor, activation: str) -> Tensor:
    """The network as its definition has it, for one task."""
    activate, values = getattr(torch, activation), observations
    layers = sum(name.startswith("weight") for name in named)
    for layer in range(layers):
        values = values @ named[f"weight{layer}"] + named[f"bias{layer}"]
        values = activate(values) if layer < layers - 1 else values
    return values


def loss_of(named: dict[str, Tensor], data: Rows, task: int, activation: str) -> Tensor:
    """The likelihood-ratio loss of one task, with torch's own distribution."""
    mean = mean_of(named, data.observations[task], activation)
    new = torch.distributions.Normal(mean, named["log_std"].exp())
    ratio = (new.log_prob(data.actions[task]).sum(-1) - data.log_probs[task]).exp()
    return -(data.weights[task] * ratio * data.advantages[task]).sum()


@pytest.fixture(params=SIZES)
def hidden(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return SIZES[request.param]


@pytest.fixture(params=DERIVATIVES)
def activation(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[None, TASKS], ids=["common", "each task"])
def named(request: pytest.FixtureRequest, hidden: tuple[int, ...]) -> dict[str, Tensor]:
    return parameters(hidden, request.param)


def of_task(named: dict[str, Tensor], task: int) -> dict[str, Tensor]:
    common = named["log_std"].ndim == 1
    return {name: value if common else value[task] for name, value in named.items()}


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-9)


def test_slopes_and_bends_are_the_activations_derivatives(activation: str):
    """f' and d f' / dz = bend h f', by autograd, from the outputs alone."""
    activate, _ = ACTIVATIONS[activation]
    inputs = torch.linspace(-3.0, 3.0, 50, requires_grad=True)  # which misses the kink at 0
    outputs = activate(inputs)
    (slope,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    change = torch.zeros(50)
    if slope.requires_grad:
        (change,) = torch.autograd.grad(slope.sum(), inputs, materialize_grads=True)
    derivatives = DERIVATIVES[activation]
    values = outputs.detach()
    close(derivatives.slope(values, None), slope.detach())
    close(derivatives.bend * values * slope.detach(), change)
    assert derivatives.slope(values, values) is values, "in place"


def test_values_are_the_networks(named: dict[str, Tensor], activation: str):
    observations = rows().observations
    values = forward(Network.of(named), observations, activation)
    for task in range(TASKS):
        expected = mean_of(of_task(named, task), observations[task], activation)
        close(values[-1][task], expected)


def test_a_forward_tangent_is_a_jacobian_times_a_direction(
    named: dict[str, Tensor], hidden: tuple[int, ...], activation: str
):
    observations = rows().observations
    network = Network.of(named)
    direction = parameters(hidden, TASKS)
    at = forward_pass(network, observations, activation)
    tangent = forward_tangent(network, at, Network.of(direction))[-1]
    for task in range(TASKS):
        like = of_task(named, task)
        _, expected = jvp(
            lambda vector, like=like, task=task: mean_of(
                unflatten(vector, like), observations[task], activation
            ),
            flatten(like),
            flatten(of_task(direction, task)),
        )
        assert isinstance(expected, Tensor)
        close(tangent[task], expected)


def test_backward_is_a_vector_times_a_jacobian(named: dict[str, Tensor], activation: str):
    observations = rows().observations
    delta = torch.randn(TASKS, ROWS, ACTIONS, generator=torch.Generator().manual_seed(3))
    network = Network.of(named)
    at = forward_pass(network, observations, activation)
    weights, biases = backward(
        network, at.values, delta.clone(), lambda layer: at.slopes[layer - 1]
    )
    for task in range(TASKS):
        like = of_task(named, task)
        _, expected = vjp(
            lambda vector, like=like, task=task: mean_of(
                unflatten(vector, like), observations[task], activation
            ),
            flatten(like),
            delta[task],
        )
        actual = Network([w[task] for w in weights], [b[task] for b in biases], torch.zeros(2))
        assert isinstance(expected, Tensor)
        close(flatten(actual.named()), expected)


def test_gradients_and_hessian_products_are_autograds(
    named: dict[str, Tensor], hidden: tuple[int, ...], activation: str
):
    data, network = rows(), Network.of(named)
    losses, quick = loss_gradient(network, data, activation)
    at = forward_pass(network, data.observations, activation)
    back = backward_pass(network, at, data)
    direction = parameters(hidden, TASKS)
    product = hessian_product(network, at, back, Network.of(direction), activation)
    for task in range(TASKS):
        like = of_task(named, task)

        def loss(vector: Tensor, like: dict[str, Tensor] = like, task: int = task) -> Tensor:
            return loss_of(unflatten(vector, like), data, task, activation)

        vector = flatten(like).requires_grad_()
        value = loss(vector)
        (gradient,) = torch.autograd.grad(value, vector)
        close(losses[task], value.detach())
        for network_gradient in (quick, back.gradient):
            one = {name: part[task] for name, part in network_gradient.named().items()}
            close(flatten(one), gradient)
        _, expected = hvp(loss, flatten(like), flatten(of_task(direction, task)))
        assert isinstance(expected, Tensor)
        close(flatten({name: part[task] for name, part in product.named().items()}), expected)
        assert expected.norm() > 1e-3


def test_an_unknown_activation_is_an_error_and_not_another_ones_derivative():
    network = Network.of(parameters((6,)))
    with pytest.raises(KeyError, match="softplus"):
        forward_pass(network, rows().observations, "softplus")
