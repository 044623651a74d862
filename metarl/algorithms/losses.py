"""Losses of one task: tensors in, a scalar out. Over tasks they are mapped by `torch.func.vmap`."""

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
    """Return minus the surrogate return, -E[ratio * A], of one task.

    The ratio is pi(a|s) / pi_old(a|s), pi_old being the policy that sampled. Where the two agree
    its gradient is the policy gradient, and its Hessian contains the terms grad log pi grad log pi'
    that the plain score-function loss -E[log pi * A] lacks when it is differentiated twice
    (Rothfuss et al. 2018, section 5; Foerster et al. 2018).

    Args:
        new: the policy's distributions.
        batch: of one task.
    """
    ratio = torch.exp(new.log_prob(batch.actions) - batch.log_probs)
    return -(batch.weights * ratio * batch.advantages).sum()


def clipped(new: Gaussian, batch: Batch, clip: float) -> Tensor:
    """Return the likelihood-ratio loss without gain from ratios beyond 1 +- clip.

    -E[min(ratio * A, clip(ratio) * A)], Schulman et al. (2017), "PPO", eq. 7.

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
    """Return -E[log pi(a|s) * A] of one task, with the right gradient and the wrong Hessian.

    For comparison only: what most published implementations differentiate twice
    (Rothfuss et al. 2018, section 4). See `likelihood_ratio` for the arguments.
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

    Loaded DiCE (Farquhar et al. 2019, eq. 8 with lambda 1): the sum over time of
    (M_t - M_(t-1)) * A_t, M_t as in `dice`. With advantages that are sums of the rewards to come it
    equals `dice` up to a constant. Its value is 0; its derivatives are what counts. Unbiased, at
    the price of more variance than `likelihood_ratio`, whose arguments it has.
    """
    magic = _magic_box(new, batch)
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


def _magic_box(new: Gaussian, batch: Batch) -> Tensor:
    """Return 1 with the derivatives of the density of all actions so far, [rollout, time]."""
    log_prob = new.log_prob(batch.actions)
    so_far = torch.where(batch.weights > 0, log_prob, 0.0).cumsum(-1)
    return torch.exp(so_far - so_far.detach())


INNER_LOSSES: dict[str, Loss] = {
    "likelihood-ratio": likelihood_ratio,
    "loaded-dice": loaded_dice,
    "dice": dice,
    "score-function": score_function,
}
"""What an inner step lowers, by name."""
