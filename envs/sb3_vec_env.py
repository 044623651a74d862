"""`TaskVecEnv`: a family as a Stable-Baselines3 `VecEnv`, stepped by one native batch.

PPO("MlpPolicy", TaskVecEnv("HalfCheetahVel", 64, task={"velocity": 1.2})).learn(1_000_000)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from metarl.envs.catalogue import make
from metarl.envs.distributions import Split
from metarl.envs.drawing import Camera, camera
from metarl.envs.episodes import Episodes
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks


class TaskVecEnv(VecEnv):
    """Several simulations of a family; ended episodes begin anew in the same step."""

    def __init__(
        self,
        family: str | TaskFamily,
        num_envs: int,
        *,
        task: Tasks | Mapping[str, float] | None = None,
        split: Split = "train",
        threads: int = 0,
        render_mode: str | None = None,
    ) -> None:
        """Make the environments.

        Args:
            family: the tasks; a name stands for `envs.make(name)`.
            num_envs: how many.
            task: one for all, or a table with one row each; None draws one for each episode.
            split: where tasks are drawn from.
            threads: native threads; 0 for one a core.
            render_mode: `rgb_array` or None.
        """
        self.family = make(family) if isinstance(family, str) else family
        self._episodes = Episodes(self.family, num_envs, task=task, split=split, threads=threads)
        self.render_mode = render_mode
        self._actions: NDArray = np.zeros(0)
        self._camera: Camera | None = None
        super().__init__(num_envs, self._episodes.observation_space, self._episodes.action_space)

    @property
    def tasks(self) -> Tasks:
        """The current task of each environment."""
        return self._episodes.tasks

    def reset(self) -> NDArray[np.float64]:
        """Begin an episode in each environment; return the observations, [env, observation]."""
        self._episodes.seed(self._seeds)
        observation = self._episodes.begin()
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
        return observation, reward.astype(np.float32), dones, infos

    def close(self) -> None:
        """Free the renderer."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return a picture of each environment."""
        simulator = self._episodes.simulator
        pictures = []
        for env in range(self.num_envs):
            if self._camera is None or self.family.dynamics:
                self.close()
                self._camera = camera(self.family, (480, 480), simulator.model(env))
            time = float(self._episodes.time[env]) * self.family.dt
            pictures.append(self._camera.take(simulator.fields["qpos"][env], self.tasks[env], time))
        return pictures

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401
        """Return an attribute, once for each environment asked for."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401
        """Set an attribute, of all environments at once."""
        setattr(self, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401
        indices: Any = None,  # noqa: ANN401
        **method_kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        """Call a method, once for each environment asked for."""
        method = getattr(self, method_name)
        return [method(*method_args, **method_kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:  # noqa: ANN401
        """Return that no environment is wrapped."""
        return [False for _ in self._get_indices(indices)]
