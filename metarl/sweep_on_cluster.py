"""Runs of a sweep as tasks of a Ray cluster, whose nodes see the same folders as this machine.

Each task trains in a process of its own on its node, as on this machine. That ends, its iteration
saved, when the task is cancelled or the node's Ray is gone. A run whose node is lost begins again
on another one, from its last checkpoint.
"""

import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from metarl.sampling.ray_connection import connected
from metarl.sweep import LOG, Run, Training, TrainingHere
from metarl.system.ownership import owned

RETRIES = 3
"""How often a run that was lost is begun again."""

_FREE = 60.0
"""Time [s] that the process of a lost run has to save its iteration and to let go of its folder."""

_SILENT = 20.0
"""Time without output of a run after which a line says that it waits for free cores [s]."""


class Cluster:
    """A cluster whose cores the runs of a sweep share."""

    def __init__(self, address: str, runs: int, side_by_side: int) -> None:
        """Connect to the cluster.

        Args:
            address: see `metarl.sampling.cluster.Cluster`.
            runs: of the sweep.
            side_by_side: runs at a time; 0 for one a core.

        Raises:
            ValueError: when Ray is not installed, no cluster answers, or it has no cores.
        """
        self._ray = connected(address)
        nodes = [
            int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]
        ]
        if sum(nodes) < 1:
            raise ValueError(f"the cluster {address} has no cores to train with")
        self.count = min(runs, side_by_side or sum(nodes))
        """Runs at a time."""
        # a run has the cores of one node; a node without any takes none
        self._cores = max(1, min(sum(nodes) // self.count, min(filter(None, nodes))))
        # Ray's own retries would go unseen
        self._train = self._ray.remote(num_cpus=self._cores, max_retries=0)(train_there)
        self._told_wait = False

    def begin(self, run: Run) -> Training:
        """Begin a run, as soon as cores are free."""
        words = tuple(str(run.folder.resolve()) if w == str(run.folder) else w for w in run.words)
        return _TrainingThere(self, replace(run, folder=run.folder.resolve(), words=words))

    def task(self, run: Run) -> Any:  # noqa: ANN401, a reference of Ray's
        """Give a run to the cluster; return a reference to the code that it ends with."""
        return self._train.remote(run, self._cores, os.getcwd())

    def code(self, reference: Any) -> int | None:  # noqa: ANN401
        """Return the code of a task; None while it runs.

        Raises:
            ConnectionError: when it was lost.
            ValueError: when the run could not begin.
        """
        errors = self._ray.exceptions
        if not self._ray.wait([reference], timeout=0.0)[0]:
            return None
        try:
            return self._ray.get(reference)
        except errors.TaskCancelledError:  # before it began
            return 143
        except errors.RayTaskError as error:
            raise ValueError(str(error.cause)) from None
        except errors.RayError as error:
            raise ConnectionError(type(error).__name__) from None

    def cancel(self, reference: Any) -> None:  # noqa: ANN401
        """Interrupt a task, which then stops its run."""
        self._ray.cancel(reference, force=False)

    def tell_wait(self) -> None:
        """Say once that cores are waited for."""
        if not self._told_wait:
            self._told_wait = True
            print(f"waiting for {self._cores} free cores of the cluster for a run", file=sys.stderr)


class _TrainingThere:
    """A run on the cluster; see `metarl.sweep.Training`."""

    def __init__(self, cluster: Cluster, run: Run) -> None:
        self._cluster, self._run, self._losses = cluster, run, 0
        self._is_stopped = False
        self._log = run.folder / LOG
        self._log.touch()
        self._begin()

    def _begin(self) -> None:
        self._said, self._since = self._log.stat().st_size, time.monotonic()
        self._reference = self._cluster.task(self._run)

    def poll(self) -> int | None:
        if time.monotonic() - self._since > _SILENT and self._log.stat().st_size == self._said:
            self._cluster.tell_wait()
        try:
            return self._cluster.code(self._reference)
        except ValueError as error:
            return self._failed(f"{error}")
        except ConnectionError as error:
            if self._is_stopped:  # it has what it saved last
                return 143
            self._losses += 1
            if self._losses > RETRIES:
                return self._failed(f"lost {self._losses} times, at last by {error}")
            print(f"{self._run.folder} was lost on the cluster ({error}): resumed", file=sys.stderr)
            self._begin()
            return None

    def terminate(self) -> None:
        self._is_stopped = True
        self._cluster.cancel(self._reference)

    def _failed(self, why: str) -> int:
        with self._log.open("a") as log:
            log.write(f"metarl: {why}\n")
        return 2


def train_there(run: Run, threads: int, working_folder: str) -> int:
    """Train a run on this node of the cluster; return the code that its process ended with.

    Args:
        run: with a whole path.
        threads: that it may keep busy.
        working_folder: of the sweep, which a family's file may be named from.

    Raises:
        ValueError: when this node does not see the run's folder.
    """
    if not (run.folder / LOG).is_file() or not Path(working_folder).is_dir():
        raise ValueError(
            f"{socket.gethostname()} does not see {run.folder} and {working_folder}: all nodes "
            "must share the file system of a sweep"
        )
    os.chdir(working_folder)
    _wait_until_free(run.folder)
    with (run.folder / LOG).open("a") as log:
        log.write(f"on {socket.gethostname()}\n")
    training = TrainingHere(run, threads)
    try:
        return training.wait()
    except KeyboardInterrupt:  # the sweep is stopped
        training.terminate()
        return training.wait()


def _wait_until_free(folder: Path) -> None:
    """Wait while the process of a lost run saves its iteration."""
    deadline = time.monotonic() + _FREE
    while True:
        try:
            with owned(folder):
                return
        except ValueError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
