"""The objective of MAML-TRPO's usual form, with derivatives by hand.

It is `Objective` with one inner step on the likelihood-ratio loss that moves all parameters of a
`GaussianPolicy`, and gives the same results in less time: see `metarl.algorithms.backpropagation`.

For one task, let g(theta) and H be gradient and Hessian of the loss before adaptation. The adapted
parameters and their Jacobian by the common ones are

    U(theta) = theta - lr g(theta)            (Finn et al. 2017, eq. 1)
    dU/dtheta = I - lr H                      which is symmetric, as H is.

A function with the gradient G by the adapted parameters has, by the common ones (eq. 4),

    (I - lr H)' G = G - lr H G,

and along a direction v of the common parameters the adapted ones move by (I - lr H) v = v - lr H v.
A Fisher product is this, then the network's linearisation, the metric, and both transposed. All of
it needs H only in products with a vector, `hessian_product`.

The log-std that acts is max(lam, log min_std) (see `GaussianPolicy`), whose derivative by lam is 1
where lam >= log min_std, as torch has it for `clamp_min`, and 0 elsewhere: `free`. Every vector
that passes the clamp, either way, is multiplied by it.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from metarl.agents.gaussian import Gaussian, kl_divergence
from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.algorithms.adapt import RATE, Inner
from metarl.algorithms.backpropagation import (
    DERIVATIVES,
    BackwardPass,
    ForwardPass,
    Network,
    Rows,
    backward,
    backward_pass,
    forward,
    forward_pass,
    forward_tangent,
    hessian_product,
    loss_at_outputs,
    loss_gradient,
)
from metarl.algorithms.fisher import Product, flatten, unflatten
from metarl.algorithms.losses import likelihood_ratio
from metarl.algorithms.objective import LossAndKL, Objective, Terms
from metarl.experience.rollouts import Batch


def applies(objective: Objective, parameters: Parameters) -> bool:
    """Return whether an objective has the form that is worked out here.

    Args:
        objective: of some tasks.
        parameters: that it is to be a function of; only their names matter.
    """
    policy, inner = objective.policy, objective.inner
    return (
        isinstance(policy, GaussianPolicy)
        and policy.activation in DERIVATIVES
        and policy.context_size == 0
        and len(objective.sampled.pre) == 1
        and objective.terms == Terms()
        and inner == Inner(inner.lr, likelihood_ratio)
        and not any(name.startswith(RATE) for name in parameters)
    )


@dataclass(frozen=True, eq=False)
class ObjectiveByHand:
    """The outer objective of one usual form; see `applies` for which.

    See `metarl.algorithms.objective.OuterObjective` for its methods.
    """

    policy: GaussianPolicy
    pre: Rows
    """Sampled before adaptation."""
    post: Rows
    """Sampled after it."""
    lr: float
    """The inner step size."""
    old_post: Gaussian
    """The distributions that sampled `post`: means [task, row, action], log-stds [task, 1,
    action]."""

    @classmethod
    def of(cls, objective: Objective) -> "ObjectiveByHand":
        """Return the same objective with derivatives by hand; `applies` says of which."""
        policy, sampled = objective.policy, objective.sampled
        assert isinstance(policy, GaussianPolicy)
        old = sampled.old_post
        return cls(
            policy=policy,
            pre=_rows(policy, sampled.pre[0]),
            post=_rows(policy, sampled.post),
            lr=objective.inner.lr,
            old_post=Gaussian(old.mean.flatten(1, 2), old.log_std.reshape(len(old.mean), 1, -1)),
        )

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return len(self.post.weights)

    def evaluate(self, parameters: Parameters) -> LossAndKL:
        """Return the outer loss and the KL divergence after adaptation; without gradients."""
        adapted = self._step(Network.of(parameters), self.pre)
        acting, _ = self.clamped(adapted)
        mean = forward(acting, self.post.observations, self.policy.activation)[-1]
        loss = loss_at_outputs(acting, mean, self.post).loss.mean()
        divergence = kl_divergence(self.old_post, Gaussian(mean, acting.log_std.unsqueeze(1)))
        return LossAndKL(loss, (self.post.weights * divergence).sum(-1).mean())

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss and its gradient through the adaptation, G - lr H G."""
        with torch.no_grad():
            adaptation = _Adaptation.at_parameters(self, parameters)
            acting, free = self.clamped(adaptation.adapted)
            losses, by_acting = loss_gradient(acting, self.post, self.policy.activation)
            by_common = adaptation.pullback(_masked(by_acting, free))
            return losses.mean(), _task_mean(by_common)

    def fisher(self, parameters: Parameters) -> Product:
        """Return v -> F v; see `metarl.algorithms.fisher`."""
        with torch.no_grad():
            adaptation = _Adaptation.at_parameters(self, parameters)
            acting, free = self.clamped(adaptation.adapted)
            at = forward_pass(acting, self.post.observations, self.policy.activation)
            # M for the mean: w / s^2, [task, row, action]
            metric = self.post.weights.unsqueeze(-1) * torch.exp(-2.0 * acting.log_std).unsqueeze(1)

        def product(vector: Tensor) -> Tensor:
            """Return the mean over tasks of (I - lr H) P' M P (I - lr H) v.

            P are the derivatives of mean and log-std by the adapted parameters.
            """
            with torch.no_grad():
                direction = Network.of(unflatten(vector, parameters))
                tangent = _masked(adaptation.pushforward(direction), free)
                mean = forward_tangent(acting, at, tangent)[-1]
                weights, biases = backward(
                    acting, at.values, metric * mean, lambda layer: at.slopes[layer - 1]
                )
                # M for the log-std: 2, as the weights of a task sum to 1. `tangent` is masked, and
                # so is this multiple of it.
                by_adapted = Network(weights, biases, 2.0 * tangent.log_std)
                return flatten(_task_mean(adaptation.pullback(by_adapted)))

        return product

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean over tasks of the parameters after a step on each batch."""
        once = self._step(Network.of(parameters), self.pre)
        return _task_mean(self._step(once, self.post))

    def clamped(self, network: Network) -> tuple[Network, Tensor]:
        """Return the network with the log-std that acts, and `free`, in the shape of that."""
        lowest = log(self.policy.min_std)
        acting = network._replace(log_std=network.log_std.clamp_min(lowest))
        return acting, (network.log_std >= lowest).to(network.log_std.dtype)

    def _step(self, network: Network, rows: Rows) -> Network:
        """Return every task's network after a gradient step, theta - lr g(theta)."""
        acting, free = self.clamped(network)
        _, gradient = loss_gradient(acting, rows, self.policy.activation)
        return network.plus(-self.lr, _masked(gradient, free))


