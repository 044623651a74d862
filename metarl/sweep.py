"""`sweep`: runs that differ in seed and settings, side by side, and their table."""

import csv
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from metarl.evaluation.interval import interval
from metarl.family_option import is_reference
from metarl.learner.config import MACHINE
from metarl.sweep_grid import Point, option, settings_at
from metarl.system.files import make_folder, whole_file
from metarl.system.progress_table import columns
from metarl.system.stopping import CHILDREN, Stopped, Stopping

LAST = 10
"""Iterations at a run's end that its returns are the means of."""

LOG = "log.txt"
"""The file for a run's output, in its folder."""

_BEGUN = "config.json"
"""A file that the folder of a run has once the run was begun."""

_START = """
from metarl.system.stopping import stop_with_parent
stop_with_parent()
from metarl.cli import main
main()
"""
_STOPPING = "stopping all runs when their iterations are done and saved; once more stops at once"
_LOOK = 0.2


@dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    folder: Path
    point: Point
    """The settings that the grid gives it, as written there."""
    seed: int
    words: tuple[str, ...]
    """What `metarl` is called with to train it."""
    total_timesteps: int = 0
    """Total environment steps; a run begun with fewer is extended."""

    @property
    def setting(self) -> str:
        """The settings that the grid gives it, in words."""
        return ", ".join(f"{name}={value}" for name, value in self.point) or "defaults"


