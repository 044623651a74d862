"""`AdaptedPolicy`: what adaptation to one task gives."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.actor import Actor


@dataclasses.dataclass(frozen=True)
class AdaptedPolicy:
    """A policy adapted to one task, with how it did on the way there."""

    task: dict[str, float]
    actor: Actor
    returns: NDArray[np.float64]
    """Return of every rollout before the first step and after each, [step, rollout]."""

    def predict(
        self,
        observation: NDArray[np.floating],
        state: tuple[NDArray, ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], tuple[Any, ...] | None]:
        """Return actions; see `Actor.predict`."""
        return self.actor.predict(observation, state, episode_start, deterministic)
