"""`ContextVecEnv`: environments whose observations end with what an actor remembers of the task."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from metarl.agents.acting_memory import ActingMemory
from metarl.agents.actor import Actor
from metarl.agents.adapted_policy import AdaptedPolicy, actor_of
from metarl.bridges.sb3 import action_range


class ContextVecEnv(VecEnvWrapper):
    """Appends the context to observations, so that Stable-Baselines3 can train on both.

    Each environment has a memory of its own, which begins with the actor's and lasts over episodes.
    """

    def __init__(self, venv: VecEnv, policy: Actor | AdaptedPolicy) -> None:
        """Wrap environments of the actor's family.

        Args:
            venv: whose observations are the robot's own.
            policy: with a memory.

        Raises:
            ValueError: for a policy without memory, other observations, or actions without bounds.
        """
        actor = actor_of(policy)
        if actor.rules is None:
            raise ValueError("the policy has no memory: use the environments as they are")
        shape = venv.observation_space.shape
        if shape != (actor.observation_size,):
            raise ValueError(
                f"the policy acts on observations [{actor.observation_size}], the environments "
                f"give {list(shape or ())}"
            )
        size = actor.observation_size + actor.rules.context_size
        super().__init__(venv, gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32))
        self._rules, self._action_scale = ActingMemory(actor.rules), actor.action_scale
        self._middle, self._half = (part.numpy() for part in action_range(venv.action_space))
        self._memory = np.repeat(actor.memory[None], venv.num_envs, axis=0)

    def reset(self) -> NDArray[np.float32]:
        """Return the first observations, [env, observation + context]."""
        self._last: NDArray = np.array(self.venv.reset(), np.float32)
        self._rules.begin_episode(self._memory)
        return self._seen(self._last)

    def step_async(self, actions: NDArray) -> None:
        """Send actions to the environments."""
        part = (np.asarray(actions) - self._middle) / self._half  # of the control range
        self._actions = part.astype(np.float32) / self._action_scale
        self.venv.step_async(actions)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray, NDArray, list[dict[str, Any]]]:
        """Return observations with contexts, rewards, ends and infos."""
        observations, rewards, dones, infos = self.venv.step_wait()
        following = np.array(observations, np.float32)
        after = following.copy()  # of an episode that ended, its own last observation
        for index in np.flatnonzero(dones):
            after[index] = infos[index]["terminal_observation"]
        self._rules.remember(self._memory, self._last, self._actions, rewards, after)
        final = self._seen(after)
        for index in np.flatnonzero(dones):
            infos[index]["terminal_observation"] = final[index]
            self._rules.begin_episode(self._memory[index : index + 1])
        self._last = following
        return self._seen(following), rewards, dones, infos

    def _seen(self, observations: NDArray) -> NDArray[np.float32]:
        return np.concatenate([observations, self._rules.context(self._memory)], axis=1)
