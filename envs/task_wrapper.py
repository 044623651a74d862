"""`OfTasks`: an environment that is not ours and is told its task before each reset."""

from collections.abc import Callable
from typing import Any

import gymnasium

from metarl.envs.global_randomness import seed_globals

SetTask = Callable[[gymnasium.Env, dict[str, float]], Any]
"""Tells an environment its task, before a reset; a dict that it returns is the reset's options."""


class OfTasks(gymnasium.Wrapper):
    """Takes its own row of the tasks that a reset hands to all environments.

    A vector environment passes one `options` to all of them, and may reset one by itself when its
    episode has ended, without options: then the task stays.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        set_task: SetTask,
        index: int,
        task: dict[str, float] | None = None,
    ) -> None:
        """Wrap one.

        Args:
            env: that is told its task.
            set_task: tells it.
            index: of its row.
            task: that it has until a reset brings others; None for none.
        """
        super().__init__(env)
        self._set_task = set_task
        self._index = index
        self._task: dict[str, float] = task or {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Tell the environment its task and start it; see `gymnasium.Env.reset`."""
        if seed is not None:
            seed_globals(seed)  # for an environment that draws from them and not from `np_random`
        if options and "tasks" in options:
            self._task = options["tasks"][self._index]
        # a copy: whoever changes the dict must not change the task of later episodes
        told = self._set_task(self.env, dict(self._task))
        return self.env.reset(seed=seed, options=told if isinstance(told, dict) else None)
