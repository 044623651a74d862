"""Observations brought to mean 0 and std 1, by what has been seen so far.

A normaliser never changes: `updated` returns another one. So a policy that holds one stays the same
policy while its rollouts are collected and learned from.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_CLIP = 10.0
_SMALLEST_STD = 1e-2


class Normaliser(NamedTuple):
    """The moments of the observations seen so far, in float64 on the CPU."""

    count: Tensor
    """How many, a scalar."""
    mean: Tensor
    """[observation]."""
    variance: Tensor
    """[observation]."""

    @classmethod
    def new(cls, size: int) -> "Normaliser":
        """Return one that has seen nothing and changes nothing but outliers.

        Args:
            size: numbers in an observation.
        """
        ones = torch.ones(size, dtype=torch.float64)
        return cls(torch.zeros((), dtype=torch.float64), torch.zeros_like(ones), ones)

    def updated(self, observations: Tensor) -> "Normaliser":
        """Return the moments of all that was seen before and these.

        Two samples' moments are joined as in Chan, Golub and LeVeque (1983), eq. 2.1.

        Args:
            observations: [n, observation].
        """
        seen = observations.double().cpu()
        if not len(seen):
            return self
        count = self.count + len(seen)
        mean = seen.mean(0)
        variance = (seen - mean).square().mean(0)  # four times as fast as torch's own
        difference = mean - self.mean
        squares = self.variance * self.count + variance * len(seen)
        squares = squares + difference.square() * self.count * len(seen) / count
        return Normaliser(count, self.mean + difference * len(seen) / count, squares / count)

    def __call__(self, observation: Tensor) -> Tensor:
        """Return normalised observations of the same shape, cut off at +-10 stds.

        Args:
            observation: [..., observation].
        """
        mean = self.mean.to(observation.device, observation.dtype)
        std = self.variance.sqrt().clamp_min(_SMALLEST_STD).to(mean)
        return ((observation - mean) / std).clamp(-_CLIP, _CLIP)
