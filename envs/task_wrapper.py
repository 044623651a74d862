"""`OfTasks`: a third-party environment that is told its task before each reset."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from metarl.envs.global_randomness import seed_globals
from metarl.envs.own_code import in_words, place

SetTask = Callable[[gymnasium.Env, dict[str, float]], Any]
"""Tells an environment its task, before a reset; a dict that it returns is the reset's options."""


def new_environment(family: str, make_env: Callable[[], gymnasium.Env]) -> gymnasium.Env:
    """Return what a function makes, which must be an environment.

    Args:
        family: its name, for error messages.
        make_env: the function.

    Raises:
        TypeError: for no function, or one that makes something else.
    """
    if not callable(make_env):
        raise TypeError(
            f"make_env of {family} must be a function that makes a new environment, such as "
            f"lambda: gymnasium.make('Pendulum-v1'), got {make_env!r}"
        )
    env = make_env()
    if not isinstance(env, gymnasium.Env):
        raise TypeError(f"make_env of {family} must return a gymnasium.Env, got {env!r}")
    return env


class OfTasks(gymnasium.Wrapper):
    """Takes its own row of the tasks that a reset hands to all environments.

    A vector environment passes one `options` to all of them, and may reset one by itself when its
    episode has ended, without options: then the task stays.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        set_task: SetTask,
        family: str,
        index: int,
        task: dict[str, float] | None = None,
    ) -> None:
        """Wrap one.

        Args:
            env: that is told its task.
            set_task: tells it.
            family: its name, for error messages.
            index: of its row.
            task: that it has until a reset brings others; None for none.
        """
        super().__init__(env)
        self._set_task = set_task
        self._family, self._index = family, index
        self._task: dict[str, float] = task or {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Tell the environment its task and start it; see `gymnasium.Env.reset`.

        Raises:
            RuntimeError: when the user's own code fails.
            ValueError: when it returns what its space has not, or for other options.
        """
        if others := sorted({*(options or ())} - {"tasks"}):
            raise ValueError(
                f"{self._family} takes no reset options, got {', '.join(others)}: what set_task "
                "returns is what its environment is reset with"
            )
        if seed is not None:
            seed_globals(seed)  # for an environment that draws from them and not from `np_random`
        if options and "tasks" in options:
            self._task = options["tasks"][self._index]
        with self._told("set_task"):
            # a copy: whoever changes the dict must not change the task of later episodes
            told = self._set_task(self.env, dict(self._task))
        with self._told("reset"):
            observation, info = self.env.reset(
                seed=seed, options=told if isinstance(told, dict) else None
            )
        self._check_shape(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Advance by one step; see `gymnasium.Env.step`.

        Raises:
            RuntimeError: when the environment's own code fails.
            ValueError: when it returns what its space has not, or a reward that is no number.
        """
        with self._told("step"):
            observation, reward, terminated, truncated, info = self.env.step(action)
        self._check_shape(observation)
        try:
            float(reward)
        except (TypeError, ValueError):
            raise ValueError(
                f"the environment of {self._family} returned a reward that is no number: {reward!r}"
            ) from None
        return observation, reward, terminated, truncated, info

    def _check_shape(self, observation: Any) -> None:  # noqa: ANN401
        found, expected = np.shape(observation), self.observation_space.shape
        if found != expected:
            raise ValueError(
                f"the environment of {self._family} returned an observation of shape "
                f"{list(found)}, its space has {list(expected or ())}"
            )

    @contextmanager
    def _told(self, function: str) -> Iterator[None]:
        """Name the function of the user's own that failed, and where it did."""
        try:
            yield
        except gymnasium.error.Error:
            raise  # of how the environment is used, such as a step before a reset
        except Exception as error:
            raise RuntimeError(
                f"{function} of {self._family} failed{place(error)}: {in_words(error)}"
            ) from error
