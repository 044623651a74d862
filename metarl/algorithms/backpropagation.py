"""Derivatives of a multilayer perceptron and of its likelihood-ratio loss, worked out by hand.

By computing only what is needed, in place where possible, loss and gradient take half of autograd's
time and a Fisher product two thirds (docs/speed.md).

Symbols. Rows are the steps of a task, [task, row, ...]; products are over one task's rows. Layers
are l = 0 ... L-1; in the code, item l of a list belongs to layer l unless said otherwise.

    W_l, b_l    weight [in, out] and bias [out] of layer l (common to tasks, or with a task axis)
    lam         log-std of the actions [action]; s = exp(lam) their std
    h_0         observations;  z_l = h_l W_l + b_l;  h_(l+1) = f(z_l) for l < L-1;  mu = z_(L-1)
    f'_l        slope of the activation where it gave h_l, i.e. f'(z_(l-1)); l = 1 ... L-1
    a, A, w     actions, advantages, weights (1 / number of valid steps, 0 for padding)
    eps         noise of the actions, (a - mu) / s
    rho         likelihood ratio, exp(log pi(a) - log pi_old(a)),
                with log pi(a) = -sum_actions (eps^2 / 2 + lam + log(2 pi) / 2)
    C           the loss of a task, -sum_rows w rho A
    delta_l     dC/dz_l;  g_l = dC/dh_l
    R{x}        derivative of x along a direction (V_l, v_l, nu) of (W_l, b_l, lam)

A Hessian times a direction is R{} of the gradient (Pearlmutter 1994, "Fast exact multiplication by
the Hessian", section 4): since R{} is a derivative, each line of the gradient's computation gives
one of the product's by the product and chain rules. Each formula stands beside its line below.
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
        weights = [parameters[f"weight{layer}"] for layer in layers]
        biases = [parameters[f"bias{layer}"] for layer in layers]
        return cls(weights, biases, parameters["log_std"])

    def named(self) -> dict[str, Tensor]:
        """Return the parameters by name, in the policy's order."""
        named: dict[str, Tensor] = {}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            named |= {f"weight{layer}": weight, f"bias{layer}": bias}
        return named | {"log_std": self.log_std}

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
    """h_0, [task, row, observation], normalised if the policy does so."""
    actions: Tensor
    """a, [task, row, action]."""
    log_probs: Tensor
    """log pi_old(a), [task, row]."""
    advantages: Tensor
    """A, [task, row]."""
    weights: Tensor
    """w, [task, row]."""


class Derivatives(NamedTuple):
    """The derivatives of an activation h = f(z), as functions of h, which is all that is kept."""

    slope: Callable[[Tensor, Tensor | None], Tensor]
    """(h, out) -> f'(z), written to `out` unless that is None."""
    bend: float
    """d f'(z) / dh as a multiple of h."""


def _tanh_slope(output: Tensor, out: Tensor | None) -> Tensor:
    one = output.new_ones(())
    return torch.addcmul(one, output, output, value=-1.0, out=out)  # in one pass over memory


def _relu_slope(output: Tensor, out: Tensor | None) -> Tensor:
    return torch.sign(output, out=out)  # outputs are 0 or more; 0 at 0, as autograd has it


DERIVATIVES: dict[str, Derivatives] = {
    "tanh": Derivatives(_tanh_slope, bend=-2.0),  # f' = 1 - h^2
    "relu": Derivatives(_relu_slope, bend=0.0),  # f' = 1 where h > 0
}
"""The activations of `metarl.agents.layers.ACTIVATIONS` whose derivatives are known here. Any other
one raises a `KeyError`; `objective_by_hand.applies` leaves it to autograd."""


class ForwardPass(NamedTuple):
    """What a network made of some observations."""

    values: list[Tensor]
    """h_0 ... h_(L-1) and mu, [task, row, ...] each."""
    slopes: list[Tensor]
    """f'_1 ... f'_(L-1): item l belongs to h_(l+1)."""


class LossAtOutputs(NamedTuple):
    """The likelihood-ratio loss as a function of the policy's outputs, mean and log-std."""

    coefficient: Tensor
    """c = dC / d log pi(a), [task, row, 1]."""
    noise: Tensor
    """eps, [task, row, action]."""
    precision: Tensor
    """1 / s, [action] or [task, 1, action]."""

    @property
    def loss(self) -> Tensor:
        """C, [task]. d rho / d log pi = rho, so c = -w rho A are the terms of the loss as well."""
        return self.coefficient.squeeze(-1).sum(-1)

    @property
    def delta(self) -> Tensor:
        """delta_(L-1) = dC/dmu = c eps / s, [task, row, action], as d log pi / d mu = eps / s."""
        return self.coefficient * self.noise * self.precision

    @property
    def log_std(self) -> Tensor:
        """dC/dlam = sum_rows c (eps^2 - 1), [task, action].

        d log pi / d lam = eps^2 - 1, since d eps / d lam = -eps.
        """
        return (self.coefficient * (self.noise.square() - 1.0)).sum(1)


