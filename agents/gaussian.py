"""A diagonal Gaussian as plain tensors: pure functions that `torch.func` can transform.

Actions are the last axis; leading axes are whatever the mean has. Noise is an argument, so that
nothing here depends on a random stream. Below, eps = (action - mean) / std and lam = log std, and
products with exp(-lam) stand for divisions by std.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """Independent normal distributions of the action's components."""

    mean: Tensor
    """[..., action]."""
    log_std: Tensor
    """Broadcastable to the mean."""

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log-density of actions, summed over their components, [...].

        -sum(eps^2 / 2 + lam + log(2 pi) / 2).

        Args:
            action: [..., action].
        """
        noise = (action - self.mean) * (-self.log_std).exp()
        return noise_log_prob(noise, self.log_std)

    def entropy(self) -> Tensor:
        """Return the differential entropy [nat], [...]: sum(lam + log(2 pi e) / 2)."""
        constant = 0.5 * math.log(2.0 * math.pi * math.e)
        return (self.log_std + constant).expand(self.mean.shape).sum(-1)


def noise_log_prob(noise: Tensor, log_std: Tensor) -> Tensor:
    """Return the log-density of `mean + std * noise`, [...], which does not depend on the mean.

    Args:
        noise: eps, [..., action].
        log_std: lam, broadcastable to the noise.
    """
    return -(0.5 * noise.square() + log_std + 0.5 * math.log(2.0 * math.pi)).sum(-1)


def kl_divergence(p: Gaussian, q: Gaussian) -> Tensor:
    """Return KL(p || q) [nat], summed over the action's components, [...].

    sum(v + ((mean_p - mean_q) / std_q)^2 - 1 - log v) / 2, for the ratio of variances
    v = (std_p / std_q)^2.
    """
    variance_ratio = (2.0 * (p.log_std - q.log_std)).exp()
    distance = ((p.mean - q.mean) * (-q.log_std).exp()).square()
    return 0.5 * torch.sum(variance_ratio + distance - 1.0 - variance_ratio.log(), dim=-1)
