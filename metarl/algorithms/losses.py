"""Losses of one task: tensors in, a scalar out. Over tasks they are mapped by `torch.func.vmap`.

E[x] is the mean of x over the valid steps of a task, sum(batch.weights * x). All of them have the
policy gradient as their gradient, where the policy is the one that sampled. They differ in their
second derivatives, through which outer gradients pass; docs/algorithms.md has a table.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from metarl.agents.gaussian import Gaussian, kl_divergence
from metarl.agents.policy import Parameters
from metarl.experience.rollouts import Batch


class Policy(Protocol):
    """Anything that maps parameters and observations to a distribution of actions."""

    def __call__(self, parameters: Parameters, observation: Tensor) -> Gaussian:
        """Return the distribution, [..., action] for observations [..., observation]."""
        ...


Loss = Callable[[Gaussian, Batch], Tensor]
"""The distributions of a policy at a batch's observations, [rollout, time, action], and the batch
of one task, [rollout, time, ...] -> a scalar."""


def likelihood_ratio(new: Gaussian, batch: Batch) -> Tensor:
    """Return minus the surrogate return, -E[rho A], of one task.

    rho = pi(a|s) / pi_old(a|s), pi_old being the policy that sampled. Where the two agree its
    gradient is the policy gradient, and its Hessian contains the terms grad log pi grad log pi'
    that the plain score-function loss -E[log pi * A] lacks when it is differentiated twice
    (Rothfuss et al. 2018, "ProMP", section 5; Foerster et al. 2018, "DiCE").

    Args:
        new: the policy's distributions.
        batch: of one task.
    """
    # as a difference of logarithms: densities of many actions over- and underflow
    ratio = torch.exp(new.log_prob(batch.actions) - batch.log_probs)
    return -(batch.weights * ratio * batch.advantages).sum()


def clipped(new: Gaussian, batch: Batch, clip: float) -> Tensor:
    """Return the likelihood-ratio loss without gain from ratios beyond 1 +- clip.

    -E[min(rho A, clip(rho, 1 - clip, 1 + clip) A)], Schulman et al. (2017), "PPO", eq. 7. The
    minimum makes it a bound from below: a ratio that is already too far and does harm still counts.

    Args:
        new: the policy's distributions.
        batch: of one task.
        clip: how far a ratio may be from 1.
    """
    ratio = torch.exp(new.log_prob(batch.actions) - batch.log_probs)
    within = ratio.clamp(1.0 - clip, 1.0 + clip)
    gain = torch.minimum(ratio * batch.advantages, within * batch.advantages)
    return -(batch.weights * gain).sum()


def score_function(new: Gaussian, batch: Batch) -> Tensor:
    """Return -E[log pi(a|s) A] of one task, with the right gradient and the wrong Hessian.

    What most published implementations differentiate twice (Rothfuss et al. 2018, section 4); it is
    here for comparison, and for E-MAML, whose credit stands for the missing terms. See
    `likelihood_ratio` for the arguments.
    """
    return -(batch.weights * new.log_prob(batch.actions) * batch.advantages).sum()


def dice(new: Gaussian, batch: Batch) -> Tensor:
    """Return -E[sum_t M_t r_t], whose derivatives of every order are those of minus the return.

    DiCE (Foerster et al. 2018, eq. 6): M_t = exp(c_t - stop(c_t)) for the log-probability c_t of
    all actions up to t, and rewards r_t discounted from the start. Without a baseline its variance
    is large; `loaded_dice` has one. See `likelihood_ratio` for the arguments.
    """
    return -(batch.weights * _magic_box(new, batch) * batch.rewards).sum()


def loaded_dice(new: Gaussian, batch: Batch) -> Tensor:
    """Return a loss whose derivatives of every order are those of minus the expected return.

    Loaded DiCE (Farquhar et al. 2019, eq. 8 with lambda 1): -E[(M_t - M_(t-1)) A_t], M_t as in
    `dice`. With advantages that are sums of the rewards to come it equals `dice` up to a constant:
    that is summation by parts. Its value is 0; its derivatives are what counts. Unbiased, at the
    price of more variance than `likelihood_ratio`, whose arguments it has.
    """
    magic = _magic_box(new, batch)
    before = torch.cat([torch.ones_like(magic[..., :1]), magic[..., :-1]], dim=-1)
    return -(batch.weights * (magic - before) * batch.advantages).sum()


def mean_kl(old: Gaussian, new: Gaussian, weights: Tensor) -> Tensor:
    """Return E[KL(old || new)], the mean over the valid steps of one task [nat].

    Args:
        old: the distributions before, [rollout, time, action].
        new: the distributions after.
        weights: as in `Batch`, [rollout, time].
    """
    return (weights * kl_divergence(old, new)).sum()


def _magic_box(new: Gaussian, batch: Batch) -> Tensor:
    """Return M_t = exp(c_t - stop(c_t)), [rollout, time]: the "magic box" of Foerster et al. 2018.

    Its value is 1. Its derivatives are those of the density of all actions so far, relative to it.
    """
    log_prob = new.log_prob(batch.actions)
    so_far = torch.where(batch.weights > 0, log_prob, 0.0).cumsum(-1)  # padding adds nothing
    return torch.exp(so_far - so_far.detach())


INNER_LOSSES: dict[str, Loss] = {
    "likelihood-ratio": likelihood_ratio,
    "loaded-dice": loaded_dice,
    "dice": dice,
    "score-function": score_function,
}
"""What an inner step lowers, by the name that the setting `inner_loss` has for it."""
