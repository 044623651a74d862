"""Run folders: what is in them, and that a killed run resumes with identical results."""

import csv
import errno
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import metarl
from metarl import envs
from metarl.learner.config import Saving
from metarl.learner.runs import read_config
from metarl.system.ownership import owned
from tests.conftest import SMALL
from tests.learner import warmed
from tests.learner.warmed import UNTIL, go_on, with_encoder

TIMES = {"time/elapsed", "time/fps"}


def progress(folder: Path) -> list[dict[str, str]]:
    """The rows of a run without their times."""
    with (folder / "progress.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def test_a_run_folder_holds_config_progress_events_and_checkpoint(run_folder: Path):
    names = {path.name for path in run_folder.iterdir()}
    files = {"config.json", "progress.csv", "tensorboard", "checkpoint.safetensors"}
    assert names == files | {"checkpoints", ".lock"}
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
        metarl.train(learner, run_folder, 1_000_000)


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
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path):
    command = [sys.executable, "-m", "metarl", "train", "HalfCheetahDir", "--total-timesteps"]
    command += ["9600", "--horizon", "20", "--tasks", "4", "--rollouts", "5", "--threads", "1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)

    attempt = [*command, "--out", str(killed)]
    for kill in range(3):
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


@pytest.mark.slow
def test_a_run_killed_a_hundred_times_ends_with_the_same_bytes(tmp_path: Path):
    """At random times: in the start, in an iteration, in the middle of a write.

    Each run is forked of a process that has trained one already, so that a kill is one of a run and
    not of imports. Whole processes are killed in the test above.
    """
    whole = tmp_path / "whole"
    go_on(whole)
    expected = (whole / "checkpoint.safetensors").read_bytes()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([warmed.__name__])
    draw, kills, runs, longest = random.Random(0), 0, 0, 0.0
    server = context.Process(target=time.sleep, args=(0.0,))  # the preloaded training takes a while
    server.start()
    server.join()
    while kills < 100:
        process = context.Process(target=go_on, args=(tmp_path / f"killed {runs}",))
        began = time.monotonic()
        process.start()
        if runs == 0 and longest == 0.0:  # the first is not disturbed: it tells how long one takes
            process.join()
            longest = time.monotonic() - began
        process.join(draw.uniform(0.0, longest))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
        else:
            assert process.exitcode == 0
            folder = tmp_path / f"killed {runs}"
            assert (folder / "checkpoint.safetensors").read_bytes() == expected
            assert progress(folder) == progress(whole)
            assert not list(folder.glob(".checkpoint-*")), "what a killed writer left is removed"
            runs += 1
    assert runs, "some were finished between two kills"


def test_a_stopped_run_saves_its_iteration_and_resumes_to_the_same_bytes(tmp_path: Path):
    """A signal to this process itself, in the third iteration's rollouts."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    go_on(whole)
    learner, draws = with_encoder(), []
    sampled = learner.family.sample_tasks

    def in_the_third(count: int, *, seed, split: Any = "train"):
        draws.append(seed)
        if draws.count((5, 2)) == 1 and seed == (5, 2):  # a second signal would end the tests
            os.kill(os.getpid(), signal.SIGTERM)
        return sampled(count, seed=seed, split=split)

    object.__setattr__(learner.family, "sample_tasks", in_the_third)
    before = signal.getsignal(signal.SIGTERM)
    saving = Saving(save_minutes=60.0)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        metarl.train(learner, stopped, UNTIL, saving=saving)
    assert signal.getsignal(signal.SIGTERM) == before
    assert metarl.load(stopped).iteration == 3
    metarl.resume(stopped, saving=saving)
    names = [folder / "checkpoint.safetensors" for folder in (whole, stopped)]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert progress(whole) == progress(stopped)


def test_a_folder_that_another_process_trains_in_is_refused(run_folder: Path):
    with owned(run_folder):
        for begin in (metarl.resume, lambda folder: metarl.train(with_encoder(), folder, UNTIL)):
            with pytest.raises(ValueError, match=f"is in use by process {os.getpid()} on "):
                begin(run_folder)
    metarl.resume(run_folder)


def test_a_damaged_checkpoint_can_be_replaced_by_the_one_before(run_folder: Path):
    whole = (run_folder / "checkpoint.safetensors").read_bytes()
    rows = progress(run_folder)
    (run_folder / "checkpoint.safetensors").write_bytes(whole[:-100] + b"x" + whole[-99:])
    with pytest.raises(
        ValueError, match=r"checksum.* An older one is kept: copy (\S+) over"
    ) as told:
        metarl.resume(run_folder)
    older = re.search(r"copy (\S+) over", str(told.value))
    assert older
    shutil.copyfile(older[1], run_folder / "checkpoint.safetensors")
    assert metarl.load(run_folder).iteration == len(rows) - 1
    metarl.resume(run_folder)
    assert (run_folder / "checkpoint.safetensors").read_bytes() == whole
    assert progress(run_folder) == rows


def test_damaged_settings_are_named(run_folder: Path):
    (run_folder / "config.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"config.json does not hold a whole run's settings: Expec"
    ):
        metarl.resume(run_folder)


def test_a_disk_that_is_full_ends_the_run_with_its_checkpoint_whole(
    point: envs.TaskFamily, tmp_path: Path, monkeypatch
):
    """From the third checkpoint on, as the system reports it."""
    whole, written = tmp_path / "whole", []
    metarl.train(metarl.MAML(point, seed=3, **SMALL), whole, 800)
    replace = os.fsync

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    words = r"cannot be written: No space left on device; .* is unchanged"
    with pytest.raises(OSError, match=words):
        metarl.train(metarl.MAML(point, seed=3, **SMALL), tmp_path / "full", 800)
    monkeypatch.undo()
    assert 0 < metarl.load(tmp_path / "full").iteration < metarl.load(whole).iteration
    metarl.resume(tmp_path / "full")
    names = [tmp_path / name / "checkpoint.safetensors" for name in ("whole", "full")]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_bad_folders_are_named(learner: metarl.MAML, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"holds no run: there is no config\.json"):
        metarl.resume(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"there is no run folder {tmp_path / 'none'}"):
        metarl.resume(tmp_path / "none")
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "run", tmp_path / "file"):
        with pytest.raises(OSError, match=f"^{tmp_path / 'file'} is a file; it must be a folder$"):
            metarl.train(learner, folder, 100)
    with pytest.raises(ValueError, match="total_timesteps must be a whole number of at least 1"):
        metarl.train(learner, tmp_path / "run", 0)
    trained = metarl.load("pretrained:Point2D")
    with pytest.raises(ValueError, match=r"has 2,0.* already: .* must be more, got 1,"):
        metarl.train(trained, tmp_path / "run", 1000)
    assert not (tmp_path / "run").exists()


def test_resume_says_what_it_takes(run_folder: Path):
    checkpoint = run_folder / "checkpoint.safetensors"
    with pytest.raises(ValueError, match=f"takes a run folder, .*: metarl resume {run_folder}$"):
        metarl.resume(checkpoint)
    with pytest.raises(ValueError, match="pretrained policies cannot be resumed"):
        metarl.resume("pretrained:Point2D")


def test_a_run_may_be_lengthened_by_nothing_but_not_be_shortened(run_folder: Path):
    steps = metarl.load(run_folder).num_timesteps
    asked = read_config(run_folder)["total_timesteps"]
    assert asked < steps, "iterations are whole"
    for goal in (asked, asked + 1, steps):
        assert metarl.resume(run_folder, total_timesteps=goal).num_timesteps == steps
    with pytest.raises(ValueError, match=f"must be at least that, got {steps - 1}"):
        metarl.resume(run_folder, total_timesteps=steps - 1)
    with pytest.raises(ValueError, match="total_timesteps must be a whole number"):
        metarl.resume(run_folder, total_timesteps=steps + 0.5)  # type: ignore[arg-type]


def test_a_run_goes_on_on_another_machine(run_folder: Path):
    learner = metarl.resume(run_folder, device="cpu", threads=3, workers=1)
    assert (learner.config.device, learner.config.threads) == ("cpu", 3)
    with pytest.raises(ValueError, match="device must be"):
        metarl.resume(run_folder, device="gpu")
    with pytest.raises(TypeError, match="own settings, got inner_lr"):
        metarl.resume(run_folder, inner_lr=0.1, threads=1)


def test_a_run_that_failed_before_its_first_iteration_can_be_trained_again(
    point: envs.TaskFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise ValueError("no cluster")

    run = tmp_path / "run"
    monkeypatch.setattr("metarl.learner.maml.training_sampler", fail)
    with pytest.raises(ValueError, match="no cluster"):
        metarl.train(metarl.MAML(point, seed=3, **SMALL), run, 100)
    assert not list(run.glob("*.safetensors")) + list(run.glob("*.json"))
    monkeypatch.undo()
    metarl.train(metarl.MAML(point, seed=3, **SMALL), run, 100)
    assert len(progress(run)) == metarl.load(run).iteration > 0
