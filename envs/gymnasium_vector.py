"""`TaskVectorEnv`: a family as a `gymnasium.vector.VectorEnv`, stepped by one native batch.

envs = gymnasium.make_vec("metarl/HalfCheetahVel-v0", num_envs=64)
"""

from typing import Any

import numpy as np
from gymnasium import logger
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from metarl.envs.catalogue import made
from metarl.envs.distributions import Split
from metarl.envs.drawing import Frame
from metarl.envs.episodes import ChoosesTasks, Episodes, Task, render_fps, reset_options
from metarl.envs.pictures import Pictures
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks


class TaskVectorEnv(ChoosesTasks, VectorEnv[NDArray[np.float64], NDArray[np.float32], NDArray]):
    """Several simulations of a family, each with its own task.

    The info dict has every task parameter as an array, [env]. With `AutoresetMode.SAME_STEP` it has
    the last observations of ended episodes under `final_obs`, None for the others. What it returns
    belongs to the caller.
    """

    def __init__(
        self,
        family: str | TaskFamily,
        num_envs: int = 1,
        *,
        task: Task = None,
        split: Split = "train",
        preset: str = "default",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        threads: int = 0,
        **changes: Any,  # noqa: ANN401
    ) -> None:
        """Make the environments.

        Args:
            family: the tasks; a name stands for `envs.make(name)`.
            num_envs: how many.
            task: one for all, or a table or list with one each; None draws one for each episode.
            split: where tasks are drawn from.
            preset: a published variant, when the family is given by name.
            autoreset_mode: what a step does with an environment whose episode has ended: begins a
                new one instead of stepping it (NEXT_STEP), begins it in the step that ends the old
                one (SAME_STEP), or nothing (DISABLED).
            threads: native threads; 0 for one a core.
            changes: fields of the family to change, such as `horizon=200`; and of rendered images
                the `render_mode` (`rgb_array` or None), `width` and `height` (480 pixels).

        Raises:
            ValueError: for an unknown family, preset, field, split or render mode, or a task that
                the family does not have.
        """
        render_mode: str | None = changes.pop("render_mode", None)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be rgb_array or None, got {render_mode!r}")
        size = changes.pop("width", 480), changes.pop("height", 480)
        family = made(family, preset, **changes)
        self.family = family
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": render_fps(family),
            "autoreset_mode": self.autoreset_mode,
        }
        self._episodes = Episodes(family, num_envs, task=task, split=split, threads=threads)
        self.render_mode = render_mode
        self._pictures = Pictures(self._episodes, size)
        self.single_observation_space = self._episodes.observation_space
        self.single_action_space = self._episodes.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended = np.zeros(num_envs, dtype=bool)

    @property
    def tasks(self) -> Tasks:
        """The current task of each environment."""
        return self._episodes.tasks

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Begin episodes.

        Args:
            seed: of the first environment, those after it counting up; or one each.
            options: `{"task": ...}` gives these episodes' tasks, one for all or a table;
                `{"reset_mask": [env]}` begins only those.

        Raises:
            ValueError: for another option, a task that the family does not have, or another
                number of seeds or tasks than of environments.
        """
        options = dict(reset_options(options, "task", "reset_mask"))
        if isinstance(seed, int | np.integer):
            seeds: list[int | None] = [int(seed) + env for env in range(self.num_envs)]
        else:
            seeds = [None] * self.num_envs if seed is None else seed
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(
                f"reset_mask must be [{self.num_envs}] of bool with at least one True, got {mask}"
            )
        self._episodes.seed([s if m else None for s, m in zip(seeds, mask, strict=True)])
        observation = self._episodes.begin(np.flatnonzero(mask), options.get("task"))
        self._ended[mask] = False  # not where a task was refused
        return observation, self._info()

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Take one control step with each environment.

        Args:
            actions: [env, action], -1 to 1.
        """
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise ValueError(
                "some episodes have ended: reset them with options={'reset_mask': ...}"
            )
        begin = np.flatnonzero(self._ended)
        active = ~self._ended
        observation, reward, terminated, truncated, succeeded = self._episodes.step(
            actions, active if len(begin) else None
        )
        success: dict[str, Any] = {}
        if self.family.tells_success:
            success = {"is_success": succeeded & active, "_is_success": active}
        terminated = terminated & ~self._ended
        if len(begin):
            observation = self._episodes.begin(begin)
        self._ended = terminated | truncated
        info: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            ended = np.flatnonzero(self._ended)
            final = np.full(self.num_envs, None, dtype=object)
            for env in ended:
                final[env] = observation[env].copy()
            info = {"final_obs": final, "_final_obs": self._ended.copy()}
            last = self._info() | success
            masks = {name: each & self._ended for name, each in last.items() if name[0] == "_"}
            info["final_info"], info["_final_info"] = last | masks, self._ended.copy()
            # of an episode that has just begun there is none
            success = {name: each & ~self._ended for name, each in success.items()}
            observation = self._episodes.begin(ended)
            self._ended = np.zeros(self.num_envs, dtype=bool)
        return observation, reward, terminated, truncated, {**info, **self._info(), **success}

    def render(self) -> tuple[Frame, ...] | None:  # type: ignore[override]
        """Return a picture of each environment, [height, width, 3]; None without a render_mode.

        Raises:
            RuntimeError: when there is no OpenGL to draw with.
        """
        if self.render_mode is None:
            logger.warn("render() does nothing without a render_mode")
            return None
        return tuple(self._pictures.take(env) for env in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401
        """Free the renderers."""
        self._pictures.close()

    def _info(self) -> dict[str, Any]:
        every = np.ones(self.num_envs, dtype=bool)
        columns = {name: self.tasks[name].copy() for name in self.tasks.names}
        return columns | {f"_{name}": every.copy() for name in columns}
