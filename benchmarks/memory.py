"""Memory, threads, processes and open files of a long training: what grows that should not.

    python benchmarks/memory.py --minutes 120 --out runs/memory -- --workers 2

Trains HalfCheetahVel with the Siamese encoder in a process of its own, checkpoints after every
iteration, and looks at that process and all below it every few seconds. What stands behind `--` is
for `metarl train`. Memory is the proportional set size: a page that several processes share is
counted once. Its slope is that of a line through everything after the warm-up, by least squares.
Linux only, since it reads `/proc`.
"""

import argparse
import csv
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Look(NamedTuple):
    """A process and all that it started, at one moment."""

    seconds: float
    mebibytes: float
    """Proportional set size."""
    threads: int
    processes: int
    descriptors: int


def look(root: int, seconds: float) -> Look:
    """Return what a process and those below it hold; one that just ended counts nothing."""
    memory, threads, processes, descriptors = 0, 0, 0, 0
    for process in tree(root):
        folder = Path(f"/proc/{process}")
        try:
            memory += number(folder / "smaps_rollup", "Pss:")
            threads += number(folder / "status", "Threads:")
            descriptors += len(list((folder / "fd").iterdir()))
            processes += 1
        except OSError:
            continue
    return Look(seconds, memory / 1024, threads, processes, descriptors)


def tree(root: int) -> Iterator[int]:
    """Yield a process and all below it, whichever thread started them."""
    yield root
    for file in Path(f"/proc/{root}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            yield from tree(int(child))


def number(file: Path, name: str) -> int:
    """Return the number behind a name in one of the kernel's tables."""
    return next(int(line.split()[1]) for line in file.open() if line.startswith(name))


def report(looks: list[Look], warm_up: float, iterations: int) -> None:
    """Print how each number went from the end of the warm-up on."""
    after = [each for each in looks if each.seconds >= warm_up]
    if len(after) < 10:
        raise SystemExit("too few looks after the warm-up: train for longer")
    columns = dict(zip(Look._fields, np.array(after).T, strict=True))
    memory, minutes = columns["mebibytes"], (after[-1].seconds - warm_up) / 60
    slope, _ = np.polyfit(columns["seconds"], memory, 1)
    fifth = len(after) // 5
    first, last = memory[:fifth].mean(), memory[-fifth:].mean()
    print(f"{iterations} iterations; {minutes:.0f} minutes after {warm_up / 60:.0f} of warm-up")
    print(
        f"memory: {first:.0f} MiB in the first fifth, {last:.0f} in the last "
        f"({last / first - 1:+.2%}), {memory.min():.0f} to {memory.max():.0f} on the way; "
        f"slope {slope * 3600:+.2f} MiB an hour"
    )
    for name in ("threads", "processes", "descriptors"):
        values = columns[name].astype(int)
        print(f"{name}: {values[0]} at first, {values[-1]} at last, at most {values.max()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--warm-up", type=float, default=5.0, help="minutes")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("words", nargs="*", help="options of metarl train, behind --")
    given = parser.parse_args()
    command = [sys.executable, "-m", "metarl", "train", "HalfCheetahVel", "--out", str(given.out)]
    command += ["--algorithm", "siamese", "--total-timesteps", str(10**12), *given.words]
    looks: list[Look] = []
    with subprocess.Popen(command) as training:
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < 60 * given.minutes:
            if training.poll() is not None:
                raise SystemExit("the training ended by itself")
            looks.append(look(training.pid, seconds))
            time.sleep(given.every)
        below = list(tree(training.pid))
        training.send_signal(signal.SIGTERM)
    with (given.out / "memory.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Look._fields, *looks])
    with (given.out / "progress.csv").open(newline="") as file:
        iterations = sum(1 for _ in csv.DictReader(file))
    report(looks, 60 * given.warm_up, iterations)
    print(f"left behind: {sum(Path(f'/proc/{process}').exists() for process in below)} processes")


if __name__ == "__main__":
    main()