def runs_of(
    family: str,
    out: Path,
    seeds: Sequence[int],
    points: Sequence[Point],
    words: Sequence[str],
) -> list[Run]:
    """Return the runs of a sweep, one folder each: every point of the grid with every seed.

    Args:
        family: as `metarl train` takes it.
        out: the sweep's folder.
        seeds: of the runs.
        points: see `grid_of`.
        words: further options of `metarl train`.

    Raises:
        ValueError: for no seeds, or one that is named twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be at least one, each named once, got {list(seeds)}")
    result = []
    for point, seed in itertools.product(points, seeds):
        name = "_".join([*(f"{setting}-{value}" for setting, value in point), f"seed-{seed}"])
        given = itertools.chain.from_iterable(option(n, v) for n, v in settings_at(point).items())
        folder = out / name
        command = ("train", family, "--out", str(folder), *words, *given, "--seed", str(seed))
        result.append(Run(folder, point, seed, command))
    return result


def check_begun(run: Run, family: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Check that a run which was begun before is the one that is asked for now.

    Args:
        run: with its environment steps, which may be more than before.
        family: as plain data.
        settings: that decide its numbers.

    Raises:
        ValueError: with what differs.
    """
    if not (run.folder / _BEGUN).is_file():
        return
    from metarl.learner.runs import read_config

    before = read_config(run.folder)
    of_family = differences(before.get("family", {}), family)
    # for another family the first difference implies the rest
    differs = [f"the family's {words}" for words in of_family[:1]]
    differs = differs or differences(before.get("config", {}), settings)
    if before["total_timesteps"] > run.total_timesteps:
        differs += differences(before, {"total_timesteps": run.total_timesteps})
    if differs:
        words = "; ".join(differs)
        raise ValueError(
            f"{run.folder} was begun with other settings: {words}; choose another --out"
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what has changed, in words; what was not known before is left out.

    Args:
        before: plain data from a file.
        now: plain data, which may have tuples.
    """
    return [
        f"{name} was {before[name]!r} and is {value!r}"
        for name, value in json.loads(json.dumps(now)).items()
        if name in before and before[name] != value
    ]


def failure(run: Run, code: int) -> str:
    """Return in words why a run failed: its last words, or the signal that ended it.

    Args:
        run: that ended.
        code: that its process ended with.
    """
    log = run.folder / LOG
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    last = next((line for line in reversed(lines) if re.search(r"\w", line)), "it said nothing")
    why = f"signal {-code} ended it" if code < 0 else " ".join(last.split())
    return f"{run.folder.name} failed: {why.removeprefix('metarl: ')} (see {log})"


class Training(Protocol):
    """A run that was begun, here or elsewhere."""

    def poll(self) -> int | None:
        """Return the code that it ended with; None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to save its iteration and to end."""
        ...


def side_by_side(runs: Sequence[Run], count: int, begin: Callable[[Run], Training]) -> list[int]:
    """Train the runs, some at a time; return the code that each ended with.

    A run that was begun before is resumed, one that is finished is left as it is. What a run says
    stands in `log.txt` in its folder.

    Args:
        runs: in the order in which they begin.
        count: how many at a time.
        begin: begins one.

    Raises:
        OSError: when a run's folder cannot be made.
        KeyboardInterrupt: when a signal asked to stop; the runs have saved their iterations.
    """
    left, codes = list(enumerate(runs)), [0] * len(runs)
    running: dict[int, Training] = {}
    is_told = False
    with Stopping(_STOPPING) as stopping:
        while running or (left and not stopping.asked):
            while left and len(running) < count and not stopping.asked:
                number, run = left.pop(0)
                print(f"{run.setting}, seed {run.seed}: {run.folder}", flush=True)
                make_folder(run.folder)
                running[number] = begin(run)
            if stopping.asked and not is_told:
                is_told = True
                for training in running.values():
                    training.terminate()
            for number, training in list(running.items()):
                code = training.poll()
                if code is not None:
                    codes[number] = code
                    del running[number]
            time.sleep(_LOOK)
    if stopping.asked:
        raise Stopped(stopping.asked)
    return codes


def _command(run: Run) -> tuple[str, ...]:
    """Return the words for `metarl`: `train ...`, or `resume ...` for a run that was begun."""
    begun = run.folder / _BEGUN
    if not begun.is_file():
        return run.words
    family, steps = run.words[1], run.total_timesteps
    more = ["--family", family] if is_reference(family) else []
    if steps and steps > json.loads(begun.read_text())["total_timesteps"]:
        more += option("total_timesteps", steps)
    for name in (f"--{setting}" for setting in MACHINE):
        if name in run.words:
            more += [name, run.words[run.words.index(name) + 1]]
    return ("resume", str(run.folder), *more)


class TrainingHere:
    """A run as a process of this machine; it stops, as at SIGTERM, when this one is gone."""

    def __init__(self, run: Run, threads: int) -> None:
        """Begin it.

        Args:
            run: its folder must be there.
            threads: that it may keep busy.
        """
        with (run.folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *_command(run)],
                stdout=log,
                stderr=log,
                stdin=subprocess.PIPE,  # tells `stop_with_parent` whether this process lives
                # the process finds its part of the cores as a SLURM job does
                env={**os.environ, "SLURM_CPUS_PER_TASK": str(threads)},
                start_new_session=True,  # Ctrl-C is for the sweep, which passes it on
            )
        CHILDREN.add(self._process)

    def poll(self) -> int | None:
        """Return the code that it ended with; None while it runs."""
        code = self._process.poll()
        if code is not None and self._process.stdin:
            self._process.stdin.close()
        return code

    def wait(self) -> int:
        """Wait for its end; return the code that it ended with."""
        while (code := self.poll()) is None:
            time.sleep(_LOOK)
        return code

    def terminate(self) -> None:
        """Ask it to save its iteration and to end.

        By its standard input, not by a signal: where the system has sent both processes SIGTERM, as
        SLURM does, a signal sent here would be the second one, which ends it without saving.
        """
        if self._process.stdin:
            self._process.stdin.close()


@dataclass(frozen=True)
class Row:
    """A point of the grid in the sweep's table."""

    setting: str
    seeds: int
    """That have numbers."""
    before: str
    """Mean return before adaptation over the last iterations, with the interval over seeds."""
    after: str
    """And after the last inner step."""


def table(runs: Sequence[Run]) -> Iterator[Row]:
    """Yield a row for each point of the grid that has numbers: returns over the last iterations.

    Raises:
        ValueError: when a run's `progress.csv` cannot be read.
    """
    for setting, group in itertools.groupby(runs, key=lambda run: run.setting):
        ends = [end for run in group if (end := _last_returns(run.folder)) is not None]
        if ends:
            before, after = (_words(values) for values in zip(*ends, strict=True))
            yield Row(setting, len(ends), before, after)


def _words(values: Sequence[float]) -> str:
    """Return a mean with its interval; of a single seed there is none."""
    return str(interval(np.array(values))) if len(values) > 1 else f"{values[0]:.1f}"


def _last_returns(folder: Path) -> tuple[float, float] | None:
    names = ("rollout/return_before", "rollout/return_after")
    try:
        before, after = (column[-LAST:] for column in columns(folder / "progress.csv", names))
    except FileNotFoundError:
        return None
    return (float(before.mean()), float(after.mean())) if len(after) else None


def save(rows: Sequence[Row], out: Path) -> Path:
    """Write the table to `sweep.csv`; return its path."""
    path = out / "sweep.csv"
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["setting", "seeds", "return before", "return after"])
        writer.writerows([row.setting, row.seeds, row.before, row.after] for row in rows)
    return path
