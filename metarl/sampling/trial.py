"""`Trial`: the episodes that a simulation takes in a row, and how tasks change between them.

A trial shows a policy with a memory one task for several episodes (Duan et al. 2016, "RL2", section
2.2). In such trials the task never changes while the robot runs: the robot never has to turn round
at full speed with a memory of the other direction. So in some trials the task changes with the next
episode and everything else continues: the state of the robot and its memory, except for the last
reward, which was another task's.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.envs.family import Result, Simulations
from metarl.envs.robot import Array
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts


class Trial(NamedTuple):
    """What a simulation does between two resets of its memory."""

    episodes: int = 1
    """How many it takes in a row."""
    changes: float = 0.0
    """The fraction of simulations in which every episode but the first starts from the final state
    of the one before it, which was in another task."""
    told: float = 0.0
    """The part of each task's simulations in which the policy is given the task, instead of its
    memory's estimate; see `metarl.sampling.telling`."""

    def telling(self, simulations: int) -> int:
        """Return in how many of a task's simulations the policy is given it: the last ones.

        Rounded down, so that none of them is a changing one as long as both parts sum to at most 1.
        """
        return int(self.told * simulations + 1e-9)


ONE_EPISODE = Trial()
"""A trial of one episode, whose memory is gone afterwards."""


class Changing:
    """Simulations of one chunk of tasks for one trial; in some, the task changes at each reset.

    Let simulation s of tasks 0 .. N-1 change. In episode e of E, the one in row i is in task
    (i + E - 1 - e) mod N: every task is simulated once in each episode, and in the last one each
    row has its own task. So tasks are met as often as without changes, and `put_back` only rotates
    rows back. Changing simulations are chosen number by number: first simulation 0 of every task,
    then 1, ... A single one has no task to change to, so a second joins it; a chunk of one task has
    none. The class has the interface `Simulations`.
    """

    def __init__(self, simulator: Simulations, tasks: Tasks, trial: Trial) -> None:
        """Take simulations that have their tasks.

        Args:
            simulator: as many simulations of each task.
            tasks: of the chunk, a row each.
            trial: what it does.
        """
        self._simulator, self._tasks, self._episodes = simulator, tasks, trial.episodes
        self._of_each = simulator.count // len(tasks)
        changing = round(trial.changes * simulator.count)
        if changing % len(tasks) == 1:
            changing += 1
        # of simulation s of every task, how many change
        self._changing = [
            min(len(tasks), max(0, changing - s * len(tasks))) if len(tasks) > 1 else 0
            for s in range(self._of_each)
        ]
        self._episode = -1
        self._ended = np.zeros(simulator.count, dtype=bool)

    @property
    def count(self) -> int:
        """How many simulations there are."""
        return self._simulator.count

    @property
    def family(self) -> Any:  # noqa: ANN401, see `Simulations`
        """The family that is simulated."""
        return self._simulator.family

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether the physics blew up in the last step, [sim]."""
        return self._simulator.failed

    def set_tasks(self, tasks: Tasks, *, now: bool = False) -> None:
        """Refuse, since the tasks of a trial were given at its beginning."""
        raise RuntimeError("the tasks of a trial were given at its beginning")

    def reset(
        self, generators: Iterable[np.random.Generator], sims: NDArray[np.integer] | None = None
    ) -> Array:
        """Begin the next episode; return all observations, [sim, observation].

        A changing simulation continues in another task, unless its robot has fallen.

        Args:
            generators: one for each simulation, in order.
            sims: None: all begin together.
        """
        assert sims is None, "all simulations of a trial begin their episodes together"
        self._episode += 1
        if self._episode == 0:
            self._simulator.set_tasks(self._now())
            return self._simulator.reset(generators)
        self._simulator.set_tasks(self._now(), now=True)
        task, simulation = np.divmod(np.arange(self.count), self._of_each)
        anew = (task >= np.take(self._changing, simulation)) | self._ended
        self._ended[:] = False
        drawn = (each for each, starts in zip(generators, anew, strict=True) if starts)
        return self._simulator.reset(drawn, np.flatnonzero(anew))

    def step(self, action: NDArray[np.floating], active: NDArray[np.bool_] | None = None) -> Result:
        """Advance by one control step; see `Simulations`."""
        result = self._simulator.step(action, active)
        self._ended |= result.terminated
        return result

    def close(self) -> None:
        """Do nothing: the simulations live longer than a trial."""

    def put_back(self, rollouts: Rollouts) -> None:
        """Put the rollouts of the trial into their own tasks' rows, and mark those that continued.

        Both in place.
        """
        for episode in range(self._episodes):
            for simulation, changing in enumerate(self._changing):
                rollout = episode * self._of_each + simulation
                for field in rollouts:
                    taken = field[:changing, rollout]
                    taken.copy_(taken.roll(self._ahead(episode), 0))
                rollouts.continued[:changing, rollout] = episode > 0

    def _ahead(self, episode: int) -> int:
        return self._episodes - 1 - episode

    def _now(self) -> Tasks:
        """Return the tasks in this episode, a row a simulation."""
        task = np.arange(len(self._tasks))[:, None].repeat(self._of_each, axis=1)
        for simulation, changing in enumerate(self._changing):
            column = task[:changing, simulation]
            column[:] = np.roll(column, -self._ahead(self._episode))
        return self._tasks[task.ravel()]
