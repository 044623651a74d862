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


def score_function(policy: Policy, parameters: Parameters, batch: Batch) -> Tensor:
    """Return -E[log pi(a|s) * A] of one task, with the right gradient and the wrong Hessian.

    For comparison only: what most published implementations differentiate twice
    (Rothfuss et al. 2018, section 4). See `likelihood_ratio` for the arguments.
    """
    log_prob = policy(parameters, batch.observations).log_prob(batch.actions)
    return -(batch.weights * log_prob * batch.advantages).sum()


def loaded_dice(policy: Policy, parameters: Parameters, batch: Batch) -> Tensor:
    """Return a loss whose derivatives of every order are those of minus the expected return.

    Loaded DiCE (Farquhar et al. 2019, eq. 8 with lambda 1): the sum over time of
    (M_t - M_(t-1)) * A_t, where M_t = exp(c_t - stop(c_t)) for the log-probability c_t of all
    actions up to t. With advantages that are sums of the rewards to come it equals DiCE
    (Foerster et al. 2018, eq. 6) up to a constant. Its value is 0; its derivatives are what counts.
    Unbiased, at the price of more variance than `likelihood_ratio`, whose arguments it has.
    """
    log_prob = policy(parameters, batch.observations).log_prob(batch.actions)
    so_far = torch.where(batch.weights > 0, log_prob, 0.0).cumsum(-1)
    magic = torch.exp(so_far - so_far.detach())
    before = torch.cat([torch.ones_like(magic[..., :1]), magic[..., :-1]], dim=-1)
    return -(batch.weights * (magic - before) * batch.advantages).sum()


def mean_kl(old: Gaussian, new: Gaussian, weights: Tensor) -> Tensor:
    """Return the mean of KL(old || new) over the valid steps of one task [nat].

    Args:
        old: the distributions before, [rollout, time, action].
        new: the distributions after.
        weights: as in `Batch`, [rollout, time].
    """
    return (weights * kl_divergence(old, new)).sum()
