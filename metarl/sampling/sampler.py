"""`Sampler`: rollouts of many tasks at once, in this process.

Tasks are cut into the chunks of `task_threads`, each with simulations of its own that run through
their episodes by themselves: no thread waits for another before the last step of all.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from metarl.agents.policy import Parameters
from metarl.envs.family import Family
from metarl.envs.mujoco_log import quiet
from metarl.envs.plain import whole
from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.sampling.collect import Acting, collect, empty_rollouts
from metarl.sampling.streams import Key
from metarl.sampling.telling import told_contexts
from metarl.sampling.trial import ONE_EPISODE, Changing, Trial
from metarl.system.task_threads import TaskThreads, chunks, cut


def chunks_of(family: Family, tasks: int) -> list[slice]:
    """Return the chunks of tasks whose simulations are stepped together.

    Up to 20 tasks, because the Python time of a step does not depend on the number of simulations;
    but at least two chunks, so that one thread evaluates the policy while another simulates. Where
    Python steps simulations one by one, large chunks bring nothing: a chunk is then one task, so
    that few simulations are in memory and every process has work.
    """
    return chunks(tasks, 1 if one_by_one(family) else min(20, -(-tasks // 2)))


def one_by_one(family: Family) -> bool:
    """Return whether the calling thread steps simulations one after the other."""
    return not (family.native or family.processes)


def parts_of(family: Family, tasks: int, count: int) -> list[slice]:
    """Return at most `count` parts, as equal as can be, of the chunks that tasks are sampled in.

    Args:
        family: of the tasks.
        tasks: how many.
        count: of parts, at most.
    """
    chunks = len(chunks_of(family, tasks))
    ends = np.linspace(0, chunks, min(count, chunks) + 1).round().astype(int).tolist()
    return [slice(first, end) for first, end in pairwise(ends)]


def tasks_in(chunks: Sequence[slice]) -> slice:
    """Return the tasks of consecutive chunks, such as those of a process."""
    return slice(chunks[0].start, chunks[-1].stop)


class Sampling(Protocol):
    """Samples rollouts; they are identical, whether sampled in this process or in others.

    Its resources are released at the end of a `with` block.
    """

    def __enter__(self) -> "Sampling": ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        ...

    def set_tasks(self, tasks: Tasks) -> None:
        """Take these tasks from now on.

        Args:
            tasks: a row each.

        Raises:
            ValueError: for another number of them, or one outside the family's range.
        """
        ...

    def sample(
        self,
        policy: Acting,
        parameters: Parameters,
        key: Key,
        *,
        deterministic: bool = False,
        memory: Remembered | None = None,
    ) -> Rollouts:
        """Return all rollouts, on the CPU, in float32.

        What is sampled depends on the arguments and the tasks alone, to the last bit.

        Args:
            policy: whose actions are taken.
            parameters: every task's own, [task, ...] each, on the CPU.
            key: decides start states and action noise.
            deterministic: take the most likely action at every step.
            memory: what rollouts begin with; None for a policy that has none.
        """
        ...


class Sampler:
    """Samples with threads; see `Sampling`."""

    def __init__(
        self,
        family: Family,
        tasks: int,
        rollouts: int,
        *,
        trial: Trial = ONE_EPISODE,
        threads: int = 0,
        part: slice = slice(None),
    ) -> None:
        """Make the simulations, with no tasks yet.

        Args:
            family: the robot and what is asked of it.
            tasks: how many.
            rollouts: of each task.
            trial: how a simulation takes them; see `Trial`. Tasks change only where the family's
                can while it runs, and not where a chunk is a single task.
            threads: 0 for one a core.
            part: which of `chunks_of(family, tasks)` are sampled here, when others have the rest.
        """
        tasks, rollouts = whole("tasks", tasks), whole("rollouts", rollouts)
        whole("episodes", trial.episodes)
        if rollouts % trial.episodes:
            raise ValueError(f"{rollouts} rollouts cannot be taken {trial.episodes} in a row")
        self._trial = trial
        self.family = family
        every = chunks_of(family, tasks)[part]
        own = tasks_in(every)
        self._first, self.tasks = own.start, own.stop - own.start
        self.rollouts = rollouts
        # a third-party environment may not be safe to step from several threads
        self._threads = TaskThreads(threads if family.native else 1, torch.device("cpu"))
        self._chunks = [slice(c.start - self._first, c.stop - self._first) for c in every]
        # where there are fewer chunks than threads, several threads step a chunk's simulations
        native = max(1, self._threads.count // len(self._chunks))
        self._simulations = rollouts // trial.episodes
        sizes = [(chunk.stop - chunk.start) * self._simulations for chunk in self._chunks]
        # chunks of one task each share the same simulations, one after the other: a third-party
        # environment may take 20 MB
        self._in_turn = one_by_one(family)
        self._tasks: Tasks | None = None
        sizes = sizes[:1] if self._in_turn else sizes
        self._simulators = [family.simulate(size, threads=native) for size in sizes]

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(self, *_: object) -> None:
        for simulator in self._simulators:
            simulator.close()

    def set_tasks(self, tasks: Tasks) -> None:
        """Take these tasks from now on; see `Sampling`."""
        if len(tasks) != self.tasks:
            raise ValueError(f"this sampler has {self.tasks} tasks, got {len(tasks)}")
        self._tasks = self.family.task(tasks)
        if not self._in_turn:
            for chunk, simulator in zip(self._chunks, self._simulators, strict=True):
                simulator.set_tasks(tasks[chunk].repeat(self._simulations))

    def sample(
        self,
        policy: Acting,
        parameters: Parameters,
        key: Key,
        *,
        deterministic: bool = False,
        memory: Remembered | None = None,
        out: Rollouts | None = None,
    ) -> Rollouts:
        """Return all rollouts; see `Sampling`.

        Args:
            policy: see `Sampling`.
            parameters: see `Sampling`.
            key: see `Sampling`.
            deterministic: see `Sampling`.
            memory: see `Sampling`.
            out: what to write to; None for memory of its own.
        """
        rules = memory.rules if memory else None
        if memory:
            memory = memory._replace(told=self._told(memory.rules.context_size))
        whole = out or empty_rollouts(self.family, self.tasks, self.rollouts, rules)

        def run(number: int) -> None:
            chunk = self._chunks[number]
            simulator = self._simulators[0 if self._in_turn else number]
            if self._in_turn and self._tasks is not None:
                simulator.set_tasks(self._tasks[chunk].repeat(self._simulations))
            out = cut(whole, chunk)
            changing = None
            if self._trial.changes and self._tasks is not None:
                changing = Changing(simulator, self._tasks[chunk], self._trial)
            collect(
                changing or simulator,
                policy,
                cut(parameters, chunk),
                key,
                out,
                first=self._first + chunk.start,
                deterministic=deterministic,
                memory=_part(memory, chunk) if memory else None,
            )
            if changing:
                changing.put_back(out)

        with quiet(), self._threads as threads:
            threads.map(run, range(len(self._chunks)))
        return whole

    def _told(self, size: int) -> Tensor | None:
        """Return what policies are told of all tasks in contexts of so many numbers; or None."""
        telling = self._trial.telling(self._simulations)
        if not telling or self._tasks is None:
            return None
        told = told_contexts(self.family, self._tasks, size)
        return told.unsqueeze(1).expand(-1, telling, -1)


def _part(memory: Remembered, chunk: slice) -> Remembered:
    """Return what rollouts of a chunk's tasks begin with."""
    told = None if memory.told is None else memory.told[chunk]
    return memory._replace(start=memory.start[chunk], told=told)
