"""One sampling process: what it does (`Part`), and how another takes its place (`Worker`)."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from metarl.agents.memory import TaskMemory
from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.sampling.collect import Acting
from metarl.sampling.registrations import register
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key
from metarl.system import shared_memory
from metarl.system.remote import LostError, Remote
from metarl.system.shared_memory import Layout

STARTING = 300.0
"""Time [s] that a process has to start and to make its simulations."""

RETRIES = 3
"""How often in a row the work of a lost process is given to a new one."""

PATIENCE = 600.0
"""Time [s] that a process has for its first answer; later ones have `SLOWER` times as long as the
slowest so far took, and `LEAST` at least. Each further try has twice as long."""
SLOWER, LEAST = 20.0, 60.0

MEMORY = "memory"
"""Stands for the memories that rollouts begin with, among the parameters."""


class Worker:
    """A process that samples some of the tasks, and what it takes to replace it by another."""

    def __init__(self, start: Callable[[], Remote], part: slice) -> None:
        """Start the process; `finish` waits until it is there.

        Args:
            start: starts one, each time it is called.
            part: the tasks that it samples.
        """
        self.part = part
        self.tasks: Tasks | None = None
        """That were set last."""
        self.remote = start()
        self._start = start
        self._work: tuple[Any, ...] = ()
        self._loss: LostError | None = None

    def call(self, method: str, *arguments: object) -> None:
        """Begin a call; `finish` waits for its end."""
        self._work = (method, *arguments)
        try:
            self.remote.call(*self._work)
        except LostError as error:
            self._loss = error

    def finish(self, patience: float) -> None:
        """Wait for the end of the last call; give it to a new process where this one is lost.

        Args:
            patience: time [s] that the process has; a new one has twice as long.

        Raises:
            Exception: what the call raised.
            LostError: when `RETRIES` further processes were lost, too.
        """
        for retry in range(RETRIES + 1):
            try:
                if self._loss:
                    raise self._loss
                if retry:
                    self._replace(patience * 2**retry)
                    if not self._work:  # it was lost before its first call, and now it is there
                        return
                self.remote.answer(patience * 2**retry)
                return
            except LostError as error:
                self._loss = None
                self.remote.close()
                if retry == RETRIES:
                    raise LostError(
                        f"{error}, and so did {RETRIES} before it; the run's last checkpoint is "
                        "intact"
                    ) from None
                warnings.warn(
                    f"{error}: another process samples its tasks again; the results do not change",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _replace(self, patience: float) -> None:
        """Start another process, bring it to where the lost one was, and begin the work again."""
        self.remote = self._start()
        self.remote.answer(max(patience, STARTING))
        if self.tasks is not None:
            self.remote.call("set_tasks", self.tasks)
            self.remote.answer(patience)
        if self._work:
            self.remote.call(*self._work)


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
        start = self._shared[parameter_name(MEMORY)]
        self._sampler.sample(
            policy,
            {name: self._shared[parameter_name(name)] for name in parameters},
            key,
            deterministic=deterministic,
            memory=Remembered(rules, start) if rules else None,
            out=self._out,
        )

    def close(self) -> None:
        """Close the simulations."""
        self._sampler.__exit__()


def parameter_name(name: str) -> str:
    """Return what a policy's parameter is called in the shared memory."""
    return f"parameter {name}"
