"""`TaskEnv`: a family as a `gymnasium.Env`.

env = gymnasium.make("metarl/HalfCheetahVel-v0", task={"velocity": 1.2})
"""

from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
from numpy.typing import NDArray

from metarl.envs.catalogue import make
from metarl.envs.distributions import Split
from metarl.envs.drawing import Camera, camera
from metarl.envs.episodes import Episodes
from metarl.envs.task_family import TaskFamily


class TaskEnv(gymnasium.Env[NDArray, NDArray]):
    """One simulation of a family; the info dict has the task."""

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
        if isinstance(family, str):
            family = make(family, preset=preset, **changes)
        elif changes:
            family = family.replace(**changes)
        self.family = family
        self.render_mode = render_mode
        self._episodes = Episodes(family, 1, task=task, split=split, threads=1)
        self.observation_space = self._episodes.observation_space
        self.action_space = self._episodes.action_space
        self.metadata = {**self.metadata, "render_fps": round(1.0 / family.dt)}
        self._size = width, height
        self._camera: Camera | None = None
        self._window: MujocoRenderer | None = None

    @property
    def task(self) -> dict[str, float]:
        """The task of the current episode."""
        return self._episodes.tasks[0]

    @property
    def model(self) -> mujoco.MjModel:
        """A copy of the MuJoCo model, with the current task's body."""
        return self._episodes.simulator.model(0)

    @property
    def data(self) -> mujoco.MjData:
        """A copy of the MuJoCo data, computed anew from the current state."""
        model = self.model
        data = mujoco.MjData(model)
        data.qpos[:] = self._episodes.simulator.fields["qpos"][0]
        data.qvel[:] = self._episodes.simulator.fields["qvel"][0]
        mujoco.mj_forward(model, data)
        return data

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
        """
        super().reset(seed=seed)  # sets np_random, which draws from here on
        self._episodes.generators[0] = self.np_random
        observation = self._episodes.begin(task=(options or {}).get("task"))[0]
        if self.family.dynamics:
            self.close()  # another body is drawn from here on
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
        return (
            outcome.observation[0],
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            {"task": self.task} | success,
        )

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Return the scene as an image [height, width, 3], or show it in a window."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing without a render_mode")
            return None
        simulator = self._episodes.simulator
        qpos = simulator.fields["qpos"][0]
        if self.render_mode == "human":
            self._show(qpos)
            return None
        if self._camera is None:
            self._camera = camera(self.family, self._size, simulator.model(0))
        return self._camera.take(qpos, self.task, float(self._episodes.time[0]) * self.family.dt)

    def close(self) -> None:
        """Close the window or the renderer."""
        for view in (self._camera, self._window):
            if view is not None:
                view.close()
        self._camera = self._window = None

    def _show(self, qpos: NDArray[np.float64]) -> None:
        if self._window is None:
            model = self._episodes.simulator.model(0)
            distance, azimuth, elevation = self.family.robot.camera
            view = {"distance": distance, "azimuth": azimuth, "elevation": elevation}
            if self.family.robot.lookat is None:
                followed = self.family.robot.root_body(model)
                view |= {"type": mujoco.mjtCamera.mjCAMERA_TRACKING, "trackbodyid": followed}
            self._window = MujocoRenderer(model, mujoco.MjData(model), view, *self._size)
        self._window.data.qpos[:] = qpos
        mujoco.mj_forward(self._window.model, self._window.data)
        self._window.render("human")
