"""Rollouts as transitions [state, action, reward, next state], which is what the encoder sees."""

import torch
from torch import Tensor

from metarl.experience.rollouts import Rollouts


def transitions(rollouts: Rollouts, observation_size: int) -> Tensor:
    """Return every step as [state, action, reward, next state], [task, rollout, time, transition].

    What follows the end of an episode is padding.

    Args:
        rollouts: the rollouts.
        observation_size: numbers that the robot itself observes; what a policy with a memory sees
            behind them is left out.
    """
    seen = rollouts.observations[..., :observation_size]
    final = rollouts.final_observations[..., :observation_size].unsqueeze(2)
    following = torch.cat([seen[:, :, 1:], final], dim=2)
    last = (rollouts.lengths - 1).clamp_min(0)[..., None, None].expand(*seen.shape[:2], 1, -1)
    last = last.expand(-1, -1, -1, seen.shape[-1])
    following = following.scatter(2, last, final)
    return torch.cat([seen, rollouts.actions, rollouts.rewards.unsqueeze(-1), following], dim=-1)
