"""What is remembered of several tasks, from one collection of rollouts to the next."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.memory import TaskMemory
from metarl.experience.rollouts import Rollouts
from metarl.experience.transitions import transitions


class Remembered(NamedTuple):
    """What every rollout of a task begins with, when the policy has a memory."""

    rules: TaskMemory
    start: Tensor
    """The memory of each task so far, [task, memory]; 0 for a task not met before."""
    told: Tensor | None = None
    """What the policy sees in the last simulations of each task, where it is told the task instead:
    [task, simulation, context]. None where it is told nothing."""

    def forgetting(self, window: int | None) -> "Remembered":
        """Return it with a memory that forgets, for tasks that change; see `TaskMemory`.

        Args:
            window: control steps after which a transition counts e times less; None for never.
        """
        rules = self.rules.forgetting(window)
        return Remembered(rules, rules.bounded(self.start))

    def never_forgetting(self) -> "Remembered":
        """Return it with a memory that keeps everything, whatever happens."""
        return Remembered(replace(self.rules, keep=1.0, tolerance=math.inf), self.start)

    def of_one_task(self) -> NDArray[np.float32]:
        """Return what is remembered of a single task, [memory].

        Raises:
            ValueError: when these are memories of several.
        """
        if len(self.start) != 1:
            raise ValueError(
                f"an actor has the memory of one task, got those of {len(self.start)}: "
                "memory._replace(start=memory.start[[number]]) is one's"
            )
        return self.start[0].numpy()

    def pooled(self, rollouts: Rollouts, episodes: int = 1) -> "Remembered":
        """Return the memories that also hold what all rollouts of each task saw.

        Args:
            rollouts: with these memories at their beginning.
            episodes: how many each simulation took in a row: the last one's memory holds the
                others', which come before it.
        """
        memories, lengths = (
            each.unflatten(1, (episodes, -1)) for each in (rollouts.memories, rollouts.lengths)
        )
        return self._replace(start=self.rules.pooled(self.start, memories[:, -1], lengths.sum(1)))


def nothing_seen(rules: TaskMemory | None, tasks: int) -> Remembered | None:
    """Return the memories of tasks not met before; None without a memory."""
    return Remembered(rules, torch.zeros(tasks, rules.size)) if rules else None


def with_contexts(rollouts: Rollouts, memory: Remembered) -> Rollouts:
    """Return rollouts with what a policy with a memory saw, behind the robot's observations.

    Args:
        rollouts: with the robot's own observations only.
        memory: what they began with.
    """
    rules = memory.rules
    taken = transitions(rollouts, rules.encoder)
    start = memory.start.unsqueeze(1).expand(-1, taken.shape[1], -1)
    contexts, memories = rules.along(start, taken, rollouts.valid)
    after = rollouts.lengths[..., None, None].expand(*rollouts.lengths.shape, 1, rules.context_size)
    final = contexts.gather(2, after).squeeze(2)
    return rollouts._replace(
        observations=torch.cat([rollouts.observations, contexts[:, :, :-1]], dim=-1),
        final_observations=torch.cat([rollouts.final_observations, final], dim=-1),
        memories=memories,
    )
