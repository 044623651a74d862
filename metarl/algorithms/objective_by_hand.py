"""The objective of MAML-TRPO's usual form, for the policy that it usually has, by hand.

It is `Objective` with one inner step on the likelihood-ratio loss that moves all parameters of a
`GaussianPolicy`, and gives its numbers in less time: see `metarl.algorithms.backpropagation`.

With g(theta) the gradient of a task's loss before adaptation and H its Hessian, the adapted
parameters are theta - lr * g, and whatever depends on them through a gradient G has the gradient
G - lr * H G by theta (Finn et al. 2017, eq. 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from metarl.agents.gaussian import Gaussian, kl_divergence
from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.algorithms.adapt import RATE, Inner
from metarl.algorithms.backpropagation import (
    Gradient,
    Network,
    Pass,
    Rows,
    backward,
    forward,
    hessian_product,
    linearised,
    loss_gradient,
    pushed,
    score,
    traced_gradient,
)
from metarl.algorithms.losses import likelihood_ratio
from metarl.algorithms.objective import Objective, Terms
from metarl.algorithms.trust_region import Evaluation, Product, unflatten
from metarl.experience.rollouts import Batch


def applies(objective: Objective, parameters: Parameters) -> bool:
    """Return whether an objective has the form that is worked out here.

    Args:
        objective: of some tasks.
        parameters: that it is to be a function of.
    """
    inner = objective.inner
    return (
        isinstance(objective.policy, GaussianPolicy)
        and objective.policy.context_size == 0
        and len(objective.pre) == 1
        and objective.terms == Terms()
        and inner == Inner(inner.lr, likelihood_ratio)
        and not any(name.startswith(RATE) for name in parameters)
    )


@dataclass(frozen=True, eq=False)
class MLPObjective:
    """Some tasks' data, and the loss that it makes of common parameters."""

    policy: GaussianPolicy
    pre: Rows
    post: Rows
    lr: float
    old_post: Gaussian
    """The distributions that sampled `post`, [task, row, action]."""

    @classmethod
    def of(cls, objective: Objective) -> "MLPObjective":
        """Return the objective by hand; `applies` says of which."""
        policy = objective.policy
        assert isinstance(policy, GaussianPolicy)
        old = objective.old_post
        return cls(
            policy,
            _rows(policy, objective.pre[0]),
            _rows(policy, objective.post),
            objective.inner.lr,
            Gaussian(old.mean.flatten(1, 2), old.log_std.reshape(len(old.mean), 1, -1)),
        )

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return len(self.post.weights)

    def evaluate(self, parameters: Parameters) -> Evaluation:
        """Return the outer loss and the KL divergence; see `Objective.evaluate`."""
        adapted = self._step(Network.of(parameters), self.pre)
        acting, _ = self._acting(adapted)
        mean = forward(acting, self.post.observations, self.policy.activation)[-1]
        loss = score(acting, mean, self.post).loss.mean()
        divergence = kl_divergence(self.old_post, Gaussian(mean, acting.log_std.unsqueeze(1)))
        return Evaluation(loss, (self.post.weights * divergence).sum(-1).mean())

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss and its gradient through the adaptation."""
        with torch.no_grad():
            adapted = _Adapted.at(self, parameters)
            acting, free = self._acting(adapted.network)
            losses, found = loss_gradient(acting, self.post, self.policy.activation)
            return losses.mean(), _mean(adapted.pulled(_masked(found, free)))

    def fisher(self, parameters: Parameters) -> Product:
        """Return v -> F v; see `Objective.fisher`."""
        with torch.no_grad():
            adapted = _Adapted.at(self, parameters)
            acting, free = self._acting(adapted.network)
            passed = linearised(acting, self.post.observations, self.policy.activation)
            metric = self.post.weights.unsqueeze(-1) * torch.exp(-2.0 * acting.log_std).unsqueeze(1)

        def product(vector: Tensor) -> Tensor:
            with torch.no_grad():
                direction = Network.of(unflatten(vector, parameters))
                there = _masked(adapted.pushed(direction), free)
                mean = pushed(acting, passed, there)[-1]
                weights, biases = backward(
                    acting, passed.values, metric * mean, lambda layer: passed.slopes[layer - 1]
                )
                pulled = adapted.pulled(Network(weights, biases, 2.0 * there.log_std))
                return torch.cat([value.reshape(-1) for value in _mean(pulled).values()])

        return product

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean of all tasks' parameters after two steps; see `Objective`."""
        once = self._step(Network.of(parameters), self.pre)
        return _mean(self._step(once, self.post))

    def _step(self, network: Network, rows: Rows) -> Network:
        """Return every task's network after a gradient step."""
        acting, free = self._acting(network)
        _, gradient = loss_gradient(acting, rows, self.policy.activation)
        return network.plus(-self.lr, _masked(gradient, free))

    def _acting(self, network: Network) -> tuple[Network, Tensor]:
        """Return the network with the log-std that acts, and where that is free to move."""
        lowest = log(self.policy.min_std)
        acting = network._replace(log_std=network.log_std.clamp_min(lowest))
        return acting, (network.log_std >= lowest).to(network.log_std.dtype)


@dataclass(frozen=True, eq=False)
class _Adapted:
    """Every task's own parameters after the inner step, and how they move with the common ones."""

    network: Network
    lr: float
    activation: str
    start: Network
    free: Tensor
    passed: Pass
    gradient: Gradient

    @classmethod
    def at(cls, objective: MLPObjective, parameters: Parameters) -> "_Adapted":
        common = Network.of({name: value.detach() for name, value in parameters.items()})
        start, free = objective._acting(common)
        activation = objective.policy.activation
        passed = linearised(start, objective.pre.observations, activation)
        gradient = traced_gradient(start, passed, objective.pre)
        moved = common.plus(-objective.lr, _masked(gradient.network, free))
        return cls(moved, objective.lr, activation, start, free, passed, gradient)

    def pushed(self, direction: Network) -> Network:
        """Return how adapted parameters move when the common ones do, [task, ...] each."""
        return direction.plus(-self.lr, self._hessian(direction))

    def pulled(self, gradient: Network) -> Network:
        """Return the gradient by the common parameters of what has this one by the adapted."""
        return gradient.plus(-self.lr, self._hessian(gradient))

    def _hessian(self, direction: Network) -> Network:
        along = _masked(direction, self.free)
        found = hessian_product(self.start, self.passed, self.gradient, along, self.activation)
        return _masked(found, self.free)


def _masked(network: Network, free: Tensor) -> Network:
    return network._replace(log_std=network.log_std * free)


def _mean(network: Network) -> dict[str, Tensor]:
    named: Mapping[str, Tensor] = network.named()
    return {name: value.mean(0) for name, value in named.items()}


def _rows(policy: GaussianPolicy, batch: Batch) -> Rows:
    observations = batch.observations.flatten(1, 2)
    return Rows(
        policy.normaliser(observations) if policy.normaliser else observations,
        batch.actions.flatten(1, 2),
        batch.log_probs.flatten(1),
        batch.advantages.flatten(1),
        batch.weights.flatten(1),
    )
