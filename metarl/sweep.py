"""`sweep`: runs that differ in seed and settings, side by side, and their table."""

import csv
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from metarl.envs.nearest import nearest
from metarl.evaluation.interval import interval
from metarl.family_option import is_reference
from metarl.learner.config import Config
from metarl.system.files import whole_file
from metarl.system.stopping import CHILDREN, Stopped, Stopping

LAST = 10
"""Iterations at a run's end that its returns are the means of."""

LOG = "log.txt"
"""What a run says, in its folder."""

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
    point: tuple[tuple[str, str], ...]
    """The settings that the grid gives it, as written there."""
    seed: int
    words: tuple[str, ...]
    """What `metarl` is called with to train it."""

    @property
    def setting(self) -> str:
        """The settings that the grid gives it, in words."""
        return ", ".join(f"{name}={value}" for name, value in self.point) or "defaults"


def grid_of(words: Iterable[str]) -> list[tuple[tuple[str, str], ...]]:
    """Return the points of a grid: every combination of the values of its settings.

    Args:
        words: `NAME=VALUE,VALUE,...` each, such as `inner_lr=0.05,0.1` or `hidden=64x64,100x100`.

    Raises:
        ValueError: for a word of another form, an unknown setting, or a value that is not allowed.
    """
    known = [field.name for field in fields(Config) if field.name != "seed"]
    axes = []
    for word in words:
        name, equals, values = word.partition("=")
        name = name.replace("-", "_")
        if not equals or not all(values.split(",")):
            raise ValueError(f"a setting of the grid is NAME=VALUE,VALUE,..., got {word!r}")
        if name not in known:
            raise ValueError(f"no setting {name!r}{nearest(name, known)}")
        for value in values.split(","):
            Config.of({name: _value(name, value)})
        axes.append([(name, value) for value in values.split(",")])
    return list(itertools.product(*axes))


def _value(name: str, word: str) -> Any:  # noqa: ANN401
    """Return a setting's value from the command line's word for it."""
    default = getattr(Config, name)
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[word.lower()]
        if isinstance(default, tuple):
            return tuple(int(size) for size in word.split("x"))
        return word if word.startswith("ray") else type(default)(word)
    except (ValueError, KeyError):
        raise ValueError(f"{name} cannot be {word!r}") from None


def changed_options(settings: Any, defaults: Any, besides: set[str]) -> list[str]:  # noqa: ANN401
    """Return the options of `metarl train` for those fields that differ from the defaults."""
    before = asdict(defaults)
    words = []
    for name, value in asdict(settings).items():
        if name not in besides and value != before[name]:
            words += option(name, value)
    return words


def option(name: str, value: Any) -> list[str]:  # noqa: ANN401
    """Return the words that give a setting to `metarl train`."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    return [f"--{dashed}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]


def runs_of(
    family: str,
    out: Path,
    seeds: Sequence[int],
    points: Sequence[tuple[tuple[str, str], ...]],
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
        given = itertools.chain.from_iterable(option(n, _value(n, v)) for n, v in point)
        folder = out / name
        command = ("train", family, "--out", str(folder), *words, *given, "--seed", str(seed))
        result.append(Run(folder, point, seed, command))
    return result


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
                run.folder.mkdir(parents=True, exist_ok=True)
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


class TrainingHere:
    """A run as a process of this machine; it stops, as at SIGTERM, when this one is gone."""

    def __init__(self, run: Run, threads: int) -> None:
        """Begin it.

        Args:
            run: its folder must be there.
            threads: that it may keep busy.
        """
        words = run.words
        if (run.folder / "config.json").is_file():
            family = words[1]
            own = ["--family", family] if is_reference(family) else []
            words = ("resume", str(run.folder), *own)
        with (run.folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *words],
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
        """Ask it to save its iteration and to end."""
        self._process.terminate()


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
    """Yield a row for each point of the grid: returns in training, over the last iterations."""
    for setting, group in itertools.groupby(runs, key=lambda run: run.setting):
        ends = [end for run in group if (end := _last_returns(run.folder)) is not None]
        columns = [_words(values) for values in zip(*ends, strict=True)]
        yield Row(setting, len(ends), *(columns or ["", ""]))


def _words(values: Sequence[float]) -> str:
    """Return a mean with its interval; of a single seed there is none."""
    return str(interval(np.array(values))) if len(values) > 1 else f"{values[0]:.1f}"


def _last_returns(folder: Path) -> tuple[float, float] | None:
    try:
        with (folder / "progress.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))[-LAST:]
    except FileNotFoundError:
        return None
    names = ("rollout/return_before", "rollout/return_after")
    means = [float(np.mean([float(row[name]) for row in rows])) for name in names] if rows else []
    return (means[0], means[1]) if means else None


def save(rows: Sequence[Row], out: Path) -> Path:
    """Write the table to `sweep.csv`; return its path."""
    path = out / "sweep.csv"
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["setting", "seeds", "return before", "return after"])
        writer.writerows([row.setting, row.seeds, row.before, row.after] for row in rows)
    return path
