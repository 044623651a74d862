"""`Episodes`: what the Gymnasium and Stable-Baselines3 interfaces have in common.

Each of several simulations has its own clock, random generator and task; their episodes end and
begin independently. Actions are in -1 to 1, the whole control range of the robot: the family's
action scale, which is for policies of ours, is divided out.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from metarl.envs.distributions import Split
from metarl.envs.robot import Array
from metarl.envs.simulator import Simulator
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks

Task = Tasks | Mapping[str, float] | None


class Outcome(NamedTuple):
    """What a step returned; every array has a leading simulation axis."""

    observation: Array
    """[sim, observation]."""
    reward: Array
    """[sim]."""
    terminated: NDArray[np.bool_]
    """Whether the robot fell, reached its goal, or its physics failed, [sim]."""
    truncated: NDArray[np.bool_]
    """Whether the horizon is reached and the episode has not terminated, [sim]."""
    succeeded: NDArray[np.bool_]
    """Whether the robot is where it is wanted, [sim]; False unless the family `tells_success`."""


class Episodes:
    """Several simulations of one family that run one episode after another."""

    def __init__(
        self,
        family: TaskFamily,
        count: int,
        *,
        task: Task = None,
        split: Split = "train",
        threads: int = 0,
    ) -> None:
        """Prepare `count` simulations; `begin` starts them.

        Args:
            family: the tasks.
            count: how many at once.
            task: one for all, or a table with one row each; None draws one for each episode.
            split: where tasks are drawn from.
            threads: native threads; 0 for one a core.
        """
        self.family = family
        self.count = count
        self.split: Split = split
        self.fixed = None if task is None else self._table(task, count)
        self.simulator = Simulator(family, count, threads=threads)
        self.generators = [np.random.default_rng() for _ in range(count)]
        self.time = np.zeros(count, dtype=int)
        """Steps since each episode began, [sim]."""
        self.tasks = self.fixed or family.sample_tasks(count, seed=0, split=split)
        """The current task of each simulation."""
        self.simulator.set_tasks(self.tasks)

    @property
    def observation_space(self) -> spaces.Box:
        """Of one simulation."""
        return spaces.Box(-np.inf, np.inf, (self.family.observation_size,), np.float64)

    @property
    def action_space(self) -> spaces.Box:
        """Of one simulation: -1 to 1 is the whole control range."""
        return spaces.Box(-1.0, 1.0, (self.family.action_size,), np.float32)

    def seed(self, seeds: Sequence[int | None]) -> None:
        """Give each simulation a new generator; those with None keep theirs."""
        for index, seed in enumerate(seeds):
            if seed is not None:
                self.generators[index] = np.random.default_rng(seed)

    def begin(self, sims: NDArray[np.integer] | None = None, task: Task = None) -> Array:
        """Begin new episodes and return all observations, [sim, observation].

        Args:
            sims: which simulations, as indices; None for all.
            task: one for them, or a table with one row each; None for the fixed or a drawn one.
        """
        chosen = np.arange(self.count) if sims is None else sims
        if task is not None:
            rows = self._table(task, len(chosen))
        elif self.fixed is not None:
            rows = self.fixed[chosen]
        else:
            rows = self._draw(chosen)
        values = self.tasks.values.copy()
        values[chosen] = rows.values
        self.tasks = Tasks(self.tasks.names, values)
        self.simulator.set_tasks(rows, chosen)
        self.time[chosen] = 0
        return self.simulator.reset((self.generators[sim] for sim in chosen), chosen)

    def step(self, action: NDArray, active: NDArray[np.bool_] | None = None) -> Outcome:
        """Advance by one control step.

        Args:
            action: [sim, action], -1 to 1; what exceeds that is cut off.
            active: the simulations to step, [sim]; None for all.
        """
        result = self.simulator.step(np.asarray(action) / self.family.action_scale, active)
        self.time += 1 if active is None else active
        truncated = (self.time >= self.family.horizon) & ~result.terminated
        if active is not None:
            truncated &= active
        return Outcome(
            result.observation, result.reward, result.terminated, truncated, result.succeeded
        )

    def _table(self, task: Tasks | Mapping[str, float], count: int) -> Tasks:
        table = self.family.task(task)
        if len(table) == 1:
            return table.repeat(count)
        if len(table) != count:
            raise ValueError(f"{count} simulations need 1 task or as many, got {len(table)}")
        return table

    def _draw(self, sims: NDArray[np.integer]) -> Tasks:
        rows = [
            self.family.sample_tasks(
                1, seed=int(self.generators[sim].integers(2**32)), split=self.split
            ).values
            for sim in sims
        ]
        return Tasks(self.family.parameters, np.concatenate(rows))
