"""A value estimate for each task, linear in simple features and fitted in closed form.

The features of Duan et al. (2016), "Benchmarking Deep Reinforcement Learning": the observation, its
square, three powers of time and a constant. The fit is exact and cheap, so every task and every set
of rollouts gets one of its own; nothing is carried over that could be stale.

Episodes that continue from another task begin at full speed with that task's memory, and earn less
at first than observations and time explain. Without features of their own they bias the fit for all
other episodes: WalkerRandParams, where they are a sixteenth of all episodes, had 324 without these
features and has 354 with them (one seed).
"""

import torch
from torch import Tensor

_CLIP = 10.0
"""Observations are cut off here, as in the code of Duan et al. (rllab, `LinearFeatureBaseline`):
outliers, squared, would dominate the fit."""

_TIME_SCALE = 100.0
"""Time steps in a unit of time; rllab's. It keeps t^3 near the other features' size."""

_COMING_ROUND = 5.0, 20.0
"""Time constants [time steps] of the transient after a change of task: the memory notices it in
about 5, the body turns round in about 20."""


def features(observation: Tensor, time: Tensor, continued: Tensor | None = None) -> Tensor:
    """Return [o, o^2, t, t^2, t^3, 1], [..., 2 * observation + 4], in float64.

    Args:
        observation: o, [..., observation]; cut off at +-10.
        time: steps since the start of the rollout, broadcastable to [...]; t is a hundredth of it.
        continued: whether the episode continues from another task, broadcastable to [...]. With
            it, five more features follow: [1, t, t^2, e^(-s/5), e^(-s/20)] where it does, zeros
            where it does not; s is the time in steps.
    """
    clipped = observation.double().clamp(-_CLIP, _CLIP)
    steps = time.double().expand(observation.shape[:-1])
    t = steps / _TIME_SCALE
    one = torch.ones_like(t)
    parts = [clipped, clipped.square(), torch.stack([t, t**2, t**3, one], dim=-1)]
    if continued is not None:
        fading = [torch.exp(-steps / scale) for scale in _COMING_ROUND]
        since = torch.stack([one, t, t**2, *fading], dim=-1)
        parts.append(continued.unsqueeze(-1) * since)
    return torch.cat(parts, dim=-1)


def fit(inputs: Tensor, targets: Tensor, valid: Tensor, ridge: float = 1e-5) -> Tensor:
    """Fit the weights of each task by ridge regression, w = (X'X + r m I)^-1 X'y.

    X are the valid inputs, y their targets, r is `ridge` and m the mean of the diagonal of X'X, so
    that the regularisation does not depend on the number of samples or on their unit.

    Args:
        inputs: features, [task, n, feature], float64.
        targets: what to predict, [task, n].
        valid: which samples count, [task, n], bool.
        ridge: r. Features that never vary, or vary together, would make X'X singular without it.

    Returns:
        Weights, [task, feature].
    """
    masked = inputs * valid.unsqueeze(-1)
    normal = masked.mT @ inputs
    scale = normal.diagonal(dim1=-2, dim2=-1).mean(-1)
    identity = torch.eye(normal.shape[-1], dtype=normal.dtype, device=normal.device)
    moment = masked.mT @ targets.double().unsqueeze(-1)
    regularised = normal + ridge * scale[:, None, None] * identity
    # The matrix is symmetric and positive definite, so Cholesky does. torch.linalg.solve does not:
    # its batched LU gives wrong numbers for large systems on several CPU threads.
    return torch.cholesky_solve(moment, torch.linalg.cholesky(regularised)).squeeze(-1)


def predict(weights: Tensor, inputs: Tensor) -> Tensor:
    """Return the values, [task, n], of inputs [task, n, feature]."""
    return (inputs @ weights.unsqueeze(-1)).squeeze(-1)
