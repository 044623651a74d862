"""`TaskMemory`: how a policy remembers which task it is in, while it runs.

The Siamese encoder embeds a window of transitions as g(mean of f(x)) over its transitions x. So a
running sum of f(x) and a count are all that has to be kept of any number of transitions, and one
more costs the same whether it is the first or the thousandth:

    memory  m = (sum of f(x), n)                       [hidden + 1] numbers, all 0 at first
    context z = g(sum / n) / 2.5 * (1 - exp(-n / 5))   what the policy sees beside its observation

The memory is a plain array that belongs to a rollout; this object holds only the rules. That a
policy should act on what it infers of its task from transitions is the idea of RL2 (Duan et al.
2016), PEARL (Rakelly et al. 2019), VariBAD (Zintgraf et al. 2020) and RMA (Kumar et al. 2021); that
a distance between tasks may teach the inference, of FOCAL (Li et al. 2021).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metarl.agents.siamese import CLIP, Products, SiameseEncoder

Array = NDArray[np.float32]

SCALE = 2.5
"""What embeddings are divided by: tasks of average difference are trained to lie 5 apart, so that
contexts differ by about 2, as normalised observations do."""

PATIENCE = 5.0
"""Transitions after which 1 - 1/e of the embedding is believed. One alone may be misleading, and a
policy that is told nothing sees exactly 0."""


def keep_of(window: int | None) -> float:
    """Return the part of a memory that is kept with each transition: exp(-1 / window).

    Args:
        window: transitions after which one counts e times less [control steps]; None to forget
            nothing.

    Raises:
        ValueError: for less than 1.
    """
    if window is None:
        return 1.0
    if window < 1:
        raise ValueError(f"a memory's window must be at least 1 control step, got {window}")
    return math.exp(-1.0 / window)


@dataclass(frozen=True, eq=False)
class TaskMemory:
    """An encoder, and how quickly what it saw is forgotten."""

    encoder: SiameseEncoder
    keep: float = 1.0
    """The part of the memory that is kept with each new transition: 1 forgets nothing; less, for
    tasks that change while the robot runs, is `keep_of` a window. The count n then stays below
    1 / (1 - keep), which is about the window."""

    def __post_init__(self) -> None:
        if not 0.0 < self.keep <= 1.0:
            raise ValueError(
                f"the part of the memory that is kept must be in (0, 1], got {self.keep}"
            )

    @property
    def size(self) -> int:
        """Numbers in a memory."""
        return self.encoder.hidden + 1

    @property
    def context_size(self) -> int:
        """Numbers in a context."""
        return self.encoder.embedding_size

    @property
    def observation_size(self) -> int:
        """Numbers that the robot itself observes."""
        return self.encoder.observation_size

    def forgetting(self, window: int | None) -> "TaskMemory":
        """Return the same memory with another window [control steps]; see `keep_of`."""
        return replace(self, keep=keep_of(window))

    def bounded(self, memory: Tensor) -> Tensor:
        """Return memories [..., memory] that count no more transitions than this one ever does.

        What 20 rollouts left behind weighs 2,000 transitions or more: with a window of 15, it would
        outvote all that comes after for another 73 steps (15 ln(2000 / 15)). The embedding stays,
        since sum and count are scaled alike.
        """
        if self.keep == 1.0:
            return memory
        most = 1.0 / (1.0 - self.keep)
        return memory * (most / memory[..., -1:].clamp_min(most))

    def remember(self, memory: Tensor, transition: Tensor) -> Tensor:
        """Return memories with one more transition each, [..., memory].

        Args:
            memory: [..., memory].
            transition: [state, action, reward, next state], [..., transition].
        """
        features = self.encoder.features(transition)
        one = torch.ones_like(features[..., :1])
        return self.keep * memory + torch.cat([features, one], dim=-1)

    def context(self, memory: Tensor) -> Tensor:
        """Return what the policy sees of memories [..., memory]: contexts, [..., context]."""
        total, count = memory[..., :-1], memory[..., -1:]
        embedding = self.encoder.whole(total / count.clamp_min(1e-6))
        return embedding * ((1.0 - torch.exp(-count / PATIENCE)) / SCALE)

    def along(self, start: Tensor, transition: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the policy sees along rollouts, and the memories at their ends.

        Args:
            start: the memories before, [..., memory].
            transition: [..., time, transition].
            valid: which of them took place, [..., time].

        Returns:
            Contexts before each step and after the last, [..., time + 1, context], and memories,
            [..., memory].
        """
        memory, contexts = start, [self.context(start)]
        for step in range(transition.shape[-2]):
            longer = self.remember(memory, transition[..., step, :])
            memory = torch.where(valid[..., step, None], longer, memory)
            contexts.append(self.context(memory))
        return torch.stack(contexts, dim=-2), memory

    def acting(self) -> "ActingMemory":
        """Return the same functions in NumPy, for what acts step by step."""
        return ActingMemory(self)


