"""How many cores this process may use, which may be fewer than the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    The least of its CPU affinity (`taskset`, a cluster's pinning), the quota of its control group
    (`docker --cpus`, Kubernetes) and `SLURM_CPUS_PER_TASK`. With a thread for every core of the
    machine instead, threads would take turns, and a quota would pause all of them together.
    """
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    allotted = [int(granted)] if granted.isdecimal() else []
    return max(1, min([_affinity(), *quotas(_CGROUPS, _group()), *allotted]))


def quotas(root: Path, group: str) -> Iterator[int]:
    """Yield the whole cores that a control group and those above it may use, where limited.

    A quota of one and a half cores is worth two threads.

    Args:
        root: where control groups are mounted.
        group: the process's, such as `/user.slice`; in a container mostly `/`.
    """
    folder = root / group.strip("/")
    for above in (folder, *folder.parents):
        if not above.is_relative_to(root):
            break
        yield from _cores_of((above / "cpu.max",))  # version 2: "150000 100000", or "max 100000"
    yield from _cores_of((root / "cpu/cpu.cfs_quota_us", root / "cpu/cpu.cfs_period_us"))


def _cores_of(files: tuple[Path, ...]) -> Iterator[int]:
    """Yield the cores of a quota and a period [us] in some files, unless there is no limit."""
    try:
        quota, period = (int(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # no such file, or "max"
        return
    if quota > 0 and period > 0:  # version 1 has -1 for no limit
        yield math.ceil(quota / period)


def _affinity() -> int:
    """Return how many cores the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _group() -> str:
    """Return the process's control group of version 2; `/` where there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return "/"
    return next((line[3:] for line in lines if line.startswith("0::")), "/")
