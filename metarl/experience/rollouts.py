"""`Rollouts`, what happened, and `Batch`, what a learner needs of it.

Every tensor has the leading axes [task, rollout, time]. Episodes that end early are padded; `valid`
says which steps took place.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from metarl.envs.family import Family


class Rollouts(NamedTuple):
    """Experience of several rollouts of each of several tasks."""

    observations: Tensor
    """[task, rollout, time, observation], before each step."""
    actions: Tensor
    """[task, rollout, time, action], as the policy gave them."""
    means: Tensor
    """[task, rollout, time, action]: the most likely actions."""
    rewards: Tensor
    """[task, rollout, time]; 0 where not valid."""
    log_probs: Tensor
    """[task, rollout, time]: log-density of each action under the policy that took it."""
    valid: Tensor
    """[task, rollout, time], bool: whether the step took place."""
    terminated: Tensor
    """[task, rollout], bool: whether the episode ended before its time limit."""
    final_observations: Tensor
    """[task, rollout, observation], after the last step that took place."""
    succeeded: Tensor
    """[task, rollout], bool: whether the last step left the robot where it is wanted."""

    @classmethod
    def layout(
        cls, family: Family, tasks: int, rollouts: int
    ) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return the shape and type of every field."""
        each = (tasks, rollouts)
        steps = (*each, family.horizon)
        observations, actions = family.observation_size, family.action_size
        return {
            "observations": ((*steps, observations), torch.float32),
            "actions": ((*steps, actions), torch.float32),
            "means": ((*steps, actions), torch.float32),
            "rewards": (steps, torch.float32),
            "log_probs": (steps, torch.float32),
            "valid": (steps, torch.bool),
            "terminated": (each, torch.bool),
            "final_observations": ((*each, observations), torch.float32),
            "succeeded": (each, torch.bool),
        }

    @classmethod
    def empty(cls, family: Family, tasks: int, rollouts: int) -> "Rollouts":
        """Return room for some rollouts, with anything in it."""
        fields = cls.layout(family, tasks, rollouts).items()
        return cls(**{name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in fields})

    @property
    def returns(self) -> Tensor:
        """Undiscounted return of each rollout, [task, rollout]."""
        return self.rewards.sum(-1)

    @property
    def lengths(self) -> Tensor:
        """Steps that took place in each rollout, [task, rollout]."""
        return self.valid.sum(-1)

    @property
    def steps(self) -> int:
        """Steps that took place in all."""
        return int(self.valid.sum())

    def to(self, device: torch.device) -> "Rollouts":
        """Return the rollouts on another device."""
        return Rollouts(*(field.to(device) for field in self))


class Batch(NamedTuple):
    """What a loss needs: the same axes, with advantages."""

    observations: Tensor
    """[task, rollout, time, observation]."""
    actions: Tensor
    """[task, rollout, time, action]."""
    log_probs: Tensor
    """[task, rollout, time], of the policy that sampled."""
    advantages: Tensor
    """[task, rollout, time]; in units of their std within the task, when they are normalised."""
    rewards: Tensor
    """[task, rollout, time], each discounted from the start of its rollout, in the same units."""
    weights: Tensor
    """[task, rollout, time]: 1 / (valid steps of the task) where valid, else 0, so that a weighted
    sum is the task's mean."""

    def subset(self, fraction: float) -> "Batch":
        """Return evenly spaced rollouts, `fraction` of those of each task, reweighted to a mean."""
        rollouts = self.weights.shape[1]
        chosen = evenly_spaced(rollouts, fraction)
        if len(chosen) == rollouts:
            return self
        part = Batch(*(field[:, chosen] for field in self))
        return part._replace(weights=part.weights / part.weights.sum((1, 2), keepdim=True))


def evenly_spaced(count: int, fraction: float) -> list[int]:
    """Return the numbers of `fraction` of `count` rollouts, of one at least."""
    part = max(1, round(fraction * count))
    return [index * count // part for index in range(part)]
