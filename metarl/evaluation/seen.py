"""What a policy with a memory earns, by what it has seen of the task before.

It begins an episode knowing nothing of its task and adapts while it runs, without a gradient. So
its first episode is looked at in quarters, and then whole episodes after some rollouts of the task.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key

QUARTERS = ("first", "second", "third", "last")
ROLLOUTS = (1, 2, 5)
"""Counts of rollouts seen before; after all of them is what evaluation calls its first step."""


def returns_by_what_was_seen(
    learner: MAML,
    tasks: Tasks,
    first: Rollouts,
    key: Key,
    *,
    deterministic: bool = False,
    done: Callable[[], object] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Return the return of each rollout, [task, rollout], by what was seen of its task, in words.

    A quarter's return is multiplied by four (horizon / its steps), to be comparable with that of a
    whole episode. Each rollout after one, two or five others begins with the memory of those: any
    consecutive ones among the first rollouts.

    Args:
        learner: with a memory.
        tasks: a row each.
        first: their rollouts with nothing seen before, of the policy before gradient steps.
        key: of the evaluation.
        deterministic: take the most likely actions, as in the first rollouts.
        done: called after each sample of rollouts.
    """
    memory = learner.state.memory
    assert memory is not None, "a policy without memory sees nothing of its task"
    returns = {
        f"{name} quarter of the first episode": quarter.double().sum(-1).numpy()
        for name, quarter in zip(QUARTERS, _quarters(first.rewards), strict=True)
    }
    rollouts = first.rewards.shape[1]
    for count in (count for count in ROLLOUTS if count < rollouts):
        # rollout r of a task begins with the memories of rollouts r, r + 1, ..., count of them
        seen = torch.stack([first.memories.roll(-other, 1) for other in range(count)], dim=-2)
        steps = torch.stack([first.lengths.roll(-other, 1) for other in range(count)], dim=-1)
        start = memory.pooled(torch.zeros_like(first.memories), seen, steps)
        each = learner.sample(
            tasks.repeat(rollouts),
            learner.parameters,
            1,
            key._replace(iteration=3, step=count),  # 0 to 2 are the evaluations' and comparisons'
            deterministic=deterministic,
            memory=Remembered(memory, start.flatten(0, 1)),
        )
        words = f"after {count} rollout{'s' if count > 1 else ''}"
        returns[words] = each.returns.double().view(len(tasks), rollouts).numpy()
        done()
    return returns


def _quarters(rewards: torch.Tensor) -> Sequence[torch.Tensor]:
    """Return rewards [task, rollout, time] in four parts along time, each as of a whole episode."""
    horizon = rewards.shape[-1]
    parts = torch.tensor_split(rewards, len(QUARTERS), dim=-1)
    return [part * (horizon / max(1, part.shape[-1])) for part in parts]