@dataclass(frozen=True, eq=False)
class _Adaptation:
    """Every task's inner step at some common parameters, and its derivative."""

    adapted: Network
    """U(theta), [task, ...] each."""
    lr: float
    activation: str
    start: Network
    """theta, with the log-std that acts."""
    free: Tensor
    """1 where the log-std of theta is free to move, 0 where it is clamped, [action]."""
    at: ForwardPass
    back: BackwardPass

    @classmethod
    def at_parameters(cls, objective: ObjectiveByHand, parameters: Parameters) -> "_Adaptation":
        common = Network.of({name: value.detach() for name, value in parameters.items()})
        start, free = objective.clamped(common)
        activation = objective.policy.activation
        at = forward_pass(start, objective.pre.observations, activation)
        back = backward_pass(start, at, objective.pre)
        adapted = common.plus(-objective.lr, _masked(back.gradient, free))
        return cls(
            adapted=adapted,
            lr=objective.lr,
            activation=activation,
            start=start,
            free=free,
            at=at,
            back=back,
        )

    def pushforward(self, direction: Network) -> Network:
        """Return how adapted parameters move when the common ones do: (I - lr H) v.

        Args:
            direction: v, without a task axis.

        Returns:
            The directions, [task, ...] each.
        """
        return direction.plus(-self.lr, self._hessian(direction))

    def pullback(self, gradient: Network) -> Network:
        """Return the gradient by the common parameters: (I - lr H)' G, [task, ...] each.

        Args:
            gradient: G, by the adapted parameters, [task, ...] each.
        """
        return gradient.plus(-self.lr, self._hessian(gradient))

    def _hessian(self, direction: Network) -> Network:
        """Return H times a direction, [task, ...] each.

        The Hessian by theta is free H free for that by the acting parameters: the clamp is linear
        on either side, so that it has no second derivative of its own.
        """
        along = _masked(direction, self.free)
        product = hessian_product(self.start, self.at, self.back, along, self.activation)
        return _masked(product, self.free)


def _masked(network: Network, free: Tensor) -> Network:
    return network._replace(log_std=network.log_std * free)


def _task_mean(network: Network) -> dict[str, Tensor]:
    """Return the mean over tasks of parameters [task, ...], by name."""
    return {name: value.mean(0) for name, value in network.named().items()}


def _rows(policy: GaussianPolicy, batch: Batch) -> Rows:
    """Return a batch with its rollouts in a row, and observations as the first layer sees them."""
    observations = batch.observations.flatten(1, 2)
    return Rows(
        observations=policy.normalised(observations),
        actions=batch.actions.flatten(1, 2),
        log_probs=batch.log_probs.flatten(1),
        advantages=batch.advantages.flatten(1),
        weights=batch.weights.flatten(1),
    )