class ActingMemory:
    """`TaskMemory` in NumPy: twice as fast as torch for the few rows of a control step."""

    def __init__(self, memory: TaskMemory) -> None:
        """Copy the encoder's weights."""
        encoder = memory.encoder
        self.size, self.context_size = memory.size, memory.context_size
        self._keep = np.float32(memory.keep)
        self._observation_size, self._limit = encoder.observation_size, encoder.action_limit
        self._mean, std = (each.numpy().copy() for each in (encoder.mean, encoder.std))
        self._per_std = 1.0 / std
        self._each, self._whole = _functions(encoder.each), _functions(encoder.whole)

    def empty(self, count: int) -> Array:
        """Return the memories of so many rollouts that have seen nothing, [count, memory]."""
        return np.zeros((count, self.size), np.float32)

    def remember(
        self,
        memory: Array,
        before: NDArray,
        action: NDArray,
        reward: NDArray,
        after: NDArray,
        active: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add a transition to each memory, in place.

        Args:
            memory: [n, memory].
            before: the observation that was acted on, [n, observation].
            action: in the policy's scale, [n, action].
            reward: [n].
            after: the next observation, [n, observation].
            active: whose transitions took place, [n]; None for all.
        """
        size = self._observation_size
        rows = np.empty((len(memory), len(self._mean)), np.float32)
        rows[:, :size] = before
        np.clip(action, -self._limit, self._limit, out=rows[:, size : -size - 1])
        rows[:, -size - 1] = reward
        np.subtract(after, before, out=rows[:, -size:], casting="same_kind")
        rows -= self._mean
        rows *= self._per_std
        np.clip(rows, -CLIP, CLIP, out=rows)
        features = _through(rows, self._each)
        if active is None:
            memory *= self._keep
            memory[:, :-1] += features
            memory[:, -1] += 1.0
            return
        kept = np.where(active, self._keep, np.float32(1.0))
        memory *= kept[:, None]
        features *= active[:, None]
        memory[:, :-1] += features
        memory[:, -1] += active

    def context(self, memory: Array) -> Array:
        """Return what the policy sees of memories [n, memory], [n, context]."""
        count = memory[:, -1:]
        divisor: Array = np.maximum(count, np.float32(1e-6))
        embedding = _through(memory[:, :-1] / divisor, self._whole)
        embedding *= (1.0 - np.exp(-count / np.float32(PATIENCE))) / np.float32(SCALE)
        return embedding


def _functions(stack: nn.Sequential) -> list[Callable[[Array], Array]]:
    """Return what each layer does to rows [n, in]; it may change them in place."""
    return [_function(layer) for layer in stack]


def _function(layer: nn.Module) -> Callable[[Array], Array]:
    if isinstance(layer, nn.Linear):
        weight, bias = (part.detach().cpu().numpy() for part in (layer.weight, layer.bias))
        weight, bias = weight.T.copy(), bias.copy()
        return lambda rows: np.add(out := rows @ weight, bias, out=out)
    if isinstance(layer, Products):
        return lambda rows: np.multiply(*np.split(rows, 2, axis=1))
    return lambda rows: np.maximum(rows, 0.0, out=rows)


def _through(rows: Array, functions: list[Callable[[Array], Array]]) -> Array:
    for function in functions:
        rows = function(rows)
    return rows
