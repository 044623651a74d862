"""Rollouts as transitions, which is what an encoder sees, and windows of them to train it on."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.siamese import SiameseEncoder
from metarl.experience.rollouts import Rollouts


def transitions(rollouts: Rollouts, encoder: SiameseEncoder) -> Tensor:
    """Return every step as an encoder sees it, [task, rollout, time, transition].

    A transition is [state, action, reward, next state, change of reward], with rewards as if
    actions cost nothing, and for the last number the reward minus that of the step before, 0 in the
    first step of an episode. What follows the end of an episode is padding.

    Args:
        rollouts: the rollouts.
        encoder: knows what the robot itself observes (what a policy with a memory sees behind that
            is left out) and what actions cost.
    """
    seen = rollouts.observations[..., : encoder.observation_size]
    final = rollouts.final_observations[..., : encoder.observation_size].unsqueeze(2)
    following = torch.cat([seen[:, :, 1:], final], dim=2)
    last = (rollouts.lengths - 1).clamp_min(0)[..., None, None].expand(*seen.shape[:2], 1, -1)
    last = last.expand(-1, -1, -1, seen.shape[-1])
    following = following.scatter(2, last, final)
    rewards = encoder.gross_reward(rollouts.rewards.unsqueeze(-1), rollouts.actions)
    changes = rewards.diff(dim=2, prepend=rewards[:, :, :1])
    return torch.cat([seen, rollouts.actions, rewards, following, changes], dim=-1)


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
        tasks, rollouts = self.valid.shape[:2]
        chosen = torch.randperm(tasks, generator=generator)[:count]
        first = torch.randint(rollouts, (len(chosen),), generator=generator)
        shift = torch.randint(1, rollouts, (len(chosen),), generator=generator)
        which = torch.stack([first, (first + shift) % rollouts])  # two different rollouts
        index = windows_of(self.valid, chosen.expand_as(which), which, window, generator)
        apart = self.apart[chosen][:, chosen]
        return self.transitions[index], self.valid[index], apart


def windows_of(
    valid: Tensor, tasks: Tensor, rollouts: Tensor, window: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return where windows lie in arrays [task, rollout, time, ...], as an index of them.

    Each begins at random, early enough to end within its episode; where an episode is shorter than
    a window, the window begins with it and extends into the padding.

    Args:
        valid: which steps took place, [task, rollout, time].
        tasks: the window's task, [...].
        rollouts: the window's rollout, [...].
        window: control steps; no more than the horizon are taken.
        generator: draws where windows begin.

    Returns:
        The numbers of tasks [..., 1], rollouts [..., 1] and steps [..., time].
    """
    window = min(window, valid.shape[-1])
    lengths = valid.sum(-1).cpu()[tasks, rollouts]
    latest = (lengths - window).clamp_min(0)
    begin = (torch.rand(tasks.shape, generator=generator) * (latest + 1)).long()
    steps = begin.unsqueeze(-1) + torch.arange(window)
    return tasks.unsqueeze(-1), rollouts.unsqueeze(-1), steps


def task_differences(coordinates: NDArray[np.float64]) -> Tensor:
    """Return the distances of tasks, [task, task], relative to their mean."""
    points = torch.from_numpy(coordinates).float()
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (len(points) * (len(points) - 1))
    if mean == 0.0:
        raise ValueError("the family has a single task: there is nothing to compare")
    return distances / mean
