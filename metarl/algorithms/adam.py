"""Adam whose moments are a plain mapping between updates, so that a checkpoint can hold them."""

from collections.abc import Mapping

import torch
from torch import Tensor

_ENTRIES = {"steps": "step", "mean": "exp_avg", "square": "exp_avg_sq"}
"""What a moment is called here, and what in `torch.optim.Adam`'s state."""


def resumed_adam(
    leaves: Mapping[str, Tensor], moments: Mapping[str, Tensor], lr: float
) -> torch.optim.Adam:
    """Return Adam (Kingma and Ba 2015, algorithm 1) over some leaves, as it was left.

    Args:
        leaves: what it steps, by name.
        moments: what `moments_of` returned after the last update; empty before the first.
        lr: the step size.
    """
    optimiser = torch.optim.Adam(leaves.values(), lr=lr)
    for name, leaf in leaves.items():
        if f"mean.{name}" in moments:
            optimiser.state[leaf] = {
                entry: moments[f"{prefix}.{name}"].clone() for prefix, entry in _ENTRIES.items()
            }
    return optimiser


def moments_of(optimiser: torch.optim.Adam, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the optimiser remembers of its leaves, by kind and name: `mean.weight0`."""
    return {
        f"{prefix}.{name}": optimiser.state[leaf][entry]
        for name, leaf in leaves.items()
        for prefix, entry in _ENTRIES.items()
    }
