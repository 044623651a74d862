"""`Cluster`: rollouts of many tasks at once, by the cores of a Ray cluster.

Each part of the tasks is a Ray task that carries all it needs, and no actor: an actor loses its
simulations' tasks when it is restarted, and has used up its restarts before Ray notices that its
node is gone. A process of the cluster keeps the simulations that it made last.
"""

import re
import time
import uuid
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import torch
from numpy.typing import NDArray

from metarl.agents.memory import TaskMemory
from metarl.agents.policy import Parameters
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.sampling.collect import Acting, empty_rollouts
from metarl.sampling.ray_connection import connected, pickled_with_own_modules
from metarl.sampling.registrations import register, registered
from metarl.sampling.sampler import Sampler, chunks_of, parts_of, tasks_in
from metarl.sampling.streams import Key
from metarl.sampling.trial import ONE_EPISODE, Trial
from metarl.sampling.worker import LEAST, PATIENCE, SLOWER
from metarl.system.remote import LostError

RETRIES = 6
"""How often in a row a part is sampled again. Ray takes up to 5 s to notice that a node is gone,
and until then gives it new work, which is lost as well: so each try waits longer than the last."""

_LOOK = 5.0
"""Polling interval for parts that have not returned [s]."""

_SILENT = 20.0
"""Time without a result after which a warning says that no core is free [s]."""


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Job(NamedTuple):
    """What a part of the tasks is sampled with, besides its number."""

    policy: Acting
    parameters: dict[str, NDArray]
    """[task, ...] each, of all tasks."""
    start: NDArray | None
    """Memories that rollouts begin with, [task, memory]."""
    rules: TaskMemory | None
    key: Key
    deterministic: bool


class Cluster:
    """Samples with the processes of a Ray cluster; see `sampler.Sampling`.

    The same rollouts as here, to the last bit, on processors of the same kind.
    """

    def __init__(
        self, family: Family, tasks: int, rollouts: int, *, address: str, trial: Trial = ONE_EPISODE
    ) -> None:
        """Connect to the cluster; its processes make the simulations when they are asked to sample.

        Args:
            family: the robot and what is asked of it; modules of the user's own travel with it.
            tasks: how many.
            rollouts: of each task.
            address: `ray` for one on this machine, or the one that RAY_ADDRESS names; `ray:auto`,
                `ray:HOST:PORT`.
            trial: see `Sampler`.

        Raises:
            ValueError: when Ray is not installed, no cluster answers, or it has no cores.
        """
        self.tasks = tasks
        self._family, self._rollouts = family, rollouts
        self._ray = connected(address)
        self._cores = int(self._ray.cluster_resources().get("CPU", 0))
        if self._cores < 1:
            raise ValueError(f"the cluster {address} has no cores to sample with")
        self._parts = parts_of(family, tasks, self._cores)
        chunks = chunks_of(family, tasks)
        self._slices = [tasks_in(chunks[part]) for part in self._parts]
        entries = [] if family.native else registered()
        settings = {"tasks": tasks, "rollouts": rollouts, "trial": trial, "threads": 1}
        self._made_of = self._ray.put(
            (uuid.uuid4().hex, pickled_with_own_modules(family), entries, settings)
        )
        # Ray's own retries would go unseen, and are used up while a node's end is not noticed yet
        self._sample = self._ray.remote(num_cpus=1, max_retries=0)(sample_part)
        self._table: Tasks | None = None
        self._version = 0
        self._slowest = 0.0

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._made_of = None  # the connection stays, for others who sample

    def set_tasks(self, tasks: Tasks) -> None:
        """Take these tasks from now on; see `metarl.sampling.sampler.Sampling`."""
        if len(tasks) != self.tasks:
            raise ValueError(f"this cluster has {self.tasks} tasks, got {len(tasks)}")
        self._table = self._family.task(tasks)
        self._version += 1

    def sample(
        self,
        policy: Acting,
        parameters: Parameters,
        key: Key,
        *,
        deterministic: bool = False,
        memory: Remembered | None = None,
    ) -> Rollouts:
        """Return all rollouts; see `metarl.sampling.sampler.Sampling`.

        Raises:
            LostError: when a part was lost more often than `RETRIES` allows.
        """
        if self._table is None:
            raise RuntimeError("give the simulations their tasks first: set_tasks(tasks)")
        rules = memory.rules if memory else None
        arrays = {name: np.ascontiguousarray(value) for name, value in parameters.items()}
        start = memory.start.numpy() if memory else None
        job = self._ray.put(Job(policy, arrays, start, rules, key, deterministic))
        out = empty_rollouts(self._family, self.tasks, self._rollouts, rules)
        waiting = Waiting(self._ray, max(LEAST, SLOWER * self._slowest) if self._slowest else None)
        began = time.monotonic()
        try:
            for number in range(len(self._parts)):
                waiting.begin(number, lambda number=number: self._begin(number, job))
            for number, fields in waiting.results(self._cores, 2.0 * self._slowest):
                for whole, field in zip(out, fields, strict=True):
                    np.copyto(whole[self._slices[number]].numpy(), field)
        finally:
            waiting.cancel()
        self._slowest = max(self._slowest, time.monotonic() - began)
        return out

    def _begin(self, number: int, job: Any) -> Any:  # noqa: ANN401, references of Ray's
        assert self._table is not None
        part, tasks = self._parts[number], self._table[self._slices[number]]
        return self._sample.remote(self._made_of, part, self._version, tasks, job)


