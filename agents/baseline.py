"""A value estimate for each task, linear in simple features and fitted in closed form.

The features of Duan et al. (2016), "Benchmarking Deep Reinforcement Learning": the observation, its
square, three powers of time and a constant. The fit is exact and cheap, so it is made anew for
every task and every set of rollouts; nothing is carried over that could be stale.
"""

import torch
from torch import Tensor

_CLIP = 10.0
_TIME_SCALE = 100.0


def features(observation: Tensor, time: Tensor) -> Tensor:
    """Return [o, o^2, t, t^2, t^3, 1], [..., 2 * observation + 4], in float64.

    Args:
        observation: [..., observation]; cut off at +-10.
        time: steps since the start, broadcastable to [...].
    """
    clipped = observation.double().clamp(-_CLIP, _CLIP)
    t = (time.double() / _TIME_SCALE).expand(observation.shape[:-1]).unsqueeze(-1)
    return torch.cat([clipped, clipped.square(), t, t**2, t**3, torch.ones_like(t)], dim=-1)


def fit(inputs: Tensor, targets: Tensor, valid: Tensor, ridge: float = 1e-5) -> Tensor:
    """Fit the weights of each task by regularised least squares.

    Args:
        inputs: features, [task, n, feature], float64.
        targets: what to predict, [task, n].
        valid: which samples count, [task, n], bool.
        ridge: the regularisation, relative to the mean of the normal matrix's diagonal.

    Returns:
        Weights, [task, feature].
    """
    masked = inputs * valid.unsqueeze(-1)
    normal = masked.mT @ inputs
    scale = normal.diagonal(dim1=-2, dim2=-1).mean(-1)
    identity = torch.eye(normal.shape[-1], dtype=normal.dtype, device=normal.device)
    moment = masked.mT @ targets.double().unsqueeze(-1)
    regularised = normal + ridge * scale[:, None, None] * identity
    # not torch.linalg.solve: its batched LU is wrong for large systems on several CPU threads
    return torch.cholesky_solve(moment, torch.linalg.cholesky(regularised)).squeeze(-1)


def predict(weights: Tensor, inputs: Tensor) -> Tensor:
    """Return the values, [task, n], of inputs [task, n, feature]."""
    return (inputs @ weights.unsqueeze(-1)).squeeze(-1)