class BackwardPass(NamedTuple):
    """The gradient of the likelihood-ratio loss, with what its own derivative is computed from."""

    gradient: Network
    """[task, ...] each."""
    at_outputs: LossAtOutputs
    by_hidden: list[Tensor]
    """g_1 ... g_(L-1): item l belongs to h_(l+1)."""
    deltas: list[Tensor]
    """delta_0 ... delta_(L-1)."""


def forward(network: Network, observations: Tensor, activation: str) -> list[Tensor]:
    """Return h_0 ... h_(L-1) and mu; see `ForwardPass`.

    Args:
        network: the network.
        observations: [task, row, observation].
        activation: of the hidden layers, by name.
    """
    values = [observations]
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        value = affine(values[-1], weight, bias)  # z_l = h_l W_l + b_l
        if layer < len(network.weights) - 1:
            value = activated(value, activation)  # h_(l+1) = f(z_l)
        values.append(value)
    return values


def forward_pass(network: Network, observations: Tensor, activation: str) -> ForwardPass:
    """Return a network's values and slopes; see `forward` for the arguments."""
    values = forward(network, observations, activation)
    slope = DERIVATIVES[activation].slope
    return ForwardPass(values, [slope(value, None) for value in values[1:-1]])


def forward_tangent(network: Network, at: ForwardPass, direction: Network) -> list[Tensor]:
    """Return R{h_1} ... R{h_(L-1)} and R{mu}, [task, row, ...] each: item l is R{h_(l+1)}.

    Args:
        network: the network.
        at: its values and slopes.
        direction: of the parameters.
    """
    tangents: list[Tensor] = []
    for layer, weight in enumerate(network.weights):
        # R{z_l} = h_l V_l + v_l + R{h_l} W_l; observations do not move, R{h_0} = 0
        tangent = affine(at.values[layer], direction.weights[layer], direction.biases[layer])
        if layer:
            add_times(tangent, tangents[-1], weight)
        if layer < len(network.weights) - 1:
            tangent *= at.slopes[layer]  # R{h_(l+1)} = f'_(l+1) R{z_l}
        tangents.append(tangent)
    return tangents