class Waiting:
    """Work that was given to a cluster, and has not come back yet."""

    def __init__(self, ray: Any, patience: float | None) -> None:  # noqa: ANN401
        """Begin with nothing.

        Args:
            ray: the module.
            patience: time [s] that a part has before it is given to another process; None for the
                first time, when there is nothing to go by.
        """
        self._ray, self._patience = ray, patience or PATIENCE
        self._again: dict[int, Any] = {}
        self._pending: dict[Any, tuple[int, float]] = {}
        self._tries: dict[int, int] = {}
        self._told_loss = self._told_wait = False

    def begin(self, number: int, call: Any) -> None:  # noqa: ANN401
        """Begin a part; `call` gives it to the cluster and returns a reference to its result."""
        self._again[number] = call
        self._pending[call()] = number, time.monotonic()

    def results(self, cores: int, usual: float) -> Any:  # noqa: ANN401
        """Yield the number and the result of each part, as they come.

        Args:
            cores: of the cluster, for a message.
            usual: time without a result that is normal [s]; the warning comes after it, and after
                `_SILENT` at least.
        """
        errors, began = self._ray.exceptions, time.monotonic()
        while self._pending:
            ready, _ = self._ray.wait(list(self._pending), timeout=_LOOK)
            for reference in ready:
                number, _ = self._pending.pop(reference)
                try:
                    result = self._ray.get(reference, timeout=self._patience)
                except errors.RayTaskError as error:
                    raise _cause(error) from None
                except errors.RayError as error:
                    self._lost(number, type(error).__name__)
                else:
                    yield number, result
            now = time.monotonic()
            for reference, (number, since) in list(self._pending.items()):
                if now - since > self._patience * 2 ** self._tries.get(number, 0):
                    del self._pending[reference]
                    self._ray.cancel(reference, force=True)
                    self._lost(number, f"no answer for {now - since:.0f} s")
            if not ready and now - began > max(_SILENT, usual):
                self._tell_wait(cores)

    def cancel(self) -> None:
        """Cancel the parts that have not returned."""
        for reference in self._pending:
            self._ray.cancel(reference, force=True)
        self._pending = {}

    def _lost(self, number: int, why: str) -> None:
        tries = self._tries[number] = self._tries.get(number, 0) + 1
        if tries > RETRIES:
            raise LostError(
                f"a part of the tasks was lost {tries} times on the cluster, at last by {why}; the "
                "run's last checkpoint is intact"
            )
        if not self._told_loss:
            self._told_loss = True
            warnings.warn(
                f"a process of the cluster was lost ({why}): another process samples its tasks "
                "again; the results do not change",
                RuntimeWarning,
                stacklevel=4,
            )
        time.sleep(min(8.0, 0.25 * 2**tries))
        self._pending[self._again[number]()] = number, time.monotonic()

    def _tell_wait(self, cores: int) -> None:
        if self._told_wait or self._ray.available_resources().get("CPU", 0) >= 1:
            return
        self._told_wait = True
        warnings.warn(
            f"waiting for {len(self._pending)} of the cluster's {cores} cores: none is free yet",
            RuntimeWarning,
            stacklevel=4,
        )


def _cause(error: Any) -> Exception:  # noqa: ANN401, a class of Ray's
    """Return what a task raised; Ray's error is of both classes, with colours for a terminal."""
    if not isinstance(error.cause, Exception):
        return RuntimeError(_COLOURS.sub("", str(error)))
    error.cause.add_note(f"in the cluster:\n{_COLOURS.sub('', str(error))}")
    return error.cause


_KEPT: dict[str, Any] = {}
"""What this process of the cluster made last: its key, the sampler, the version of its tasks."""


def sample_part(
    made_of: tuple[str, bytes, list[bytes], Mapping[str, Any]],
    part: slice,
    version: int,
    tasks: Tasks,
    job: Job,
) -> list[NDArray]:
    """Return the fields of a part's rollouts; runs in a process of the cluster.

    Args:
        made_of: a name of its own, the family, registrations, settings of the `Sampler`.
        part: which of the chunks of tasks.
        version: of the tasks.
        tasks: of the part.
        job: of all parts.
    """
    torch.set_num_threads(1)
    name, family, entries, settings = made_of
    if _KEPT.get("key") != (name, part.start):
        if "sampler" in _KEPT:
            _KEPT.pop("sampler").__exit__()
        _KEPT.clear()
        register(entries)
        _KEPT["sampler"] = Sampler(cloudpickle.loads(family), **settings, part=part)
        _KEPT["key"] = name, part.start
    sampler: Sampler = _KEPT["sampler"]
    if _KEPT.get("version") != version:
        sampler.set_tasks(tasks)
        _KEPT["version"] = version
    own = tasks_in(chunks_of(sampler.family, settings["tasks"])[part])

    def tensor(array: NDArray) -> torch.Tensor:
        return torch.from_numpy(array[own].copy())  # what Ray hands out is read-only

    rollouts = sampler.sample(
        job.policy,
        {name: tensor(value) for name, value in job.parameters.items()},
        job.key,
        deterministic=job.deterministic,
        memory=None
        if job.rules is None or job.start is None
        else Remembered(job.rules, tensor(job.start)),
    )
    return [field.numpy() for field in rollouts]
