"""`TaskVecEnv`: a family as a Stable-Baselines3 `VecEnv`, stepped by one native batch.

PPO("MlpPolicy", TaskVecEnv("HalfCheetahVel", 64, task={"velocity": 1.2})).learn(1_000_000)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from metarl.envs.catalogue import made
from metarl.envs.distributions import Split
from metarl.envs.drawing import Frame
from metarl.envs.episodes import ChoosesTasks, Episodes, Task, render_fps, reset_options
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.nearest import nearest
from metarl.envs.pictures import Pictures
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks

PER_ENVIRONMENT = ("set_task", "reset_task")
"""Methods that `env_method` calls for the environments asked for alone."""
OF_ALL = ("sample_tasks",)
"""Methods that `env_method` calls once for each environment asked for."""


class TaskVecEnv(ChoosesTasks, VecEnv):
    """Several simulations of a family; ended episodes begin anew in the same step.

    What it returns belongs to the caller.
    """

    def __init__(
        self,
        family: str | TaskFamily,
        num_envs: int,
        *,
        task: Task = None,
        split: Split = "train",
        threads: int = 0,
        render_mode: str | None = None,
    ) -> None:
        """Make the environments.

        Args:
            family: the tasks; a name stands for `envs.make(name)`.
            num_envs: how many.
            task: one for all, or a table or list with one each; None draws one for each episode.
            split: where tasks are drawn from.
            threads: native threads; 0 for one a core.
            render_mode: `rgb_array` or None.

        Raises:
            ValueError: for an unknown family or split, a task that the family does not have, or
                another render mode.
        """
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be rgb_array or None, got {render_mode!r}")
        self.family = made(family)
        self._episodes = Episodes(self.family, num_envs, task=task, split=split, threads=threads)
        self.render_mode = render_mode
        self._actions: NDArray = np.zeros(0)
        self._pictures = Pictures(self._episodes, (480, 480))
        super().__init__(num_envs, self._episodes.observation_space, self._episodes.action_space)
        self.metadata: dict[str, Any] = self.metadata | {"render_fps": render_fps(self.family)}

    @property
    def tasks(self) -> Tasks:
        """The current task of each environment."""
        return self._episodes.tasks

    def set_options(self, options: list[dict] | dict | None = None) -> None:
        """Give the next reset its options: `{"task": ...}` is the task of the episodes it begins.

        Args:
            options: for all environments, or a list with those of each.

        Raises:
            ValueError: for another option, a task that the family does not have, or another number
                of options than of environments.
        """
        several = options if isinstance(options, list) else [options] * self.num_envs
        if len(several) != self.num_envs:
            raise ValueError(
                f"{self.num_envs} environments need as many options, got {len(several)}"
            )
        super().set_options([self._checked(one) for one in several])

    def _checked(self, options: dict | None) -> dict[str, Any]:
        task = reset_options(options, "task").get("task")
        if task is None:
            return {}
        table = self.family.task(task)
        if len(table) != 1:
            raise ValueError(f"an environment has one task, got {len(table)}")
        return {"task": table[0]}

    def reset(self) -> NDArray[np.float64]:
        """Begin an episode in each environment; return the observations, [env, observation]."""
        self._episodes.seed(self._seeds)
        observation = self._episodes.begin(task=[one.get("task") for one in self._options])
        self.reset_infos = [{"task": task} for task in self.tasks]
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: NDArray) -> None:
        """Keep the actions, [env, action] in -1 to 1, for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take one control step with each environment."""
        outcome = self._episodes.step(self._actions)
        observation, reward, terminated, truncated, succeeded = outcome
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(dones)
        for env in ended:
            infos[env] = {
                "terminal_observation": observation[env].copy(),
                "TimeLimit.truncated": bool(truncated[env]),
                "task": self.tasks[int(env)],
            }
            if self.family.tells_success:
                infos[env]["is_success"] = bool(succeeded[env])
        if len(ended):
            observation = self._episodes.begin(ended)
            # a list of its own: what is returned stays as it is
            self.reset_infos = list(self.reset_infos)
            for env in ended:
                self.reset_infos[env] = {"task": self.tasks[int(env)]}
        return observation, reward.astype(np.float32), dones, infos

    def close(self) -> None:
        """Free the renderers."""
        self._pictures.close()

    def get_images(self) -> Sequence[Frame]:
        """Return a picture of each environment."""
        return [self._pictures.take(env) for env in range(self.num_envs)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401
        """Return an attribute of each environment asked for; `task` is that of its episode."""
        chosen = self._get_indices(indices)
        if attr_name == "task":
            return [self.tasks[env] for env in chosen]
        return [getattr(self, attr_name) for _ in chosen]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401
        """Set the `task` of the environments asked for, from their next episode on.

        Raises:
            AttributeError: for another attribute: the simulations share the family.
        """
        if attr_name != "task":
            raise AttributeError(
                f"set_attr sets task only, got {attr_name!r}; what else differs is a field of the "
                f"family: TaskVecEnv(family.replace(...), ...)"
            )
        self.set_task(value, list(self._get_indices(indices)))

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401
        indices: Any = None,  # noqa: ANN401
        **method_kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        """Call `set_task`, `reset_task` or `sample_tasks` for each environment asked for.

        Raises:
            AttributeError: for another method: there are no single environments to call it on.
        """
        known = (*PER_ENVIRONMENT, *OF_ALL)
        if method_name not in known:
            raise AttributeError(f"env_method has no {method_name!r}{nearest(method_name, known)}")
        method = getattr(self, method_name)
        of_one = method_name in PER_ENVIRONMENT
        return [
            method(*method_args, **method_kwargs, **({"indices": [env]} if of_one else {}))
            for env in self._get_indices(indices)
        ]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:  # noqa: ANN401
        """Return that no environment is wrapped."""
        return [False for _ in self._get_indices(indices)]


def vec_env(family: TaskFamily | ForeignFamily, num_envs: int, task: Tasks) -> VecEnv:
    """Return environments of one task to train a model of Stable-Baselines3 in, actions -1 to 1.

    Args:
        family: of the task; a `TaskFamily` is stepped by one native thread.
        num_envs: how many.
        task: one.
    """
    if isinstance(family, ForeignFamily):
        return DummyVecEnv([lambda: family.environment(task)] * num_envs)
    return TaskVecEnv(family, num_envs, task=task, threads=1)
