"""Losses of one task: tensors in, a scalar out. Over tasks they are mapped by `torch.func.vmap`."""

from typing import Protocol

import torch
from torch import Tensor

from agents.gaussian import Gaussian, kl_divergence
from agents.policy import Parameters
from metarl.rollouts import Batch


class Policy(Protocol):
    """Anything that maps parameters and observations to a distribution of actions."""

    def __call__(self, parameters: Parameters, observation: Tensor) -> Gaussian:
        """Return the distribution, [..., action] for observations [..., observation]."""
        ...


def likelihood_ratio(policy: Policy, parameters: Parameters, batch: Batch) -> Tensor:
    """Return minus the surrogate return, -E[ratio * A], of one task.

    The ratio is pi(a|s) / pi_old(a|s), pi_old being the policy that sampled. Where the two agree
    its gradient is the policy gradient, and its Hessian contains the terms grad log pi grad log pi'
    that the plain score-function loss -E[log pi * A] lacks when it is differentiated twice
    (Rothfuss et al. 2018, section 5; Foerster et al. 2018).

    Args:
        policy: the policy.
        parameters: of one task.
        batch: of one task, [rollout, time, ...].
    """
    log_prob = policy(parameters, batch.observations).log_prob(batch.actions)
    ratio = torch.exp(log_prob - batch.log_probs)
    return -(batch.weights * ratio * batch.advantages).sum()


def mean_kl(old: Gaussian, new: Gaussian, weights: Tensor) -> Tensor:
    """Return the mean of KL(old || new) over the valid steps of one task [nat].

    Args:
        old: the distributions before, [rollout, time, action].
        new: the distributions after.
        weights: as in `Batch`, [rollout, time].
    """
    return (weights * kl_divergence(old, new)).sum()