def backward(
    network: Network, values: list[Tensor], delta: Tensor, slope: Callable[[int], Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Propagate a gradient by mu back; return those by the weights and by the biases.

    Args:
        network: the network.
        values: its values.
        delta: the gradient by mu, [task, row, action].
        slope: l -> f'_l. It may overwrite `values[l]`, which is not read after that.
    """
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for layer in reversed(range(len(network.weights))):
        weights.insert(0, weight_gradient(values[layer], delta))  # dC/dW_l = h_l^T delta_l
        biases.insert(0, delta.sum(1))  # dC/db_l = sum_rows delta_l
        if layer:
            delta = times(delta, network.weights[layer].mT)  # g_l = delta_l W_l^T
            delta *= slope(layer)  # delta_(l-1) = g_l f'_l
    return weights, biases


def loss_at_outputs(network: Network, mean: Tensor, rows: Rows) -> LossAtOutputs:
    """Return each task's likelihood-ratio loss as a function of mean and log-std.

    Args:
        network: the network, with the log-std that acts.
        mean: mu at the rows, [task, row, action].
        rows: the steps.
    """
    log_std = _by_rows(network.log_std)
    precision = torch.exp(-log_std)
    noise = (rows.actions - mean) * precision
    ratio = torch.exp(noise_log_prob(noise, log_std) - rows.log_probs)
    coefficient = -(rows.weights * ratio * rows.advantages).unsqueeze(-1)
    return LossAtOutputs(coefficient, noise, precision)


def loss_gradient(network: Network, rows: Rows, activation: str) -> tuple[Tensor, Network]:
    """Return each task's likelihood-ratio loss, [task], and its gradient, [task, ...] each.

    Args:
        network: the network, with the log-std that acts.
        rows: the steps.
        activation: of the hidden layers, by name.
    """
    values = forward(network, rows.observations, activation)
    at_outputs = loss_at_outputs(network, values[-1], rows)
    derivative = DERIVATIVES[activation].slope

    def slope(layer: int) -> Tensor:
        return derivative(values[layer], values[layer])

    weights, biases = backward(network, values, at_outputs.delta, slope)
    return at_outputs.loss, Network(weights, biases, at_outputs.log_std)


def backward_pass(network: Network, at: ForwardPass, rows: Rows) -> BackwardPass:
    """Return the same gradient as `loss_gradient`, with what `hessian_product` needs of it.

    Args:
        network: the network, with the log-std that acts.
        at: its values and slopes at the rows.
        rows: the steps.
    """
    at_outputs = loss_at_outputs(network, at.values[-1], rows)
    deltas, by_hidden = [at_outputs.delta], []
    for weight, slope in zip(network.weights[:0:-1], at.slopes[::-1], strict=True):
        by_hidden.insert(0, times(deltas[0], weight.mT))  # g_l = delta_l W_l^T
        deltas.insert(0, by_hidden[0] * slope)  # delta_(l-1) = g_l f'_l
    layers = zip(at.values[:-1], deltas, strict=True)
    weights = [weight_gradient(value, delta) for value, delta in layers]
    biases = [delta.sum(1) for delta in deltas]
    gradient = Network(weights, biases, at_outputs.log_std)
    return BackwardPass(gradient, at_outputs, by_hidden, deltas)


def hessian_product(
    network: Network, at: ForwardPass, back: BackwardPass, direction: Network, activation: str
) -> Network:
    """Return the Hessian of each task's likelihood-ratio loss times a direction, [task, ...] each.

    It is R{} of every line of `backward`, from the outputs back to the observations.

    Args:
        network: the network.
        at: its values and slopes at the rows.
        back: the gradient of the loss there.
        direction: common to tasks, or each task's own.
        activation: of the hidden layers, by name.
    """
    bend = DERIVATIVES[activation].bend
    tangents = forward_tangent(network, at, direction)
    r_delta, r_log_std = _outputs_tangent(back.at_outputs, tangents[-1], direction.log_std)
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for layer in reversed(range(len(network.weights))):
        # R{dC/dW_l} = h_l^T R{delta_l} + R{h_l}^T delta_l, and R{h_0} = 0
        r_weight = weight_gradient(at.values[layer], r_delta)
        if layer:
            add_times(r_weight, tangents[layer - 1].mT, back.deltas[layer])
        weights.insert(0, r_weight)
        biases.insert(0, r_delta.sum(1))  # R{dC/db_l} = sum_rows R{delta_l}
        if layer:
            # R{g_l} = R{delta_l} W_l^T + delta_l V_l^T
            r_by_hidden = times(r_delta, network.weights[layer].mT)
            add_times(r_by_hidden, back.deltas[layer], direction.weights[layer].mT)
            # R{delta_(l-1)} = R{g_l} f'_l + g_l R{f'_l}, with R{f'_l} = bend h_l R{h_l}
            r_by_hidden *= at.slopes[layer - 1]
            if bend:
                bent = at.values[layer] * back.by_hidden[layer - 1]
                r_by_hidden.addcmul_(bent, tangents[layer - 1], value=bend)
            r_delta = r_by_hidden
    return Network(weights, biases, r_log_std)


def _outputs_tangent(
    at_outputs: LossAtOutputs, r_mean: Tensor, r_log_std: Tensor
) -> tuple[Tensor, Tensor]:
    """Return R{delta_(L-1)}, [task, row, action], and R{dC/dlam}, [task, action].

    Args:
        at_outputs: the loss as a function of mean and log-std.
        r_mean: R{mu}, [task, row, action].
        r_log_std: nu = R{lam}, [action] or [task, action].
    """
    coefficient, noise, precision = at_outputs
    nu = _by_rows(r_log_std)
    squared = noise.square()
    # R{log pi} = sum_actions (eps / s) R{mu} + (eps^2 - 1) nu
    along_mean = noise * precision
    r_log_prob = (along_mean * r_mean + (squared - 1.0) * nu).sum(-1, keepdim=True)
    # c = -w rho A and R{rho} = rho R{log pi}, so R{c} = c R{log pi}
    r_coefficient = coefficient * r_log_prob
    # R{eps} = -R{mu} / s - eps nu, since R{1 / s} = -nu / s
    r_noise = -(precision * r_mean + noise * nu)
    # R{sum_rows c (eps^2 - 1)} = sum_rows R{c} (eps^2 - 1) + 2 c eps R{eps}
    by_log_std = (r_coefficient * (squared - 1.0) + 2.0 * coefficient * noise * r_noise).sum(1)
    # R{c eps / s} = (R{c} eps + c (R{eps} - eps nu)) / s
    r_delta = precision * (r_coefficient * noise + coefficient * (r_noise - noise * nu))
    return r_delta, by_log_std


def _by_rows(log_std: Tensor) -> Tensor:
    """Return a log-std, [action] or [task, action], with an axis for rows where it needs one."""
    return log_std.unsqueeze(-2) if log_std.ndim == 2 else log_std
