"""Cores that a process may use: affinity, control groups and Slurm, whichever is least."""

import os
from pathlib import Path

import pytest

from metarl import envs
from metarl.system import cores as module
from metarl.system.cores import cores, quotas
from metarl.system.task_threads import TaskThreads


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A process that may run on eight cores, without other limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(module, "_CGROUPS", tmp_path)
    monkeypatch.setattr(module, "_group", lambda: "/")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    return monkeypatch


def test_affinity_counts_and_not_the_machine(eight: pytest.MonkeyPatch):
    eight.setattr(os, "cpu_count", lambda: 64)
    assert cores() == 8
    eight.delattr(os, "sched_getaffinity")
    assert cores() == 64, "where there is no affinity"


@pytest.mark.parametrize(
    ("granted", "expected"), [("3", 3), ("16", 8), ("", 8), ("0", 1), ("all", 8)]
)
def test_slurm_may_grant_fewer(eight: pytest.MonkeyPatch, granted: str, expected: int):
    eight.setenv("SLURM_CPUS_PER_TASK", granted)
    assert cores() == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)
def test_a_container_may_have_a_quota(
    eight: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: int
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores() == expected


def test_groups_above_limit_those_below(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "cpu.max").write_text("500000 100000")
    (tmp_path / "a" / "cpu.max").write_text("200000 100000")
    assert sorted(quotas(tmp_path, "/a/b")) == [2, 5]
    assert list(quotas(tmp_path, "/")) == []


def test_threads_are_as_many_where_none_are_asked_for(eight: pytest.MonkeyPatch):
    import torch

    eight.setenv("SLURM_CPUS_PER_TASK", "3")
    assert TaskThreads(0, torch.device("cpu")).count == 3
    assert TaskThreads(5, torch.device("cpu")).count == 5
    assert envs.Simulator(envs.make("Point2D"), 4)._batch.nthread == 3
    assert envs.Simulator(envs.make("Point2D"), 4, threads=1)._batch.nthread == 1
