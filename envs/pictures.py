"""`Pictures`: what the Gymnasium and Stable-Baselines3 interfaces return as `rgb_array`."""

import copy
from typing import Any

from metarl.envs.drawing import Camera, Frame, camera
from metarl.envs.episodes import Episodes


class Pictures:
    """Takes pictures of simulations, each with its own body and the goal of its task."""

    def __init__(self, episodes: Episodes, size: tuple[int, int]) -> None:
        """Prepare; cameras are made with the first picture.

        Args:
            episodes: whose simulations are drawn.
            size: width and height [pixel].
        """
        self._episodes = episodes
        self._size = size
        self._cameras: dict[int, Camera] = {}
        self._drawn: dict[int, dict[str, float]] = {}
        """The task whose body each camera draws."""

    def take(self, sim: int) -> Frame:
        """Return a picture of one simulation, [height, width, 3]; it belongs to the caller.

        Raises:
            RuntimeError: when the simulation cannot be drawn.
        """
        family, simulator = self._episodes.family, self._episodes.simulator
        task = self._episodes.tasks[sim]
        # a camera draws one model: where tasks change bodies, every simulation has its own
        number = sim if family.dynamics else 0
        if family.dynamics and self._drawn.get(number, task) != task:
            self._cameras.pop(number).close()
        if number not in self._cameras:
            self._cameras[number] = camera(family, self._size, simulator.model(sim))
            self._drawn[number] = task
        time = float(self._episodes.time[sim]) * family.dt
        return self._cameras[number].take(simulator.fields["qpos"][sim], task, time)

    def close(self) -> None:
        """Free the renderers; a later picture makes new ones."""
        for view in self._cameras.values():
            view.close()
        self._cameras.clear()
        self._drawn.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pictures":
        """Return pictures of the copied simulations, with no renderers yet: none can be copied."""
        return Pictures(copy.deepcopy(self._episodes, memo), self._size)
