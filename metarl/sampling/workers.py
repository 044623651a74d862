"""`Workers`: rollouts of many tasks at once, by processes that each have a slice of the tasks.

Each has simulations and a policy of its own. Parameters go to them and rollouts come back through
shared memory, of which each writes its own slice; parameters are written here alone.
"""

import os
import time
from collections.abc import Mapping
from functools import partial

import cloudpickle
import torch

from metarl.agents.memory import TaskMemory
from metarl.agents.policy import Parameters
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.sampling.cluster import Cluster
from metarl.sampling.collect import Acting, rollout_layout
from metarl.sampling.registrations import registered
from metarl.sampling.sampler import Sampler, Sampling, chunks_of, parts_of, tasks_in
from metarl.sampling.streams import Key
from metarl.sampling.trial import ONE_EPISODE, Trial
from metarl.sampling.worker import (
    LEAST,
    MEMORY,
    PATIENCE,
    SLOWER,
    Part,
    Worker,
    parameter_name,
)
from metarl.system import shared_memory
from metarl.system.cores import cores
from metarl.system.remote import Remote

THREADS = 4
"""Threads that one process keeps busy. Each step of a chunk holds the GIL for 0.3 ms; the physics
of 400 HalfCheetahs takes one thread 12 ms."""


class Workers:
    """Samples with processes, as `sampler.Sampling`; they live as long as the `with` block.

    A process that dies or hangs is replaced by another, which samples the same rollouts: they
    depend on the key alone.
    """

    def __init__(
        self,
        family: Family,
        tasks: int,
        rollouts: int,
        parameters: Mapping[str, tuple[int, ...]],
        *,
        trial: Trial = ONE_EPISODE,
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
            trial: see `Sampler`.
            memory: of the policy, for its sizes; None when it has none.
            count: how many processes at most; each has one chunk of tasks at least.
            threads: of all processes together; 0 for one a core.
        """
        self.tasks = tasks
        self._workers: list[Worker] = []
        self._patience, self._slowest = PATIENCE, 0.0
        pickled = _pickled(family)
        # metarl's own families do not use Gymnasium's registry
        entries = [] if family.native else registered()
        layout = rollout_layout(family, tasks, rollouts, memory)
        shapes = {**parameters, MEMORY: (memory.size if memory else 0,)}
        for name, shape in shapes.items():
            layout[parameter_name(name)] = ((tasks, *shape), torch.float32)
        self._memory = shared_memory.create(layout)
        self._shared = shared_memory.attach(self._memory, layout)
        parts = parts_of(family, tasks, count)
        chunks = chunks_of(family, tasks)
        settings = {
            "tasks": tasks,
            "rollouts": rollouts,
            "trial": trial,
            "threads": max(1, (threads or cores()) // len(parts)),
        }
        try:
            for number, part in enumerate(parts):
                of_part = tasks_in(chunks[part])
                start = partial(
                    Remote,
                    f"sampling process {number}",
                    Part,
                    pickled,
                    entries,
                    (self._memory, layout),
                    of_part,
                    settings | {"part": part},
                    descriptors=(self._memory,),
                )
                self._workers.append(Worker(start, of_part))
            self._answers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *raised: object) -> None:
        if any(raised):
            for worker in self._workers:
                worker.remote.process.kill()  # no one waits for what it is doing
        self.close()

    def set_tasks(self, tasks: Tasks) -> None:
        """Take these tasks from now on; see `metarl.sampling.sampler.Sampling`."""
        if len(tasks) != self.tasks:
            raise ValueError(f"these workers have {self.tasks} tasks, got {len(tasks)}")
        self._check_alive()
        for worker in self._workers:
            worker.call("set_tasks", tasks[worker.part])
        self._answers()
        for worker in self._workers:
            worker.tasks = tasks[worker.part]

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
            self._shared[parameter_name(name)].copy_(value)
        if memory:
            self._shared[parameter_name(MEMORY)].copy_(memory.start)
        rules = memory.rules if memory else None
        began = time.monotonic()
        for worker in self._workers:
            worker.call("sample", policy, list(parameters), key, deterministic, rules)
        self._answers()
        self._slowest = max(self._slowest, time.monotonic() - began)
        self._patience = max(LEAST, SLOWER * self._slowest)
        # a copy: the next call writes to the same memory
        return Rollouts(*(self._shared[name].clone() for name in Rollouts._fields))

    def close(self) -> None:
        """Stop the processes."""
        for worker in self._workers:
            worker.remote.close()
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
                worker.finish(self._patience)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


def _pickled(family: Family) -> bytes:
    """Return a family as it is sent to processes, or say that it cannot be."""
    try:
        return cloudpickle.dumps(family)
    except Exception as error:
        raise ValueError(
            f"{family.name} cannot be sent to sampling processes: {error}. Let its functions "
            "create what cannot be pickled when they are called, instead of holding it; or sample "
            "in this process, with workers=1"
        ) from error


def sampler_in_processes(
    family: Family,
    tasks: int,
    rollouts: int,
    parameters: Mapping[str, tuple[int, ...]],
    *,
    trial: Trial = ONE_EPISODE,
    memory: TaskMemory | None = None,
    workers: int | str,
    threads: int,
) -> Sampling:
    """Return a sampler, in this process where one is enough.

    Args:
        family: the robot and what is asked of it.
        tasks: how many.
        rollouts: of each task.
        parameters: names and shapes of all that policies may have, for one task.
        trial: see `Sampler`.
        memory: of the policy, for its sizes; None when it has none.
        workers: how many processes; 0 for as many as are worth it; or the address of a cluster, see
            `Cluster`.
        threads: of all processes together; 0 for one a core.
    """
    if isinstance(workers, str):
        return Cluster(family, tasks, rollouts, address=workers, trial=trial)
    count = workers or worth_having(family, tasks, threads)
    if count == 1:
        return Sampler(family, tasks, rollouts, trial=trial, threads=threads)
    return Workers(
        family,
        tasks,
        rollouts,
        parameters,
        trial=trial,
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
    # Python itself runs on one core of a process: metarl's environments need little of it, while
    # third-party environments run in it entirely, unless they have processes of their own
    wanted = -(-threads // THREADS) if family.native else 1 if family.processes else threads
    return len(parts_of(family, tasks, wanted))
