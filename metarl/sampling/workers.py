"""`Workers`: rollouts of many tasks at once, by processes that each have a slice of the tasks.

Each has simulations and a policy of its own. Parameters go to them and rollouts come back through
shared memory, of which each writes its own slice; parameters are written here alone.
"""

import os
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import cloudpickle
import numpy as np
import torch

from metarl.agents.memory import TaskMemory
from metarl.agents.policy import Parameters
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.sampling.collect import Acting, rollout_layout
from metarl.sampling.registrations import register, registered
from metarl.sampling.sampler import Sampler, Sampling, chunks_of
from metarl.sampling.streams import Key
from metarl.system import shared_memory
from metarl.system.cores import cores
from metarl.system.remote import Remote
from metarl.system.shared_memory import Layout

THREADS = 4
"""Threads that one process keeps busy. Each step of a chunk asks Python for 0.3 ms, one thread at a
time; the physics of 400 HalfCheetahs takes 12 ms of a thread."""

_MEMORY = "memory"
"""Stands for the memories that rollouts begin with, among the parameters."""


class Workers:
    """Samples with processes, as `sampler.Sampling`; they live as long as the `with` block."""

    def __init__(
        self,
        family: Family,
        tasks: int,
        rollouts: int,
        parameters: Mapping[str, tuple[int, ...]],
        *,
        episodes: int = 1,
        memory: TaskMemory | None = None,
        count: int,
        threads: int = 0,
    ) -> None:
        """Start the processes, with no tasks yet.

        Args:
            family: the robot and what is asked of it.
            tasks: how many.
            rollouts: of each task.
            parameters: names and shapes of all that policies may have, for one task.
            episodes: see `Sampler`.
            memory: of the policy, for its sizes; None when it has none.
            count: how many processes at most; each has one chunk of tasks at least.
            threads: of all processes together; 0 for one a core.
        """
        self.tasks = tasks
        self._workers: list[Remote] = []
        pickled = _pickled(family)
        # families of ours know nothing of Gymnasium's registry
        entries = [] if family.native else registered()
        layout = rollout_layout(family, tasks, rollouts, memory)
        shapes = {**parameters, _MEMORY: (memory.size if memory else 0,)}
        for name, shape in shapes.items():
            layout[_parameter(name)] = ((tasks, *shape), torch.float32)
        self._memory = shared_memory.create(layout)
        self._shared = shared_memory.attach(self._memory, layout)
        parts = parts_of(tasks, count)
        chunks = chunks_of(tasks)
        self._parts = [slice(chunks[part][0].start, chunks[part][-1].stop) for part in parts]
        settings = {
            "tasks": tasks,
            "rollouts": rollouts,
            "episodes": episodes,
            "threads": max(1, (threads or cores()) // len(parts)),
        }
        try:
            for number, (part, of_part) in enumerate(zip(parts, self._parts, strict=True)):
                worker = Remote(
                    f"sampling process {number}",
                    Part,
                    pickled,
                    entries,
                    (self._memory, layout),
                    of_part,
                    settings | {"part": part},
                    descriptors=(self._memory,),
                    when_it_dies="; the run's last checkpoint is whole",
                )
                self._workers.append(worker)
            self._answers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_tasks(self, tasks: Tasks) -> None:
        """Take these tasks from now on; see `metarl.sampling.sampler.Sampling`."""
        if len(tasks) != self.tasks:
            raise ValueError(f"these workers have {self.tasks} tasks, got {len(tasks)}")
        self._check_alive()
        for worker, part in zip(self._workers, self._parts, strict=True):
            worker.call("set_tasks", tasks[part])
        self._answers()

    def sample(
        self,
        policy: Acting,
        parameters: Parameters,
        key: Key,
        *,
        deterministic: bool = False,
        memory: Remembered | None = None,
    ) -> Rollouts:
        """Return all rollouts; see `metarl.sampling.sampler.Sampling`."""
        self._check_alive()
        for name, value in parameters.items():
            self._shared[_parameter(name)].copy_(value)
        if memory:
            self._shared[_parameter(_MEMORY)].copy_(memory.start)
        rules = memory.rules if memory else None
        for worker in self._workers:
            worker.call("sample", policy, list(parameters), key, deterministic, rules)
        self._answers()
        # a copy: the next call writes to the same memory
        return Rollouts(*(self._shared[name].clone() for name in Rollouts._fields))

    def close(self) -> None:
        """Stop the processes."""
        for worker in self._workers:
            worker.close()
        self._workers = []
        self._shared = {}
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def _check_alive(self) -> None:
        if not self._workers:
            raise RuntimeError("these workers were stopped")

    def _answers(self) -> None:
        """Wait for all workers, then raise the first error there was."""
        errors: list[Exception] = []
        for worker in self._workers:
            try:
                worker.answer()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


def _pickled(family: Family) -> bytes:
    """Return a family as it is sent to processes, or say that it cannot be."""
    try:
        return cloudpickle.dumps(family)
    except Exception as error:
        raise TypeError(
            f"{family.name} cannot be sent to sampling processes: {error}. Functions of it that "
            "make what cannot be pickled when they are called, instead of holding it, can be; "
            "workers=1 samples in this process"
        ) from error


def sampler_in_processes(
    family: Family,
    tasks: int,
    rollouts: int,
    parameters: Mapping[str, tuple[int, ...]],
    *,
    episodes: int = 1,
    memory: TaskMemory | None = None,
    workers: int,
    threads: int,
) -> Sampling:
    """Return a sampler, in this process where one is enough.

    Args:
        family: the robot and what is asked of it.
        tasks: how many.
        rollouts: of each task.
        parameters: names and shapes of all that policies may have, for one task.
        episodes: see `Sampler`.
        memory: of the policy, for its sizes; None when it has none.
        workers: how many processes; 0 for as many as are worth it.
        threads: of all processes together; 0 for one a core.
    """
    count = workers or worth_having(family, tasks, threads)
    if count == 1:
        return Sampler(family, tasks, rollouts, episodes=episodes, threads=threads)
    return Workers(
        family,
        tasks,
        rollouts,
        parameters,
        episodes=episodes,
        memory=memory,
        count=count,
        threads=threads,
    )


def worth_having(family: Family, tasks: int, threads: int) -> int:
    """Return into how many processes sampling is best divided.

    Args:
        family: what is simulated.
        tasks: how many.
        threads: that there are for it; 0 for one a core.
    """
    threads = threads or cores()
    # Python itself runs on one core of a process: an environment of ours needs little of it, an
    # environment of others nothing else, unless it has processes of its own
    wanted = -(-threads // THREADS) if family.native else 1 if family.processes else threads
    return len(parts_of(tasks, wanted))


def parts_of(tasks: int, count: int) -> list[slice]:
    """Return at most `count` parts, as equal as can be, of the chunks that tasks are sampled in.

    Args:
        tasks: how many.
        count: of parts, at most.
    """
    chunks = len(chunks_of(tasks))
    ends = np.linspace(0, chunks, min(count, chunks) + 1).round().astype(int).tolist()
    return [slice(first, end) for first, end in pairwise(ends)]


class Part:
    """What one process samples: some of the chunks of tasks."""

    def __init__(
        self,
        family: bytes,
        registrations: list[bytes],
        memory: tuple[int, Layout],
        tasks: slice,
        sampler: Mapping[str, Any],
    ) -> None:
        """Make the simulations, with no tasks yet.

        Args:
            family: pickled, as it may need the registrations to be loaded.
            registrations: of environments, for `register`.
            memory: descriptor of the shared memory, and its layout.
            tasks: that are sampled here.
            sampler: settings of the `Sampler`.
        """
        register(registrations)
        self._sampler = Sampler(cloudpickle.loads(family), **sampler)
        everything = shared_memory.attach(*memory)
        self._shared = {name: value[tasks] for name, value in everything.items()}
        self._out = Rollouts(*(self._shared[name] for name in Rollouts._fields))

    def set_tasks(self, tasks: Tasks) -> None:
        """Take these tasks from now on."""
        self._sampler.set_tasks(tasks)

    def sample(
        self,
        policy: Acting,
        parameters: list[str],
        key: Key,
        deterministic: bool,
        rules: TaskMemory | None,
    ) -> None:
        """Write rollouts to the shared memory, with the parameters of these names that are there.

        See `Sampling` for the other arguments; `rules` are those of the memory.
        """
        start = self._shared[_parameter(_MEMORY)]
        self._sampler.sample(
            policy,
            {name: self._shared[_parameter(name)] for name in parameters},
            key,
            deterministic=deterministic,
            memory=Remembered(rules, start) if rules else None,
            out=self._out,
        )

    def close(self) -> None:
        """Close the simulations."""
        self._sampler.__exit__()


def _parameter(name: str) -> str:
    return f"parameter {name}"
