"""A diagonal Gaussian as plain tensors: pure functions that `torch.func` can transform.

Actions are the last axis; leading axes are whatever the mean has. Noise is drawn outside.
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

    def sample(self, noise: Tensor) -> Tensor:
        """Return `mean + std * noise`, [..., action], for standard normal noise."""
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log-density of actions, summed over their components, [...]."""
        noise = (action - self.mean) * (-self.log_std).exp()
        return noise_log_prob(noise, self.log_std)

    def entropy(self) -> Tensor:
        """Return the differential entropy [nat], [...]."""
        constant = 0.5 * math.log(2.0 * math.pi * math.e)
        return (self.log_std + constant).expand(self.mean.shape).sum(-1)


def noise_log_prob(noise: Tensor, log_std: Tensor) -> Tensor:
    """Return the log-density of `mean + std * noise`, [...]: it does not depend on the mean."""
    return -(0.5 * noise.square() + log_std + 0.5 * math.log(2.0 * math.pi)).sum(-1)


def kl_divergence(p: Gaussian, q: Gaussian) -> Tensor:
    """Return KL(p || q) [nat], summed over the action's components, [...]."""
    variance_ratio = (2.0 * (p.log_std - q.log_std)).exp()
    distance = ((p.mean - q.mean) * (-q.log_std).exp()).square()
    return 0.5 * torch.sum(variance_ratio + distance - 1.0 - variance_ratio.log(), dim=-1)
