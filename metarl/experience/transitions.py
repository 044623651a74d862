"""Rollouts as transitions [state, action, reward, next state], which is what the encoder sees."""

import torch
from torch import Tensor

from metarl.experience.rollouts import Rollouts


def transitions(rollouts: Rollouts) -> Tensor:
    """Return every step as [state, action, reward, next state], [task, rollout, time, transition].

    What follows the end of an episode is padding.
    """
    seen = rollouts.observations
    following = torch.cat([seen[:, :, 1:], rollouts.final_observations.unsqueeze(2)], dim=2)
    last = (rollouts.lengths - 1).clamp_min(0)[..., None, None].expand(*seen.shape[:2], 1, -1)
    last = last.expand(-1, -1, -1, seen.shape[-1])
    following = following.scatter(2, last, rollouts.final_observations.unsqueeze(2))
    return torch.cat([seen, rollouts.actions, rollouts.rewards.unsqueeze(-1), following], dim=-1)
