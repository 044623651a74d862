"""Losses that bring embeddings of one task together and keep those of different tasks apart.

All take a matrix of distances between two embeddings of each of several tasks, [task, task]: the
diagonal holds pairs of one task, the rest pairs of different ones.
"""

from collections.abc import Callable

import torch
from torch import Tensor

ContrastLoss = Callable[[Tensor, Tensor, float], Tensor]


def contrastive(distances: Tensor, apart: Tensor, margin: float) -> Tensor:
    """Return d^2 of one task's pairs plus max(0, margin - d)^2 of the others, each as a mean.

    Hadsell, Chopra and LeCun (2006), eq. 4, with a margin that grows with how different the tasks
    are, so that distances come to tell more than same or different.

    Args:
        distances: of the embeddings, [task, task].
        apart: how different the tasks are, [task, task]; 0 on the diagonal, 1 on average.
        margin: of tasks that are 1 apart.
    """
    same, different = _split(distances)
    wanted = margin * _split(apart)[1]
    return same.square().mean() + (wanted - different).clamp_min(0.0).square().mean()


def triplet(distances: Tensor, apart: Tensor, margin: float) -> Tensor:
    """Return the mean of max(0, d_same - d_different + margin) over all pairs of pairs.

    Schroff, Kalenichenko and Philbin (2015), eq. 2, with the margin of `contrastive`, whose
    arguments it has.
    """
    same, different = _split(distances)
    wanted = margin * _split(apart)[1]
    excess = same.repeat_interleave(len(distances) - 1) - different + wanted
    return excess.clamp_min(0.0).mean()


def info_nce(distances: Tensor, apart: Tensor, margin: float) -> Tensor:
    """Return the cross-entropy of finding one's own task among all, by distance.

    Van den Oord, Li and Vinyals (2018), eq. 4, with -d^2 / margin^2 for the score.

    Args:
        distances: of the embeddings, [task, task].
        apart: not looked at.
        margin: the distance at which a task's odds fall to 1 / e.
    """
    scores = -(distances / margin).square()
    own = torch.arange(len(distances), device=distances.device)
    return torch.nn.functional.cross_entropy(scores, own)


LOSSES: dict[str, ContrastLoss] = {
    "contrastive": contrastive,
    "triplet": triplet,
    "info-nce": info_nce,
}
"""By name."""


def _split(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the diagonal, [task], and the rest row by row, [task * (task - 1)]."""
    rest = ~torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)
    return matrix.diagonal(), matrix[rest]
