"""The meta-update: from experience before and after adaptation to better common parameters."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from agents.gaussian import Gaussian
from agents.policy import Parameters
from metarl.adapt import Inner, adapt_tasks
from metarl.losses import Policy, likelihood_ratio, mean_kl
from metarl.rollouts import Batch
from metarl.trust_region import (
    Evaluation,
    Trace,
    TrustRegion,
    fisher_product,
    trust_region_step,
)

Distributions = Callable[[Parameters], Gaussian]


def trpo(
    policy: Policy,
    parameters: Parameters,
    pre: Sequence[Batch],
    post: Batch,
    inner: Inner,
    settings: TrustRegion,
) -> tuple[dict[str, Tensor], Trace]:
    """Return the parameters after one trust-region step of MAML (Finn et al. 2017, algorithm 3).

    Without batches before adaptation it is a step of multi-task TRPO.

    Args:
        policy: the policy.
        parameters: common to all tasks.
        pre: one batch an inner step, [task, rollout, time, ...].
        post: sampled with the adapted parameters, [task, rollout, time, ...].
        inner: what an inner step is.
        settings: of the trust region.
    """
    adapted = adapted_policies(policy, pre, post.observations, inner)
    with torch.no_grad():
        old = adapted(parameters)

    def evaluate(candidate: Parameters) -> Evaluation:
        with torch.no_grad():
            new = adapt_tasks(policy, candidate, pre, inner, len(post.weights))
            loss = surrogate_loss(policy, new, post)
            distributions = vmap(policy)(new, post.observations)
            return Evaluation(loss, vmap(mean_kl)(old, distributions, post.weights).mean())

    gradient = meta_gradient(policy, parameters, pre, post, inner)
    fraction = settings.fisher_fraction
    sample = post.subset(fraction)
    product = fisher_product(
        adapted_policies(
            policy, [batch.subset(fraction) for batch in pre], sample.observations, inner
        ),
        parameters,
        sample.weights,
    )
    return trust_region_step(parameters, evaluate, product, gradient, settings)


def adapted_policies(
    policy: Policy, pre: Sequence[Batch], observations: Tensor, inner: Inner
) -> Distributions:
    """Return the function: common parameters -> every task's adapted policy at `observations`.

    Args:
        policy: the policy.
        pre: one batch an inner step, [task, rollout, time, ...].
        observations: where to evaluate the adapted policies, [task, rollout, time, observation].
        inner: what an inner step is.
    """

    def distributions(parameters: Parameters) -> Gaussian:
        return vmap(policy)(
            adapt_tasks(policy, parameters, pre, inner, len(observations)), observations
        )

    return distributions


def surrogate_loss(policy: Policy, adapted: Parameters, post: Batch) -> Tensor:
    """Return minus the surrogate return after adaptation: a mean over tasks of per-task means.

    Args:
        policy: the policy.
        adapted: every task's parameters, [task, ...] each.
        post: sampled with them, [task, rollout, time, ...].
    """

    def one(parameters: Parameters, batch: Batch) -> Tensor:
        return likelihood_ratio(policy, parameters, batch)

    return vmap(one)(dict(adapted), post).mean()


def meta_gradient(
    policy: Policy, parameters: Parameters, pre: Sequence[Batch], post: Batch, inner: Inner
) -> Tensor:
    """Return the gradient of the surrogate loss through the adaptation, as one vector."""
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    loss = surrogate_loss(policy, adapt_tasks(policy, leaves, pre, inner, len(post.weights)), post)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return torch.cat([gradient.reshape(-1) for gradient in gradients])
