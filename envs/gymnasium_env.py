"""`TaskEnv`: a family as a `gymnasium.Env`.

env = gymnasium.make("metarl/HalfCheetahVel-v0", task={"velocity": 1.2})
"""

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import glfw
import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
from numpy.typing import NDArray

from metarl.envs.catalogue import made
from metarl.envs.distributions import Split
from metarl.envs.episodes import ChoosesTasks, Episodes, render_fps, reset_options
from metarl.envs.pictures import Pictures
from metarl.envs.rest_fields import put_at_rest
from metarl.envs.task_family import TaskFamily


class TaskEnv(ChoosesTasks, gymnasium.Env[NDArray, NDArray]):
    """One simulation of a family; the info dict has the task.

    What it returns belongs to the caller. `copy.deepcopy` gives an environment in the same state,
    with the same future: equal actions and resets lead to equal states.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 20}  # noqa: RUF012, as Gymnasium

    def __init__(
        self,
        family: str | TaskFamily,
        *,
        task: Mapping[str, float] | None = None,
        split: Split = "train",
        preset: str = "default",
        render_mode: Literal["rgb_array", "human"] | None = None,
        width: int = 480,
        height: int = 480,
        **changes: Any,  # noqa: ANN401
    ) -> None:
        """Make an environment.

        Args:
            family: the tasks; a name stands for `envs.make(name)`.
            task: the task of every episode; None draws one at each reset.
            split: where tasks are drawn from.
            preset: a published variant, when the family is given by name.
            render_mode: `rgb_array`, `human` (a window), or None.
            width: of rendered images [pixel].
            height: of rendered images [pixel].
            changes: fields of the family to change, such as `horizon=200`.

        Raises:
            ValueError: for an unknown family, preset, field, split or render mode, or a task that
                the family does not have.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be rgb_array, human or None, got {render_mode!r}")
        family = made(family, preset, **changes)
        self.family = family
        self.render_mode = render_mode
        self._episodes = Episodes(family, 1, task=task, split=split, threads=1)
        self.observation_space = self._episodes.observation_space
        self.action_space = self._episodes.action_space
        self.metadata = {**self.metadata, "render_fps": render_fps(family)}
        self._size = width, height
        self._pictures = Pictures(self._episodes, self._size)
        self._window: MujocoRenderer | None = None
        self._shown: dict[str, float] = {}
        """The task whose body the window shows."""

    @property
    def task(self) -> dict[str, float]:
        """The task of the current episode; setting it is `set_task`, for the episodes after it."""
        return self._episodes.tasks[0]

    @task.setter
    def task(self, task: Mapping[str, float] | None) -> None:
        self.set_task(task)

    @property
    def model(self) -> mujoco.MjModel:
        """A copy of the MuJoCo model, with the current task's body."""
        return self._episodes.simulator.model(0)

    @property
    def data(self) -> mujoco.MjData:
        """A copy of the MuJoCo data, computed anew from the current state."""
        return self._episodes.simulator.data(0)

    def set_state(
        self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Put the robot into a state, as `MujocoEnv` does, and return the observation.

        Args:
            qpos: generalised positions, [nq].
            qvel: generalised velocities, [nv].
        """
        simulator = self._episodes.simulator
        return simulator.set_state(np.asarray(qpos)[None], np.asarray(qvel)[None])[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of the task, if it is drawn, and of the start state.
            options: `{"task": {...}}` gives this episode's task.

        Raises:
            ValueError: for another option, or a task that the family does not have.
        """
        task = reset_options(options, "task").get("task")
        super().reset(seed=seed)  # sets np_random, which draws from here on
        self._episodes.generators[0] = self.np_random
        observation = self._episodes.begin(task=task)[0]
        if self.render_mode == "human":
            self.render()
        return observation, {"task": self.task}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Take one control step.

        Args:
            action: [action], -1 to 1.
        """
        outcome = self._episodes.step(np.asarray(action)[None])
        if self.render_mode == "human":
            self.render()
        told = self.family.tells_success
        success = {"is_success": bool(outcome.succeeded[0])} if told else {}
        terms = {n: float(part[0]) for n, part in self._episodes.simulator.terms.items()}
        parts = {"reward_terms": terms} if terms else {}
        return (
            outcome.observation[0],
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            {"task": self.task} | success | parts,
        )

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Return the scene as an image [height, width, 3], or show it in a window.

        Raises:
            RuntimeError: when there is no OpenGL to draw with, or no display for a window.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing without a render_mode")
            return None
        if self.render_mode == "human":
            self._show(self._episodes.simulator.fields["qpos"][0])
            return None
        return self._pictures.take(0)

    def close(self) -> None:
        """Close the window or the renderer."""
        self._pictures.close()
        self._close_window()

    def __deepcopy__(self, memo: dict[int, Any]) -> "TaskEnv":
        """Return an environment with the same future; a window stays with the original."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        for name, value in vars(self).items():
            setattr(twin, name, None if name == "_window" else copy.deepcopy(value, memo))
        return twin

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def _show(self, qpos: NDArray[np.float64]) -> None:
        if self.family.dynamics and self._shown != self.task:
            self._close_window()  # another body is drawn from here on
        if self._window is None:
            _require_display()
            self._shown = self.task
            model = self._episodes.simulator.model(0)
            distance, azimuth, elevation = self.family.robot.camera
            view = {"distance": distance, "azimuth": azimuth, "elevation": elevation}
            if self.family.robot.lookat is None:
                followed = self.family.robot.root_body(model)
                view |= {"type": mujoco.mjtCamera.mjCAMERA_TRACKING, "trackbodyid": followed}
            data = mujoco.MjData(model)
            put_at_rest(self.family.robot, model, data)
            self._window = MujocoRenderer(model, data, view, *self._size)
        self._window.data.qpos[:] = qpos
        mujoco.mj_forward(self._window.model, self._window.data)
        self._window.render("human")


def _require_display() -> None:
    """Raise RuntimeError where no window can be opened.

    Gymnasium's viewer does not look whether GLFW has started and has a monitor: without one, an
    assertion of GLFW ends the process.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")  # GLFW's errors are warnings of its Python package
        shows = glfw.init() and glfw.get_primary_monitor()
    if not shows:
        reason = "; ".join(str(warning.message) for warning in said) or "there is no monitor"
        raise RuntimeError(
            f"no display to open a window on ({reason}); set DISPLAY, or draw into images with "
            f"render_mode='rgb_array'"
        )
