"""`Episodes`: what the Gymnasium and Stable-Baselines3 interfaces have in common.

Each of several simulations has its own clock, random generator and task; their episodes end and
begin independently. Actions are in -1 to 1, the whole control range of the robot: the family's
action scale, which is for metarl's policies, is divided out.

What they return belongs to the caller: nothing of it changes with a later step.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from metarl.envs.distributions import Split
from metarl.envs.nearest import nearest
from metarl.envs.robot import Array
from metarl.envs.simulator import Simulator
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks

Task = Tasks | Mapping[str, float] | Sequence[Mapping[str, float] | None] | None
"""One task for all simulations, or a table or list with one each; None draws them."""


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
            task: one for all, or a table or list with one each; None draws one for each episode.
            split: where tasks are drawn from.
            threads: native threads; 0 for one a core.
        """
        self.family = family
        self.count = count
        self.split: Split = split
        self._fixed = self._rows(task, count)
        self.simulator = Simulator(family, count, threads=threads)
        self.generators = [np.random.default_rng() for _ in range(count)]
        self.time = np.zeros(count, dtype=int)
        """Steps since each episode began, [sim]."""
        drawn = family.sample_tasks(count, seed=0, split=split).values
        first = [row if row is not None else drawn[sim] for sim, row in enumerate(self._fixed)]
        self.tasks = Tasks(family.parameters, np.stack(first))
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
            sims: which simulations, as ascending indices; None for all.
            task: of these episodes alone; where it is None, the task that `set_task` gave or one
                that is drawn.
        """
        chosen = np.arange(self.count) if sims is None else sims
        given = self._rows(task, len(chosen))
        table = [self._next(sim, row) for sim, row in zip(chosen, given, strict=True)]
        self._give(table, chosen)
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

    def set_task(self, task: Task, sims: Sequence[int] | None = None, *, now: bool = False) -> None:
        """Decide the task of all episodes that begin from now on; running ones keep theirs.

        Args:
            task: one for these simulations, or a table or list with one each; None draws one for
                each episode.
            sims: which simulations; None for all.
            now: change the running episodes' tasks too; see `Simulator.set_tasks`.

        Raises:
            TypeError: for what is no task.
            ValueError: for a task that the family does not have, or another number of them.
            IndexError: for a simulation that there is not.
        """
        chosen = range(self.count) if sims is None else [int(sim) for sim in sims]
        for sim in chosen:
            if not 0 <= sim < self.count:
                raise IndexError(f"there is no environment {sim}; there are {self.count}, from 0")
        for sim, row in zip(chosen, self._rows(task, len(chosen)), strict=True):
            self._fixed[sim] = row
        if now:
            ascending = np.unique(np.asarray(chosen, dtype=int))
            self._give([self._next(sim, None) for sim in ascending], ascending, now=True)

    def redraw_task(self, sims: Sequence[int] | None = None) -> None:
        """Draw a task for these simulations and keep it for all episodes from now on."""
        chosen = range(self.count) if sims is None else sims
        rows = np.stack([self._draw(sim) for sim in chosen])
        self.set_task(Tasks(self.family.parameters, rows), chosen)

    def sample_tasks(self, count: int, seed: int | None = None) -> Tasks:
        """Draw tasks of the split.

        Args:
            count: how many.
            seed: of the draw; None draws it with the first simulation's generator.
        """
        drawn = int(self.generators[0].integers(2**32)) if seed is None else seed
        return self.family.sample_tasks(count, seed=drawn, split=self.split)

    def _rows(self, task: Task, count: int) -> list[Array | None]:
        """Return the values of each simulation's task, [parameter]; None where one is drawn."""
        if task is None:
            return [None] * count
        rows: list[Array | None]
        if isinstance(task, Sequence) and all(isinstance(t, Mapping | None) for t in task):
            rows = [None if one is None else self.family.task(one).values[0] for one in task]
        else:
            rows = list(self.family.task(task).values)  # type: ignore[arg-type], which it refuses
        if len(rows) == 1:
            return rows * count
        if len(rows) != count:
            raise ValueError(f"{count} simulations need 1 task or as many, got {len(rows)}")
        return rows

    def _next(self, sim: int | np.integer, given: Array | None) -> Array:
        """Return the values of a new episode's task: as given, as `set_task` left it, or drawn."""
        row = self._fixed[sim] if given is None else given
        return self._draw(sim) if row is None else row

    def _give(
        self, table: Sequence[Array], chosen: NDArray[np.integer], *, now: bool = False
    ) -> None:
        """Make these the current tasks of the chosen simulations."""
        rows = Tasks(self.family.parameters, np.stack(table))
        values = self.tasks.values.copy()
        values[chosen] = rows.values
        self.tasks = Tasks(self.tasks.names, values)
        self.simulator.set_tasks(rows, chosen, now=now)

    def _draw(self, sim: int | np.integer) -> Array:
        """Return the values of a task drawn with the simulation's own generator, [parameter]."""
        seed = int(self.generators[sim].integers(2**32))
        return self.family.sample_tasks(1, seed=seed, split=self.split).values[0]


class ChoosesTasks:
    """The methods by which meta-learning code chooses an environment's tasks."""

    _episodes: Episodes

    def sample_tasks(self, count: int, seed: int | None = None) -> Tasks:
        """Return `count` tasks of the environment's split, a row each.

        Args:
            count: how many.
            seed: of the draw; None draws it with the (first) environment's generator.
        """
        return self._episodes.sample_tasks(count, seed)

    def set_task(
        self, task: Task, indices: Sequence[int] | None = None, *, now: bool = False
    ) -> None:
        """Decide the task of all episodes from the next reset on; a running one keeps its task.

        Args:
            task: such as `{"velocity": 1.2}`; for several environments also a table or list with
                one each. None draws a task at each reset.
            indices: which environments of several; None for all.
            now: change the task of running episodes as well, in the state that they are in: the
                next step has the new body and goal. With None, another task is drawn for each.

        Raises:
            TypeError: for what is no task.
            ValueError: for a task that the family does not have, or another number of them.
            IndexError: for an environment that there is not.
        """
        self._episodes.set_task(task, indices, now=now)

    def reset_task(self, task: Task = None, indices: Sequence[int] | None = None) -> None:
        """Do as `set_task`; without a task, draw one for each environment and keep it."""
        if task is None:
            self._episodes.redraw_task(indices)
        else:
            self._episodes.set_task(task, indices)


def reset_options(options: Mapping[str, Any] | None, *known: str) -> Mapping[str, Any]:
    """Return the options of a reset, {} for None.

    Raises:
        ValueError: for an option that is not known, which would have no effect.
    """
    for name in options or {}:
        if name not in known:
            raise ValueError(f"a reset has no option {name!r}{nearest(name, known)}")
    return options or {}


def render_fps(family: TaskFamily) -> int:
    """Return the control steps of a second, rounded as Gymnasium does, and at least 1."""
    return max(1, int(np.round(1.0 / family.dt)))
