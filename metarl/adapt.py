"""Adaptation: a few gradient steps from common parameters to each task's own.

Written for one task; `adapt_tasks` maps it over all tasks at once. It is differentiable: outer
gradients and Fisher products pass through it.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.func import grad, vmap

from agents.policy import Parameters
from metarl.losses import Policy, likelihood_ratio
from metarl.rollouts import Batch


def adapt(
    policy: Policy, parameters: Parameters, batches: Sequence[Batch], inner_lr: float
) -> dict[str, Tensor]:
    """Return one task's parameters after a gradient step on each batch (Finn et al. 2017, eq. 1).

    Args:
        policy: the policy.
        parameters: where to start.
        batches: one a step, [rollout, time, ...], each sampled with the parameters before its step.
        inner_lr: the step size.
    """
    adapted = dict(parameters)
    for batch in batches:
        gradient = grad(likelihood_ratio, argnums=1)(policy, adapted, batch)
        adapted = {name: value - inner_lr * gradient[name] for name, value in adapted.items()}
    return adapted


def adapt_tasks(
    policy: Policy, parameters: Parameters, batches: Sequence[Batch], inner_lr: float
) -> dict[str, Tensor]:
    """Return every task's parameters, each with a leading task axis, from common ones.

    Args:
        policy: the policy.
        parameters: common to all tasks.
        batches: one a step, [task, rollout, time, ...].
        inner_lr: the step size.
    """

    def one(parameters: Parameters, batches: Sequence[Batch]) -> dict[str, Tensor]:
        return adapt(policy, parameters, batches, inner_lr)

    return vmap(one, in_dims=(None, 0))(dict(parameters), tuple(batches))


def adapt_further(
    policy: Policy, parameters: Parameters, batch: Batch, inner_lr: float
) -> dict[str, Tensor]:
    """Return every task's parameters after one more step from its own, [task, ...] each."""

    def one(parameters: Parameters, batch: Batch) -> dict[str, Tensor]:
        return adapt(policy, parameters, [batch], inner_lr)

    return vmap(one)(dict(parameters), batch)
