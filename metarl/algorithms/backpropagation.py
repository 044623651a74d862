"""Derivatives of a multilayer perceptron and of its likelihood-ratio loss, worked out by hand.

Autograd differentiates any policy and any loss, and `objective` uses it; for the one that is used
most, loss and gradient take half of the time and a Fisher product two thirds when only what is
needed is formed, in place where possible. Rows are the steps of a task: [task, row, ...]. Networks
are common to all tasks, [in, out] a weight, or each task's own, [task, in, out].

Second derivatives follow Pearlmutter (1994), "Fast exact multiplication by the Hessian": R{x} is
the derivative of x in a direction of the parameters.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from metarl.agents.gaussian import noise_log_prob
from metarl.agents.layers import activated, add_times, affine, times, weight_gradient


class Network(NamedTuple):
    """The parameters of a policy, or a direction in their space."""

    weights: list[Tensor]
    """[in, out] or [task, in, out] each."""
    biases: list[Tensor]
    """[out] or [task, out] each."""
    log_std: Tensor
    """[action] or [task, action]."""

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> "Network":
        """Return the network of named parameters."""
        layers = range(sum(name.startswith("weight") for name in parameters))
        return cls(
            [parameters[f"weight{layer}"] for layer in layers],
            [parameters[f"bias{layer}"] for layer in layers],
            parameters["log_std"],
        )

    def named(self) -> dict[str, Tensor]:
        """Return the parameters by name, in the policy's order."""
        named = {}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            named |= {f"weight{layer}": weight, f"bias{layer}": bias}
        return {**named, "log_std": self.log_std}

    def plus(self, factor: float, direction: "Network") -> "Network":
        """Return this network moved by `factor * direction`."""
        return Network(
            [w + factor * d for w, d in zip(self.weights, direction.weights, strict=True)],
            [b + factor * d for b, d in zip(self.biases, direction.biases, strict=True)],
            self.log_std + factor * direction.log_std,
        )


class Rows(NamedTuple):
    """The steps of some tasks, all rollouts in a row; see `metarl.experience.rollouts.Batch`."""

    observations: Tensor
    """[task, row, observation], as the first layer sees them."""
    actions: Tensor
    """[task, row, action]."""
    log_probs: Tensor
    """[task, row]."""
    advantages: Tensor
    """[task, row]."""
    weights: Tensor
    """[task, row]."""


class Pass(NamedTuple):
    """What a network did with some observations."""

    values: list[Tensor]
    """The observations, each hidden layer's outputs, and the mean, [task, row, ...] each."""
    slopes: list[Tensor]
    """The activation's slope at each hidden layer's outputs."""


class Score(NamedTuple):
    """How the likelihood-ratio loss depends on the density of each row's action."""

    coefficient: Tensor
    """d loss / d log-density: -weight * ratio * advantage, [task, row, 1]."""
    noise: Tensor
    """(action - mean) / std, [task, row, action]."""
    precision: Tensor
    """1 / std, [action] or [task, 1, action]."""

    @property
    def loss(self) -> Tensor:
        """The loss of each task, [task]: its terms are the coefficients themselves."""
        return self.coefficient.squeeze(-1).sum(-1)

    @property
    def delta(self) -> Tensor:
        """The gradient of the loss by the mean, [task, row, action]."""
        return self.coefficient * self.noise * self.precision

    @property
    def log_std(self) -> Tensor:
        """The gradient of the loss by the log-std, [task, action]."""
        return (self.coefficient * (self.noise.square() - 1.0)).sum(1)


class Gradient(NamedTuple):
    """The gradient of the likelihood-ratio loss, and what its own derivative is made of."""

    network: Network
    """The gradient, [task, ...] each."""
    score: Score
    pulled: list[Tensor]
    """d loss / d outputs of each hidden layer."""
    deltas: list[Tensor]
    """d loss / d inputs of each activation, and of the mean."""


def forward(network: Network, observations: Tensor, activation: str) -> list[Tensor]:
    """Return a network's values at observations [task, row, observation]; see `Pass`."""
    values = [observations]
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        value = affine(values[-1], weight, bias)
        if layer < len(network.weights) - 1:
            value = activated(value, activation)
        values.append(value)
    return values


def linearised(network: Network, observations: Tensor, activation: str) -> Pass:
    """Return a network's values and the slopes there."""
    values = forward(network, observations, activation)
    return Pass(values, [_slope(value, activation) for value in values[1:-1]])


