"""`Actor`: a policy with its parameters, which is what a robot runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.agents.policy import GaussianPolicy, Parameters


class Actor:
    """Chooses actions as a Stable-Baselines3 model does."""

    def __init__(
        self,
        policy: GaussianPolicy,
        parameters: Parameters,
        action_scale: float = 1.0,
        seed: int | np.random.Generator = 0,
    ) -> None:
        """Take one network's parameters.

        Args:
            policy: the network.
            parameters: as in `policy.shapes`.
            action_scale: the part of the robot's control range that an action of 1 of the policy
                asks for.
            seed: of the generator that draws exploration noise, or the generator itself.
        """
        self.policy = policy
        self.parameters = {name: value.detach().cpu() for name, value in parameters.items()}
        self.action_scale = action_scale
        self._generator = np.random.default_rng(seed)

    def predict(
        self,
        observation: NDArray[np.floating],
        state: tuple[NDArray, ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], tuple[Any, ...] | None]:
        """Return actions, from -1 to 1 for the robot's whole control range, and `state`.

        Args:
            observation: [observation] or [n, observation].
            state: returned as it is; the policy has no memory.
            episode_start: ignored, for the same reason.
            deterministic: return the most likely action instead of a sampled one.

        Raises:
            ValueError: for an observation of another size.
        """
        action = self._action(observation, deterministic)
        return np.clip(action, -1.0, 1.0), state

    def explore(
        self, observation: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sampled actions for the robot, and what a log of them must hold.

        Both are in parts of the robot's control range. The first is cut off at -1 and 1, as
        `predict` returns it. The second is not: `metarl.Experience` takes it, since the density of
        an action can be told only from what was sampled.

        Args:
            observation: [observation] or [n, observation].

        Raises:
            ValueError: for an observation of another size.
        """
        action = self._action(observation, deterministic=False)
        return np.clip(action, -1.0, 1.0), action

    def _action(
        self, observation: NDArray[np.floating], deterministic: bool
    ) -> NDArray[np.float32]:
        """Return actions in parts of the control range, not cut off, [action] or [n, action]."""
        size = self.policy.observation_size
        observation = np.asarray(observation, dtype=np.float32)
        if observation.ndim not in (1, 2) or observation.shape[-1] != size:
            raise ValueError(
                f"an observation must be [{size}] or [n, {size}], got {list(observation.shape)}"
            )
        action = self.policy.acting(self.parameters)(np.atleast_2d(observation))
        if not deterministic:
            noise = self._generator.standard_normal(action.shape, dtype=np.float32)
            action += self.policy.std(self.parameters).numpy() * noise
        action *= self.action_scale
        return action.reshape(*observation.shape[:-1], -1)


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

    def explore(
        self, observation: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return actions for the robot and for the log; see `Actor.explore`."""
        return self.actor.explore(observation)
