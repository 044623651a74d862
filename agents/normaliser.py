"""Observations brought to mean 0 and std 1, by the moments of all observations so far.

A normaliser never changes: `updated` returns another one. So a policy that holds one stays the same
policy while its rollouts are collected and learned from.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CLIP = 10.0
"""Normalised observations are cut off here [std], as in Stable-Baselines3's `VecNormalize`."""

_SMALLEST_STD = 1e-2
"""Observations are divided by this at least: one that has hardly varied so far would be
blown up by its own std."""


class Normaliser(NamedTuple):
    """The moments of the observations seen so far, in float64 on the CPU."""

    # a field hides `tuple.count`, which nobody needs here; checkpoints know it by this name
    count: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]
    """How many, a scalar."""
    mean: Tensor
    """[observation]."""
    variance: Tensor
    """[observation]."""

    @classmethod
    def new(cls, size: int) -> "Normaliser":
        """Return a normaliser of no observations, which only cuts off outliers.

        Args:
            size: numbers in an observation.
        """
        ones = torch.ones(size, dtype=torch.float64)
        return cls(torch.zeros((), dtype=torch.float64), torch.zeros_like(ones), ones)

    def updated(self, observations: Tensor) -> "Normaliser":
        """Return the moments of these observations together with all before.

        Two samples are joined as in Chan, Golub and LeVeque (1983), eq. 2.1: for sizes m and n,
        means a and b, and sums of squared deviations S and T, the deviations of both together are
        S + T + (b - a)^2 m n / (m + n). Sums of squares themselves would cancel.

        Args:
            observations: [n, observation]; on a GPU their moments are computed there.
        """
        seen = observations.double()
        if not len(seen):
            return self
        count = self.count + len(seen)
        mean = seen.mean(0)
        variance = (seen - mean).square().mean(0).cpu()  # four times as fast as torch.var
        mean = mean.cpu()
        difference = mean - self.mean
        squares = self.variance * self.count + variance * len(seen)
        squares = squares + difference.square() * self.count * len(seen) / count
        return Normaliser(count, self.mean + difference * len(seen) / count, squares / count)

    @property
    def std(self) -> Tensor:
        """What observations are divided by, [observation]."""
        return self.variance.sqrt().clamp_min(_SMALLEST_STD)

    def __call__(self, observation: Tensor) -> Tensor:
        """Return normalised observations of the same shape, cut off at +-10 stds.

        Args:
            observation: [..., observation].
        """
        mean, std = self.mean.to(observation), self.std.to(observation)
        return ((observation - mean) / std).clamp(-_CLIP, _CLIP)

    def acting(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return the same as a function of NumPy's arrays; see `GaussianPolicy.acting`."""
        mean, std = self.mean.float().numpy(), self.std.float().numpy()

        def normalise(observation: NDArray[np.float32]) -> NDArray[np.float32]:
            normal = observation - mean
            normal /= std
            return np.clip(normal, -_CLIP, _CLIP, out=normal)

        return normalise