def backward(
    network: Network, values: list[Tensor], delta: Tensor, slope: Callable[[int], Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Pull a gradient by the mean back; return those by the weights and by the biases.

    Args:
        network: the network.
        values: of it.
        delta: the gradient by the mean, [task, row, action].
        slope: gives the activation's slope at `values[layer]`, which are not looked at after that.
    """
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for layer in reversed(range(len(network.weights))):
        weights.insert(0, weight_gradient(values[layer], delta))
        biases.insert(0, delta.sum(1))
        if layer:
            delta = times(delta, network.weights[layer].mT)
            delta *= slope(layer)
    return weights, biases


def pushed(network: Network, passed: Pass, direction: Network) -> list[Tensor]:
    """Return R{values} in a direction of the parameters: of each hidden layer, and of the mean.

    Args:
        network: the network.
        passed: its values.
        direction: of the parameters.
    """
    moved: list[Tensor] = []
    for layer, weight in enumerate(network.weights):
        move = affine(passed.values[layer], direction.weights[layer], direction.biases[layer])
        if layer:
            add_times(move, moved[-1], weight)
        if layer < len(network.weights) - 1:
            move *= passed.slopes[layer]
        moved.append(move)
    return moved


def score(network: Network, mean: Tensor, rows: Rows) -> Score:
    """Return how each task's likelihood-ratio loss depends on its rows; see `losses`.

    Args:
        network: the network, with the log-std that acts.
        mean: its most likely actions at the rows, [task, row, action].
        rows: the steps.
    """
    log_std = _by_rows(network.log_std)
    precision = torch.exp(-log_std)
    noise = (rows.actions - mean) * precision
    ratio = torch.exp(noise_log_prob(noise, log_std) - rows.log_probs)
    return Score(-(rows.weights * ratio * rows.advantages).unsqueeze(-1), noise, precision)


def loss_gradient(network: Network, rows: Rows, activation: str) -> tuple[Tensor, Network]:
    """Return each task's likelihood-ratio loss, [task], and its gradient, [task, ...] each.

    Args:
        network: the network, with the log-std that acts.
        rows: the steps.
        activation: of the hidden layers.
    """
    values = forward(network, rows.observations, activation)
    found = score(network, values[-1], rows)

    def slope(layer: int) -> Tensor:
        return _slope(values[layer], activation, out=values[layer])

    weights, biases = backward(network, values, found.delta, slope)
    return found.loss, Network(weights, biases, found.log_std)


def traced_gradient(network: Network, passed: Pass, rows: Rows) -> Gradient:
    """Return the same gradient with what `hessian_product` needs of it.

    Args:
        network: the network, with the log-std that acts.
        passed: its values at the rows.
        rows: the steps.
    """
    found = score(network, passed.values[-1], rows)
    deltas, pulled = [found.delta], []
    for weight, slope in zip(network.weights[:0:-1], passed.slopes[::-1], strict=True):
        pulled.insert(0, times(deltas[0], weight.mT))
        deltas.insert(0, pulled[0] * slope)
    weights = [weight_gradient(*each) for each in zip(passed.values[:-1], deltas, strict=True)]
    biases = [each.sum(1) for each in deltas]
    return Gradient(Network(weights, biases, found.log_std), found, pulled, deltas)


def hessian_product(
    network: Network, passed: Pass, gradient: Gradient, direction: Network, activation: str
) -> Network:
    """Return the Hessian of each task's likelihood-ratio loss times a direction, [task, ...] each.

    Args:
        network: the network.
        passed: its values at the rows.
        gradient: of the loss there.
        direction: common to tasks, or each task's own.
        activation: of the hidden layers.
    """
    _, (coefficient, noise, precision), pulled, deltas = gradient
    moved = pushed(network, passed, direction)
    moved_std = _by_rows(direction.log_std)
    along = noise * precision
    squared = noise.square()
    r_log_prob = (along * moved[-1] + (squared - 1.0) * moved_std).sum(-1, keepdim=True)
    r_coefficient = coefficient * r_log_prob
    r_noise = -(precision * moved[-1] + noise * moved_std)
    r_log_std = (r_coefficient * (squared - 1.0) + 2.0 * coefficient * noise * r_noise).sum(1)
    r_delta = precision * (r_coefficient * noise + coefficient * (r_noise - noise * moved_std))

    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for layer in reversed(range(len(network.weights))):
        found = weight_gradient(passed.values[layer], r_delta)
        if layer:
            add_times(found, moved[layer - 1].mT, deltas[layer])
        weights.insert(0, found)
        biases.insert(0, r_delta.sum(1))
        if layer:
            r_pulled = times(r_delta, network.weights[layer].mT)
            add_times(r_pulled, deltas[layer], direction.weights[layer].mT)
            r_pulled *= passed.slopes[layer - 1]
            if activation == "tanh":  # whose slope 1 - h^2 changes by -2 h R{h}
                bend = passed.values[layer] * pulled[layer - 1]
                r_pulled.addcmul_(bend, moved[layer - 1], value=-2.0)
            r_delta = r_pulled
    return Network(weights, biases, r_log_std)


_ONE = torch.ones(())


def _slope(value: Tensor, activation: str, out: Tensor | None = None) -> Tensor:
    """Return the activation's slope where it gave `value`."""
    if activation == "tanh":
        return torch.addcmul(_ONE.to(value), value, value, value=-1.0, out=out)
    return torch.sign(value, out=out)  # of what is 0 or more


def _by_rows(log_std: Tensor) -> Tensor:
    return log_std.unsqueeze(-2) if log_std.ndim == 2 else log_std
