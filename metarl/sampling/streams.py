"""Random streams keyed by (seed, phase, purpose, step, iteration, task, rollout).

Each stream is a Philox generator whose 128-bit key is made of the first four and whose counter
starts at (iteration, task, rollout, 0): streams cannot overlap before 2^64 draws, need no state to
be saved, and do not depend on who asks for them or in which order.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch

from metarl.envs.plain import check_seed


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
    WINDOWS = 2
    """Which windows of rollouts the encoder is trained on."""
    MINIBATCHES = 3
    """How an iteration's time steps are shuffled."""


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
    return next(streams(key, purpose, [(task, rollout)]))


def streams(
    key: Key, purpose: Purpose, rollouts: Iterable[tuple[int, int]]
) -> Iterator[np.random.Generator]:
    """Yield the generators of several rollouts, ten times as fast as making each of them.

    It is one generator, put to the beginning of each rollout's stream: draw from it before asking
    for the next.

    Args:
        key: see `stream`.
        purpose: see `stream`.
        rollouts: the number of the task and of the rollout within it, each.

    Raises:
        ValueError: for a seed that is negative or too large.
    """
    check_seed(key.seed)
    step = 0 if purpose is Purpose.START else key.step
    words = np.array([key.seed, (key.phase << 48) | (purpose << 32) | step], np.uint64)
    bits = np.random.Philox()
    generator = np.random.Generator(bits)
    for task, rollout in rollouts:
        bits.state = {
            "bit_generator": "Philox",
            "state": {
                "counter": np.array([0, rollout, task, key.iteration], np.uint64),
                "key": words,
            },
            "buffer": np.zeros(4, np.uint64),
            "buffer_pos": 4,
            "has_uint32": 0,
            "uinteger": 0,
        }
        yield generator


def torch_stream(key: Key, purpose: Purpose) -> torch.Generator:
    """Return torch's generator for a purpose that no single task or rollout has."""
    return torch_generator(int(stream(key, purpose, 0, 0).integers(2**62)))


def torch_generator(seed: int) -> torch.Generator:
    """Return a torch generator with this seed."""
    return torch.Generator().manual_seed(seed)
