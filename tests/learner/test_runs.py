"""Run folders: what is in them, and that a killed run resumes to the same numbers."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import metarl
from metarl import envs
from tests.conftest import SMALL

TIMES = {"time/elapsed", "time/fps"}


def progress(folder: Path) -> list[dict[str, str]]:
    """The rows of a run without their times."""
    with (folder / "progress.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def test_a_run_folder_holds_config_progress_events_and_checkpoint(run_folder: Path):
    names = {path.name for path in run_folder.iterdir()}
    assert names == {"config.json", "progress.csv", "tensorboard", "checkpoint.safetensors"}
    config = json.loads((run_folder / "config.json").read_text())
    assert config["family"]["name"] == "Point2D"
    assert config["config"]["seed"] == 3
    assert config["total_timesteps"] == 800
    assert config["versions"]["mujoco"]
    rows = progress(run_folder)
    assert [int(row["time/iteration"]) for row in rows] == list(range(1, len(rows) + 1))
    assert int(rows[-1]["time/total_timesteps"]) >= 800
    assert list((run_folder / "tensorboard").glob("events.*"))


def test_a_folder_with_a_run_is_not_overwritten(learner: metarl.MAML, run_folder: Path):
    with pytest.raises(ValueError, match="holds a run already; resume it"):
        metarl.train(learner, run_folder, 800)


def test_resuming_a_finished_run_changes_nothing_and_can_lengthen_it(run_folder: Path):
    rows = progress(run_folder)
    assert metarl.resume(run_folder).iteration == len(rows)
    assert progress(run_folder) == rows
    metarl.resume(run_folder, total_timesteps=1600)
    assert progress(run_folder)[: len(rows)] == rows
    assert len(progress(run_folder)) > len(rows)


def test_rows_after_the_checkpoint_are_cut_and_so_are_torn_ones(
    point: envs.TaskFamily, run_folder: Path, tmp_path: Path
):
    """As after a kill between a row and its checkpoint, or in the middle of a row."""
    lines = (run_folder / "progress.csv").read_text().splitlines(keepends=True)
    shorter = metarl.MAML(point, seed=3, **SMALL)
    metarl.train(shorter, tmp_path / "killed", 300)
    torn = "".join(lines)[: -len(lines[-1]) // 2]
    (tmp_path / "killed" / "progress.csv").write_text(torn)
    metarl.resume(tmp_path / "killed", total_timesteps=800)
    assert progress(tmp_path / "killed") == progress(run_folder)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3])
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path, kills: int):
    command = [sys.executable, "-m", "metarl", "train", "HalfCheetahDir", "--total-timesteps"]
    command += ["9600", "--horizon", "20", "--tasks", "4", "--rollouts", "5", "--threads", "1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)

    attempt = [*command, "--out", str(killed)]
    for kill in range(kills):
        run = subprocess.Popen(attempt, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_rows(killed, 1 + 2 * kill)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        attempt = [sys.executable, "-m", "metarl", "resume", str(killed)]
    assert len(progress(killed)) < len(progress(whole)), "killed too late to test anything"
    subprocess.run(attempt, check=True, capture_output=True)

    assert progress(killed) == progress(whole)
    a, b = (metarl.load(folder).parameters for folder in (whole, killed))
    assert all(torch.equal(a[name], b[name]) for name in a)


def wait_for_rows(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        file = folder / "progress.csv"
        if file.exists() and file.read_text().count("\n") > count:
            return
        time.sleep(0.005)
    raise TimeoutError(f"no {count} rows in {folder}")


def test_bad_folders_are_named(learner: metarl.MAML, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"holds no run: there is no config\.json"):
        metarl.resume(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        metarl.train(learner, tmp_path / "file" / "run", 100)
    with pytest.raises(ValueError, match="total_timesteps must be at least 1"):
        metarl.train(learner, tmp_path / "run", 0)
    assert not (tmp_path / "run").exists()
