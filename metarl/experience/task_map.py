"""`task_map`: where a family's tasks lie in the embedding space, in which a policy sees its task.

An encoder is trained by regression to these places, not by contrastive losses on distances alone.
Contrastive losses pull windows of one task together and push different tasks apart. Where a window
does not identify its task this fails: a coordinate that is hard to infer adds more spread within
tasks than it gains between them, so the encoder learns to ignore it. Of PandaReach's hidden points,
a ridge regression on contrastive embeddings of 50 steps explains 0.98 and 0.95 of the variance of y
and z and nothing of x, after 80 iterations of 20 steps as after 10; on embeddings trained by
regression to their places, 0.98, 0.97 and 0.80, and 0.38 of x after 10 already (one seed). The
minimiser of a squared distance is the posterior mean, so what is uncertain hardly shows in the
embedding.

Nor can such an embedding rotate. Distances do not fix directions: encoders trained on distances
alone rotated a little with every step, and the policy had to relearn its input.

Fixed points that samples are attracted to, in place of other samples, are the proxies of
Movshovitz-Attias et al. (2017), "No Fuss Distance Metric Learning using Proxies"; a policy that
acts on regressed parameters of its dynamics is that of Yu et al. (2017), "Preparing for the
Unknown".
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SPREAD = 5.0
"""The mean distance of two tasks; `metarl.agents.memory.SCALE` is half of it."""


class TaskMap(NamedTuple):
    """A linear map from a family's coordinates to embeddings, which scales all distances alike."""

    centre: Tensor
    """The mean of the family's coordinates, [coordinate]."""
    directions: Tensor
    """What each coordinate adds to an embedding, [coordinate, embedding]."""

    def places(self, coordinates: NDArray[np.float64]) -> Tensor:
        """Return where tasks lie, [task, embedding].

        Args:
            coordinates: of the tasks, [task, coordinate].
        """
        return (torch.from_numpy(coordinates).float() - self.centre) @ self.directions


def task_map(drawn: NDArray[np.float64], size: int) -> TaskMap:
    """Return the map of a family's tasks: their mean at 0, two of them 5 apart on average.

    Each coordinate becomes one number of the embedding; further numbers are 0. Where there are more
    coordinates than numbers, a random orthogonal projection roughly preserves their distances
    (Johnson and Lindenstrauss 1984).

    Args:
        drawn: coordinates of tasks of the family, [task, coordinate].
        size: numbers in an embedding.

    Raises:
        ValueError: when all have the same coordinates.
    """
    points = torch.from_numpy(drawn)
    centre, coordinates = points.mean(0), points.shape[1]
    directions = torch.eye(coordinates, size, dtype=points.dtype)
    if coordinates > size:
        numbers = np.random.default_rng(0).standard_normal((coordinates, size))
        directions, _ = torch.linalg.qr(torch.from_numpy(numbers))
    distances = torch.pdist(points @ directions)
    if not distances.any():
        raise ValueError("the family has a single task: there is nothing to tell apart")
    directions = directions * (SPREAD / distances.mean())
    return TaskMap(centre.float(), directions.float())
