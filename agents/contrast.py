"""Losses that bring embeddings of one task together and keep those of different tasks apart.

All take a matrix of distances between two embeddings of each of several tasks, [task, task]: the
diagonal holds pairs of one task, the rest pairs of different ones.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from metarl.agents.siamese import SiameseEncoder

ContrastLoss = Callable[[Tensor, Tensor, float], Tensor]


def contrastive(distances: Tensor, apart: Tensor, margin: float) -> Tensor:
    """Return the mean of d^2 over one task's pairs plus that of max(0, m - d)^2 over the others.

    Hadsell, Chopra and LeCun (2006), eq. 4, with a margin m = margin * apart that grows with how
    different the tasks are, so that distances come to tell more than same or different.

    Args:
        distances: of the embeddings, [task, task].
        apart: how different the tasks are, [task, task]; 0 on the diagonal, 1 on average.
        margin: of tasks that are 1 apart.
    """
    same, different = _split(distances)
    margins = margin * _split(apart)[1]
    return same.square().mean() + (margins - different).clamp_min(0.0).square().mean()


def triplet(distances: Tensor, apart: Tensor, margin: float) -> Tensor:
    """Return the mean of max(0, d_same - d_different + m) over all pairs of one pair of each kind.

    Schroff, Kalenichenko and Philbin (2015), section 3.1, with the margin m of `contrastive`, whose
    arguments it has, and distances instead of their squares.
    """
    same, different = _split(distances)
    margins = margin * _split(apart)[1]
    # row by row, `different` has task - 1 entries for each task's pair in `same`
    excess = same.repeat_interleave(len(distances) - 1) - different + margins
    return excess.clamp_min(0.0).mean()


def info_nce(distances: Tensor, apart: Tensor, margin: float) -> Tensor:
    """Return the cross-entropy of picking the matching task among all, by distance.

    Van den Oord, Li and Vinyals (2018), eq. 4, with -d^2 / margin^2 for the score.

    Args:
        distances: of the embeddings, [task, task].
        apart: ignored.
        margin: the distance at which a task's odds fall to 1 / e of those at distance 0.
    """
    scores = -(distances / margin).square()
    matching = torch.arange(len(distances), device=distances.device)
    return torch.nn.functional.cross_entropy(scores, matching)


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


LOSSES: dict[str, ContrastLoss] = {
    "contrastive": contrastive,
    "triplet": triplet,
    "info-nce": info_nce,
}
"""By the name that the setting `loss` of `SimilarityConfig` has for it."""


def _split(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the diagonal, [task], and the rest row by row, [task * (task - 1)]."""
    rest = ~torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)
    return matrix.diagonal(), matrix[rest]
