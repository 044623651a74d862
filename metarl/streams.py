"""Random streams keyed by (seed, phase, purpose, step, iteration, task, rollout).

Each stream is a Philox generator whose 128-bit key is made of the first four and whose counter
starts at (iteration, task, rollout, 0): streams cannot overlap before 2^64 draws, need no state to
be saved, and do not depend on who asks for them or in which order.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch


class Phase(IntEnum):
    """What the rollouts are for."""

    TRAIN = 0
    EVALUATE = 1
    ADAPT = 2
    SIMILARITY = 3


class Purpose(IntEnum):
    """What a stream draws."""

    START = 0
    """Start states: the same at every inner step, so that returns can be compared."""
    NOISE = 1
    """Action noise: different at every inner step."""


class Key(NamedTuple):
    """Everything that the randomness of one collection of rollouts depends on."""

    seed: int
    """The run's seed, 0 or greater."""
    phase: Phase
    iteration: int = 0
    step: int = 0
    """How many inner steps the policy has taken."""


def stream(key: Key, purpose: Purpose, task: int, rollout: int) -> np.random.Generator:
    """Return the generator of one rollout.

    Args:
        key: seed, phase, iteration and inner step.
        purpose: what is drawn.
        task: the task's number among those collected.
        rollout: the rollout's number within the task.
    """
    step = 0 if purpose is Purpose.START else key.step
    words = [key.seed, (key.phase << 48) | (purpose << 32) | step]
    counter = [0, rollout, task, key.iteration]
    return np.random.Generator(
        np.random.Philox(key=np.array(words, np.uint64), counter=np.array(counter, np.uint64))
    )


def torch_generator(seed: int) -> torch.Generator:
    """Return the generator that draws a policy's initial parameters."""
    return torch.Generator().manual_seed(seed)
