"""`Rollouts`, what happened, and `Batch`, what losses are computed from.

Every tensor has the leading axes [task, rollout, time]. Episodes that end early are padded; `valid`
says which steps took place.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Rollouts(NamedTuple):
    """Several rollouts of each of several tasks."""

    observations: Tensor
    """[task, rollout, time, observation], before each step, as the policy saw them: for a policy
    with a memory they end with its context."""
    actions: Tensor
    """[task, rollout, time, action], as the policy sampled them: in its own units, which the
    family's action scale multiplies, and before they are clipped to the control range."""
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
    """[task, rollout], bool: whether the last step left the robot at its goal; any step, where the
    family `succeeds_at_any_step`."""
    memories: Tensor
    """[task, rollout, memory]: what the policy remembers of the task after the rollout; no numbers
    for a policy without memory."""
    failed: Tensor
    """[task, rollout], bool: whether the physics blew up, which ended the episode."""
    continued: Tensor
    """[task, rollout], bool: whether the episode followed one in another task, with what was
    remembered of that one; see `metarl.sampling.trial.Trial`."""

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
        """Steps that took place in all rollouts together."""
        return int(self.valid.sum())

    def to(self, device: torch.device) -> "Rollouts":
        """Return the rollouts on another device."""
        return Rollouts(*(field.to(device) for field in self))


class Batch(NamedTuple):
    """What a loss is computed from; the same axes as `Rollouts`."""

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
    unit: Tensor
    """[task, rollout, time]: what the task's advantages and rewards were divided by, one number of
    each task; tasks can only be compared after multiplication by it."""

    def subset(self, fraction: float) -> "Batch":
        """Return evenly spaced rollouts, `fraction` of those of each task.

        Their weights are scaled to add up to 1 again, so that a weighted sum is their mean.

        Args:
            fraction: in (0, 1]; of one rollout at least.
        """
        rollouts = self.weights.shape[1]
        chosen = evenly_spaced(rollouts, fraction)
        if len(chosen) == rollouts:
            return self
        part = Batch(*(field[:, chosen] for field in self))
        return part._replace(weights=part.weights / part.weights.sum((1, 2), keepdim=True))


def evenly_spaced(count: int, fraction: float) -> list[int]:
    """Return the indices of `fraction` of `count` rollouts, of one at least, evenly spaced.

    Spaced and not drawn: the same rollouts for the same settings, without a random stream.
    """
    part = max(1, round(fraction * count))
    return [index * count // part for index in range(part)]
