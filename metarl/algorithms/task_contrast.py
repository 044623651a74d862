"""Pairs of windows of several tasks, whose embeddings are brought together or kept apart.

The losses that take the distances are in `metarl.agents.contrast`.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.siamese import SiameseEncoder


class Pairs:
    """Pairs of windows, two of each of some tasks."""

    def __init__(self, transitions: Tensor, valid: Tensor, apart: Tensor) -> None:
        """Take what happened in at least two rollouts of each task.

        Args:
            transitions: [task, rollout, time, transition].
            valid: which of them took place, [task, rollout, time].
            apart: how different the tasks are, [task, task].
        """
        self.transitions, self.valid, self.apart = transitions, valid, apart

    def draw(
        self, count: int, window: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return windows, which of their steps took place, and how different their tasks are.

        Args:
            count: tasks.
            window: control steps.
            generator: draws tasks, rollouts and where windows begin.

        Returns:
            [2, task, time, transition], [2, task, time] and [task, task].
        """
        tasks, rollouts, horizon, _ = self.transitions.shape
        window = min(window, horizon)
        chosen = torch.randperm(tasks, generator=generator)[:count]
        first = torch.randint(rollouts, (len(chosen),), generator=generator)
        shift = torch.randint(1, rollouts, (len(chosen),), generator=generator)
        which = torch.stack([first, (first + shift) % rollouts])  # two different rollouts
        lengths = self.valid.sum(-1).cpu()[chosen, which]
        latest = (lengths - window).clamp_min(0)
        begin = (torch.rand(which.shape, generator=generator) * (latest + 1)).long()
        steps = begin.unsqueeze(-1) + torch.arange(window)
        index = (chosen.view(1, -1, 1), which.unsqueeze(-1), steps)
        apart = self.apart[chosen][:, chosen]
        return self.transitions[index], self.valid[index], apart


def task_differences(coordinates: NDArray[np.float64]) -> Tensor:
    """Return the distances of tasks, [task, task], relative to their mean."""
    points = torch.from_numpy(coordinates).float()
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (len(points) * (len(points) - 1))
    if mean == 0.0:
        raise ValueError("the family has a single task: there is nothing to compare")
    return distances / mean


def pair_distances(encoder: SiameseEncoder, windows: Tensor, valid: Tensor) -> Tensor:
    """Return the distances of embeddings of first windows (row) and second ones, [task, task].

    Args:
        encoder: embeds the windows.
        windows: two of each task, [2, task, time, transition].
        valid: which of their steps took place, [2, task, time].
    """
    first, second = encoder.forward_once(windows, valid)
    # a tiny constant: the root has no gradient at 0
    squares = (first.unsqueeze(1) - second.unsqueeze(0)).square().sum(-1)
    return (squares + 1e-12).sqrt()
