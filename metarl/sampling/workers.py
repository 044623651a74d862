"""`Workers`: rollouts of many tasks at once, by processes that each have a slice of the tasks.

Each has simulations and a policy of its own. Parameters go to them and rollouts come back through
shared memory, of which each writes its own slice; parameters are written here alone. The processes
are started afresh and do not run the user's script again, so that it needs no main guard.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe
from typing import Any

import cloudpickle
import numpy as np
import torch
from torch import Tensor

from metarl.agents.memory import TaskMemory
from metarl.agents.policy import Parameters
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.sampling.collect import Acting, rollout_layout
from metarl.sampling.sampler import Sampler, Sampling, chunks_of
from metarl.sampling.streams import Key
from metarl.system import shared_memory

THREADS = 4
"""Threads that one process keeps busy. Each step of a chunk asks Python for 0.3 ms, one thread at a
time; the physics of 400 HalfCheetahs takes 12 ms of a thread."""

_MEMORY = "memory"
"""Stands for the memories that rollouts begin with, among the parameters."""

_START = "from metarl.sampling.workers import serve; serve({pipe}, {memory})"


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
        self._workers: list[_Worker] = []
        layout = rollout_layout(family, tasks, rollouts, memory)
        shapes = {**parameters, _MEMORY: (memory.size if memory else 0,)}
        for name, shape in shapes.items():
            layout[_parameter(name)] = ((tasks, *shape), torch.float32)
        self._memory = shared_memory.create(layout)
        self._shared = shared_memory.attach(self._memory, layout)
        parts = parts_of(tasks, count)
        each = max(1, (threads or os.cpu_count() or 1) // len(parts))
        chunks = chunks_of(tasks)
        try:
            for number, part in enumerate(parts):
                own = slice(chunks[part][0].start, chunks[part][-1].stop)
                job = (family, tasks, rollouts, episodes, part, own, layout, each)
                self._workers.append(_Worker(number, own, self._memory, job))
            self._all([None] * len(parts))
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
        self._all([("set_tasks", tasks[worker.tasks]) for worker in self._workers])

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
        for name, value in parameters.items():
            self._shared[_parameter(name)].copy_(value)
        if memory:
            self._shared[_parameter(_MEMORY)].copy_(memory.start)
        rules = memory.rules if memory else None
        call = ("sample", policy, list(parameters), key, deterministic, rules)
        self._all([call] * len(self._workers))
        # a copy: the next call writes to the same memory
        return Rollouts(*(self._shared[name].clone() for name in Rollouts._fields))

    def close(self) -> None:
        """Stop the processes."""
        for worker in self._workers:
            worker.stop()
        self._workers = []
        self._shared = {}
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def _all(self, calls: list[Any]) -> None:
        """Make each worker's call and wait for all, then raise the first error there was."""
        if not self._workers:
            raise RuntimeError("these workers were stopped")
        for worker, call in zip(self._workers, calls, strict=True):
            if call is not None:
                worker.send(call)
        errors = [worker.answer() for worker in self._workers]
        for error in errors:
            if error is not None:
                raise error


class _Worker:
    """One process, seen from here."""

    def __init__(self, number: int, tasks: slice, memory: int, job: tuple[Any, ...]) -> None:
        self.tasks = tasks
        self._number = number
        self._pipe, there = Pipe()
        start = _START.format(pipe=there.fileno(), memory=memory)
        self._process = subprocess.Popen(
            [sys.executable, "-c", start],
            pass_fds=(there.fileno(), memory),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # Ctrl-C is for the process that can save the run
        )
        there.close()
        self.send(job)

    def send(self, message: Any) -> None:  # noqa: ANN401
        with self._explained():
            self._pipe.send_bytes(cloudpickle.dumps(message))

    def answer(self) -> BaseException | None:
        with self._explained():
            return cloudpickle.loads(self._pipe.recv_bytes())

    def stop(self) -> None:
        self._pipe.close()  # the process ends when there is no one to answer
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @contextlib.contextmanager
    def _explained(self) -> Any:  # noqa: ANN401
        try:
            yield
        except (EOFError, OSError):
            code = self._process.wait()
            raise RuntimeError(
                f"sampling process {self._number} ended with code {code}"
                + ("; memory may have run out" if code == -9 else "")
                + "; the run's last checkpoint is whole"
            ) from None


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
    threads = threads or os.cpu_count() or 1
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


def serve(pipe: int, memory: int) -> None:
    """Sample what is asked for until there is no one to ask; the body of a process.

    Args:
        pipe: descriptor of the connection.
        memory: descriptor of the shared memory.
    """
    torch.set_num_threads(1)
    connection = Connection(pipe)
    sampler: Sampler | None = None
    shared: dict[str, Tensor] = {}
    out: Rollouts | None = None
    while True:
        try:
            message = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        error: Exception | None = None
        try:
            if sampler is None:
                family, tasks, rollouts, episodes, part, own, layout, threads = message
                sampler = Sampler(
                    family, tasks, rollouts, episodes=episodes, threads=threads, part=part
                )
                everything = shared_memory.attach(memory, layout)
                shared = {name: value[own] for name, value in everything.items()}
                out = Rollouts(*(shared[name] for name in Rollouts._fields))
            elif message[0] == "set_tasks":
                sampler.set_tasks(message[1])
            else:
                _, policy, names, key, deterministic, rules = message
                parameters = {name: shared[_parameter(name)] for name in names}
                start = shared[_parameter(_MEMORY)]
                remembered = Remembered(rules, start) if rules else None
                sampler.sample(
                    policy, parameters, key, deterministic=deterministic, memory=remembered, out=out
                )
        except Exception as raised:
            error = raised
        with contextlib.suppress(BrokenPipeError):
            connection.send_bytes(cloudpickle.dumps(error))


def _parameter(name: str) -> str:
    return f"parameter {name}"
