"""Adaptation: a few gradient steps from common parameters to each task's own.

Written for one task; `adapt_tasks` maps it over all tasks at once. It is differentiable: outer
gradients and Fisher products pass through it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.func import grad, vmap

from agents.policy import Parameters
from metarl.losses import Policy, likelihood_ratio
from metarl.rollouts import Batch

RATE = "rate_"
"""`rate_weight0`, when among the parameters, multiplies the steps of `weight0`, element by element:
learned step sizes (Li et al. 2017, "Meta-SGD", eq. 2)."""

Loss = Callable[[Policy, Parameters, Batch], Tensor]


class Inner(NamedTuple):
    """What an inner step is."""

    lr: float
    """The step size."""
    loss: Loss = likelihood_ratio
    """What the step lowers, of one task."""
    first_order: bool = False
    """Whether outer gradients take the step as given (Finn et al. 2017, section 5.2)."""
    adapts: tuple[str, ...] = ()
    """The parameters that move; none named is all of them."""


def adapt(
    policy: Policy, parameters: Parameters, batches: Sequence[Batch], inner: Inner
) -> dict[str, Tensor]:
    """Return one task's parameters after a gradient step on each batch (Finn et al. 2017, eq. 1).

    Args:
        policy: the policy.
        parameters: where to start.
        batches: one a step, [rollout, time, ...], each sampled with the parameters before its step.
        inner: what a step is.
    """
    adapted = dict(parameters)
    names = inner.adapts or tuple(name for name in parameters if not name.startswith(RATE))
    for batch in batches:
        fixed = adapted

        def loss(
            moving: dict[str, Tensor],
            fixed: dict[str, Tensor] = fixed,
            batch: Batch = batch,
        ) -> Tensor:
            return inner.loss(policy, {**fixed, **moving}, batch)

        gradient = grad(loss)({name: adapted[name] for name in names})
        adapted = dict(adapted)
        for name in names:
            direction = gradient[name].detach() if inner.first_order else gradient[name]
            if RATE + name in parameters:
                direction = parameters[RATE + name] * direction
            adapted[name] = adapted[name] - inner.lr * direction
    return adapted


def adapt_tasks(
    policy: Policy, parameters: Parameters, batches: Sequence[Batch], inner: Inner, tasks: int
) -> dict[str, Tensor]:
    """Return every task's parameters, each with a leading task axis, from common ones.

    Args:
        policy: the policy.
        parameters: common to all tasks.
        batches: one a step, [task, rollout, time, ...]; none leaves the parameters as they are.
        inner: what a step is.
        tasks: how many.
    """
    if not batches:
        return {name: value.expand(tasks, *value.shape) for name, value in parameters.items()}

    def one(parameters: Parameters, batches: Sequence[Batch]) -> dict[str, Tensor]:
        return adapt(policy, parameters, batches, inner)

    return vmap(one, in_dims=(None, 0))(dict(parameters), tuple(batches))


def adapt_further(
    policy: Policy, parameters: Parameters, batch: Batch, inner: Inner
) -> dict[str, Tensor]:
    """Return every task's parameters after one more step from its own, [task, ...] each."""

    def one(parameters: Parameters, batch: Batch) -> dict[str, Tensor]:
        return adapt(policy, parameters, [batch], inner)

    return vmap(one)(dict(parameters), batch)
