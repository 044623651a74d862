"""`AdaptedPolicy`: what adaptation to a task returns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.agents.actor import Actor


@dataclass(frozen=True)
class AdaptedPolicy:
    """A policy adapted to one task, with its returns on the way."""

    task: dict[str, float]
    """The task's parameters by name."""
    actor: Actor
    """The policy after the last step."""
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

    def remember(
        self,
        observation: NDArray[np.floating],
        action: NDArray[np.floating],
        reward: float,
        next_observation: NDArray[np.floating],
        *,
        begins: bool | None = None,
    ) -> None:
        """Remember the outcome of an action; see `Actor.remember`."""
        self.actor.remember(observation, action, reward, next_observation, begins=begins)

    def forget(self) -> None:
        """Forget what was remembered since adaptation; see `Actor.forget`."""
        self.actor.forget()

    def explore(
        self, observation: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return actions for the robot and for the log; see `Actor.explore`."""
        return self.actor.explore(observation)


def actor_of(policy: Any) -> Actor:  # noqa: ANN401, whatever a user gives
    """Return the actor of a policy.

    Raises:
        TypeError: for something else, with what was probably meant.
    """
    if isinstance(policy, AdaptedPolicy):
        return policy.actor
    if isinstance(policy, Actor):
        return policy
    learner = hasattr(policy, "actor") and hasattr(policy, "adapt")
    got = "a learner: learner.actor() or learner.adapt(...)" if learner else repr(policy)
    raise TypeError(f"a policy is asked for, got {got}")
