"""Adaptation: a few gradient steps from common parameters to those of each task.

Written for one task; `adapt_tasks` maps it over all tasks at once. It is differentiable: outer
gradients and Fisher products pass through it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.func import grad, vmap

from metarl.agents.policy import Parameters
from metarl.algorithms.losses import Loss, Policy, likelihood_ratio
from metarl.experience.rollouts import Batch

RATE = "rate_"
"""`rate_weight0`, when among the parameters, multiplies the steps of `weight0`, element by element:
learned step sizes (Li et al. 2017, "Meta-SGD", eq. 2)."""


class Inner(NamedTuple):
    """What an inner step is."""

    lr: float
    """The step size, alpha."""
    loss: Loss = likelihood_ratio
    """What the step lowers, of one task."""
    first_order: bool = False
    """Whether outer gradients treat the step as a constant (Finn et al. 2017, section 5.2)."""
    adapts: tuple[str, ...] = ()
    """The names of the parameters that move; empty for all of them."""
    fresh: Mapping[str, Tensor] = {}
    """Parameters that are not common to tasks: they start each adaptation with these values. CAVIA
    starts its context at 0 (Zintgraf et al. 2019, section 3.1)."""


def adapt(
    policy: Policy, parameters: Parameters, batches: Sequence[Batch], inner: Inner
) -> list[dict[str, Tensor]]:
    """Return one task's parameters before the first gradient step and after each.

    A step is theta' = theta - alpha grad L(theta) (Finn et al. 2017, eq. 1), with learned rates r
    theta' = theta - alpha r grad L(theta), element by element (Li et al. 2017, eq. 2).

    Args:
        policy: the policy.
        parameters: where to start.
        batches: one a step, [rollout, time, ...], each sampled with the parameters before its step.
        inner: what a step is.
    """
    stages = [{**inner.fresh, **parameters}]
    # rates are not moved by the steps that they scale; the outer step alone learns them
    names = inner.adapts or tuple(name for name in parameters if not name.startswith(RATE))
    for batch in batches:
        current = stages[-1]

        def loss(
            moving: dict[str, Tensor],
            # defaults bind this step's values: a closure would look the names up when it is called
            current: dict[str, Tensor] = current,
            batch: Batch = batch,
        ) -> Tensor:
            return inner.loss(policy({**current, **moving}, batch.observations), batch)

        gradient = grad(loss)({name: current[name] for name in names})
        adapted = dict(current)
        for name in names:
            # detached, the step is a constant to outer gradients: d theta' / d theta = 1
            direction = gradient[name].detach() if inner.first_order else gradient[name]
            if RATE + name in parameters:
                direction = parameters[RATE + name] * direction
            adapted[name] = current[name] - inner.lr * direction
        stages.append(adapted)
    return stages


def adapt_tasks(
    policy: Policy, parameters: Parameters, batches: Sequence[Batch], inner: Inner
) -> list[dict[str, Tensor]]:
    """Return every task's parameters at every stage, [task, ...] each, from common ones.

    Args:
        policy: the policy.
        parameters: common to all tasks.
        batches: one a step, [task, rollout, time, ...]; at least one.
        inner: what a step is.
    """

    def one(parameters: Parameters, batches: Sequence[Batch]) -> list[dict[str, Tensor]]:
        return adapt(policy, parameters, batches, inner)

    return vmap(one, in_dims=(None, 0))(dict(parameters), tuple(batches))


def adapt_further(
    policy: Policy, parameters: Parameters, batch: Batch, inner: Inner
) -> dict[str, Tensor]:
    """Return every task's parameters after one more step, [task, ...] each.

    Args:
        policy: the policy.
        parameters: where each task starts, [task, ...] each.
        batch: [task, rollout, time, ...], sampled with these parameters.
        inner: what a step is.
    """

    def one(parameters: Parameters, batch: Batch) -> dict[str, Tensor]:
        return adapt(policy, parameters, [batch], inner)[-1]

    return vmap(one)(dict(parameters), batch)
