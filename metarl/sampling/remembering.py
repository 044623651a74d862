"""`Remembering`: what a policy with a memory remembers in each simulation, while they run."""

import numpy as np
from numpy.typing import NDArray

from metarl.agents.acting_memory import ActingMemory
from metarl.agents.policy import Array
from metarl.experience.memories import Remembered


class Remembering:
    """The memories of all simulations while they run."""

    def __init__(self, memory: Remembered, simulations: int) -> None:
        """Begin with what is remembered of each task, in each of its simulations."""
        self._rules = ActingMemory(memory.rules)
        self.memory = memory.start.numpy().repeat(simulations, axis=0)
        """[simulation, memory]."""
        self._told = None if memory.told is None else memory.told.numpy()

    def begin_episode(self) -> None:
        """Note that all simulations begin an episode."""
        self._rules.begin_episode(self.memory)

    def context(self) -> Array:
        """Return what the policy sees of the memories, or is told, [simulation, context]."""
        context = self._rules.context(self.memory)
        if self._told is not None:
            tasks, telling, size = self._told.shape
            context.reshape(tasks, -1, size)[:, -telling:] = self._told
        return context

    def remember(
        self,
        before: NDArray,
        action: NDArray,
        reward: NDArray,
        after: NDArray,
        active: NDArray[np.bool_],
    ) -> None:
        """Add a step of every active simulation; see `ActingMemory.remember`."""
        self._rules.remember(self.memory, before, action, reward, after, active)
