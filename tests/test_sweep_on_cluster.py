"""Sweeps on a Ray cluster of two nodes, on this machine: stopped, resumed, and with a loss."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import metarl
from metarl import sweep_on_cluster
from metarl.sweep import LOG, Run
from metarl.sweep_on_cluster import Cluster, train_there
from metarl.system.ownership import LOCK, owned

QUICK = ["--tasks", "4", "--rollouts", "3", "--hidden", "8", "--horizon", "12", "--threads", "1"]


def process_of(folder: Path) -> int:
    """The process that trains in a folder."""
    words = re.match(r"process (\d+) on", (folder / LOCK).read_text())
    assert words
    return int(words[1])


def bytes_of(folder: Path) -> bytes:
    return (folder / "checkpoint.safetensors").read_bytes()


@pytest.mark.slow
def test_runs_of_a_cluster_are_those_of_this_machine(two_nodes: list, tmp_path: Path):
    """After Ctrl-C, and after the end of a process of Ray's, whose run goes on elsewhere."""
    steps = ["--total-timesteps", "60000", *QUICK]
    alone = [sys.executable, "-m", "metarl", "train", "Point2D", "--out", "alone", "--seed", "2"]
    subprocess.run([*alone, *steps], cwd=tmp_path, check=True, capture_output=True)

    command = [sys.executable, "-m", "metarl", "sweep", "Point2D", "--out", "sweep", *steps]
    command += ["--seeds", "1", "2", "--cluster", two_nodes[1]]
    folders = [tmp_path / "sweep" / f"seed-{seed}" for seed in (1, 2)]

    def begun(before: list[bytes]) -> subprocess.Popen[str]:
        """The sweep, when both runs have gone on from what they were before."""
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not all(
            (folder / "checkpoints").exists() and bytes_of(folder) != old
            for folder, old in zip(folders, before, strict=True)
        ):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        return process

    stopped = begun([b"", b""])
    trained = [process_of(folder) for folder in folders]
    stopped.send_signal(signal.SIGINT)
    said = stopped.communicate(timeout=120)[1]
    assert stopped.returncode == 130, said
    assert "the same command resumes all runs" in said
    assert not any(Path(f"/proc/{process}").exists() for process in trained)
    assert all(0 < metarl.load(folder).num_timesteps < 60_000 for folder in folders)

    resumed = begun([bytes_of(folder) for folder in folders])
    status = Path(f"/proc/{process_of(folders[1])}/status").read_text()
    worker = re.search(r"PPid:\s+(\d+)", status)
    assert worker
    os.kill(int(worker[1]), signal.SIGKILL)
    out, said = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, said
    assert "seed-2 was lost on the cluster" in said
    assert "defaults, 2 seeds: return " in out
    assert bytes_of(folders[1]) == bytes_of(tmp_path / "alone")


class Lossy(Cluster):
    """Loses what it is given so many times; then it ends with code 0."""

    def __init__(self, losses: int, reason: Exception):
        self.left, self.reason, self.begun, self.told = losses, reason, 0, 0

    def task(self, run: Run) -> Any:
        self.begun += 1

    def code(self, reference: Any) -> int | None:
        self.left -= 1
        if self.left >= 0:
            raise self.reason
        return 0

    def cancel(self, reference: Any) -> None:
        pass

    def tell_wait(self) -> None:
        self.told += 1


@pytest.mark.parametrize(
    ("losses", "reason", "begun", "code", "words"),
    [
        (2, ConnectionError("NodeDiedError"), 3, 0, ""),
        (9, ConnectionError("NodeDiedError"), 4, 2, "lost 4 times, at last by NodeDiedError"),
        (1, ValueError("does not see it"), 1, 2, "metarl: does not see it"),
    ],
)
def test_a_lost_run_is_begun_again_a_few_times(
    losses: int, reason: Exception, begun: int, code: int, words: str, tmp_path: Path
):
    cluster = Lossy(losses, reason)
    training = cluster.begin(Run(tmp_path, (), 0, ("train", "Point2D", "--out", str(tmp_path))))
    while (ended := training.poll()) is None:
        pass
    assert (ended, cluster.begun) == (code, begun)
    assert words in (tmp_path / LOG).read_text()
    assert cluster.told == 0


def test_a_run_that_is_lost_when_it_is_stopped_is_not_begun_again(tmp_path: Path):
    cluster = Lossy(1, ConnectionError("NodeDiedError"))
    training = cluster.begin(Run(tmp_path, (), 0, ()))
    training.terminate()
    assert (training.poll(), cluster.begun) == (143, 1)


def test_a_run_that_says_nothing_waits_for_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep_on_cluster, "_SILENT", 0.0)
    cluster = Lossy(0, ValueError())
    training = cluster.begin(Run(tmp_path, (), 0, ()))
    time.sleep(0.01)
    training.poll()
    assert cluster.told == 1


def test_a_node_that_does_not_see_the_folder_says_so(tmp_path: Path):
    run = Run(tmp_path / "elsewhere", (), 0, ())
    with pytest.raises(ValueError, match=r"does not see .*elsewhere .*share the file system"):
        train_there(run, 1, str(tmp_path))


def test_a_folder_that_a_lost_run_still_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweep_on_cluster, "_FREE", 0.0)
    (tmp_path / LOG).touch()
    monkeypatch.chdir(tmp_path)
    with owned(tmp_path), pytest.raises(ValueError, match="is in use by process"):
        train_there(Run(tmp_path, (), 0, ()), 1, str(tmp_path))
