"""Sweeps: the grid, a process and a folder for each run, the table, what is stopped and resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

import metarl
from metarl import sweep
from metarl.cli import main
from metarl.commands_of_training import defaults_for, named_among
from metarl.evaluation.interval import interval
from metarl.sweep import Run, check_begun, failure, runs_of, table
from metarl.sweep_command import sweep_command
from metarl.sweep_grid import grid_of, option


def test_a_grid_is_every_combination():
    assert grid_of(["inner_lr=0.05,0.1", "hidden=8,16x16"]) == [
        (("inner_lr", "0.05"), ("hidden", "8")),
        (("inner_lr", "0.05"), ("hidden", "16x16")),
        (("inner_lr", "0.1"), ("hidden", "8")),
        (("inner_lr", "0.1"), ("hidden", "16x16")),
    ]
    assert grid_of([]) == [()], "one point, with nothing changed"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("inner_lr", "a setting of the grid is NAME=VALUE,VALUE,..., got 'inner_lr'"),
        ("inner_lr=0.1,", "a setting of the grid is NAME=VALUE"),
        ("iner_lr=0.1", "no setting 'iner_lr'.*inner_lr"),
        ("seed=1,2", "seeds are given by --seeds"),
        ("total-timesteps=3", "total_timesteps is of all runs: give --total-timesteps"),
        ("horizon=3", "horizon is of all runs: give --horizon"),
        ("tasks=many", "tasks must be a whole number, got 'many'"),
        ("tasks=2.5", "tasks must be a whole number, got '2.5'"),
        ("inner_lr=fast", "inner_lr must be a number, got 'fast'"),
        ("learned_rates=perhaps", "learned_rates must be True or False, got 'perhaps'"),
        ("hidden=8,wide", "hidden must be sizes such as 64x64, got 'wide'"),
        ("inner_lr=0.1,0.2,0.10", "inner_lr=0.10 is named twice in the grid"),
    ],
)
def test_what_is_wrong_with_a_grid_shows_before_anything_runs(word: str, message: str):
    with pytest.raises(ValueError, match=message):
        grid_of([word])


def test_a_setting_stands_in_the_grid_once():
    with pytest.raises(ValueError, match="inner_lr is named twice in the grid"):
        grid_of(["inner_lr=0.1", "inner-lr=0.2"])


def test_settings_become_options():
    assert option("inner_lr", 0.5) == ["--inner-lr", "0.5"]
    assert option("hidden", (8, 16)) == ["--hidden", "8", "16"]
    assert option("learned_rates", True) == ["--learned-rates"]
    assert option("normalise_observations", False) == ["--no-normalise-observations"]


def test_each_run_has_a_folder_and_its_own_words():
    points = grid_of(["inner-lr=0.05,0.1"])
    runs = runs_of("Point2D", Path("out"), [0, 7], points, ["--tasks", "4"])
    names = [f"inner_lr-{value}_seed-{seed}" for value in ("0.05", "0.1") for seed in (0, 7)]
    assert [run.folder.name for run in runs] == names
    words = "train Point2D --out out/inner_lr-0.1_seed-7 --tasks 4 --inner-lr 0.1 --seed 7"
    assert runs[3].words == tuple(words.split())
    for seeds in ([], [1, 1]):
        with pytest.raises(ValueError, match="seeds must be at least one, each named once"):
            runs_of("Point2D", Path("out"), seeds, points, [])


def test_the_table_has_a_row_a_setting(tmp_path: Path):
    runs = []
    for setting in ("a", "b", "c"):
        for seed in (0, 1, 2):
            folder = tmp_path / f"{setting}{seed}"
            runs.append(Run(folder, (("x", setting),), seed, ()))
            if setting == "c" or (setting, seed) == ("b", 2):
                continue  # has not begun
            folder.mkdir()
            with (folder / "progress.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["rollout/return_before", "rollout/return_after"])
                writer.writerows([row, 100 * seed + row] for row in range(20))
    first, second = table(runs)
    assert (first.setting, first.seeds, second.setting, second.seeds) == ("x=a", 3, "x=b", 2)
    assert first.after == str(interval(np.array([14.5, 114.5, 214.5]))), "rows 10 to 19"
    assert second.before == str(interval(np.array([14.5, 14.5])))
    with (runs[0].folder / "progress.csv").open("a") as file:
        file.write("99")  # a line that was being written when the process was killed
    (alone,) = table(runs[:1])
    assert alone.after == "14.5", "a single seed has no interval"
    path = sweep.save([first, second], tmp_path)
    assert path.read_text().splitlines()[0] == "setting,seeds,return before,return after"


def test_a_run_that_was_begun_is_resumed_with_its_family(tmp_path: Path, monkeypatch):
    calls: list[list[str]] = []
    monkeypatch.setattr(sweep.subprocess, "Popen", lambda words, **_: calls.append(words) or Run)
    monkeypatch.setattr(sweep, "CHILDREN", set())
    for family, own in (("Point2D", []), ("arm.py:family", ["--family", "arm.py:family"])):
        (run,) = runs_of(family, tmp_path, [len(family)], [()], [])
        run.folder.mkdir(parents=True)
        sweep.TrainingHere(run, 1)
        assert calls.pop()[3:] == list(run.words)
        (run.folder / "config.json").write_text('{"total_timesteps": 600}')
        for steps, more in ((0, []), (600, []), (900, ["--total-timesteps", "900"])):
            sweep.TrainingHere(replace(run, total_timesteps=steps), 1)
            assert calls.pop()[3:] == ["resume", str(run.folder), *own, *more]
        machine = ("--device", "cpu", "--threads", "3", "--workers", "2")
        sweep.TrainingHere(replace(run, words=(*run.words, "--seed", "3", *machine)), 1)
        assert calls.pop()[3:] == ["resume", str(run.folder), *own, *machine]


def began(folder: Path, **settings: Any) -> None:
    folder.mkdir(parents=True)
    written = {
        "family": {"name": "Point2D", "horizon": 12},
        "config": {"inner_lr": 0.1, **settings},
    }
    (folder / "config.json").write_text(json.dumps({"total_timesteps": 600, **written}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"settings": {"inner_lr": 0.3}},
            "run was begun with .*: inner_lr was 0.1 and is 0.3;",
        ),
        ({"family": {"name": "Pend", "horizon": 9}}, "the family's name was 'Point2D' and is 'Pe"),
        ({"family": {"name": "Point2D", "horizon": 9}}, "the family's horizon was 12 and is 9"),
        ({"steps": 599}, "total_timesteps was 600 and is 599; choose another --out"),
        ({"steps": 9000}, ""),
        ({"settings": {"hidden": (8, 8), "new": 1}}, ""),
    ],
)
def test_a_run_that_was_begun_with_other_settings_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
):
    run = Run(tmp_path / "run", (), 0, (), changes.get("steps", 600))
    family = changes.get("family", {"name": "Point2D", "horizon": 12})
    settings = changes.get("settings", {"inner_lr": 0.1})
    check_begun(run, family, settings)  # there is none yet
    began(run.folder, hidden=[8, 8])
    if not message:
        return check_begun(run, family, settings)
    with pytest.raises(ValueError, match=message):
        check_begun(run, family, settings)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inner-lr", "-1"], "inner_lr must be a positive number, got -1.0"),
        (["--grid", "inner_lr=-1"], "inner_lr must be a positive number, got -1.0"),
        (["--grid", "workers=some"], "workers must be a whole number, or ray"),
        (["--grid", "minibatch=0,100"], "minibatch must be 0 with maml-trpo: only siamese"),
        (["--hidden", "8", "--grid", "hidden=8,16"], "hidden is given by an option and by the gr"),
        (
            ["--algorithm", "promp", "--grid", "algorithm=promp,fomaml"],
            "algorithm is given by an option and by the grid: leave one of them out",
        ),
        (["--grid", "episodes=2", "--rollouts", "3"], "rollouts must be a multiple of the 2"),
        (["--seeds", "-1"], "seed must be a whole number of at least 0 .*got -1"),
        (["--total-timesteps", "0"], "total_timesteps must be a whole number of at least 1, got 0"),
        (["--side-by-side", "-1"], "side_by_side must be a whole number of at least 0, got -1"),
        (["--side-by-side", "-1", "--cluster", "ray"], "side_by_side must be a whole number"),
        (["--cluster", "foo"], "cluster must be ray, ray:auto or ray:HOST:PORT, got 'foo'"),
        (["--tasks", "7"], "begun-already/seed-1 was begun with other .*: tasks was 20 and is 7"),
    ],
)
def test_bad_settings_of_a_sweep_show_before_anything_runs(
    tmp_path: Path, monkeypatch, words: list[str], message: str
):
    out = tmp_path / "begun-already"
    began(out / "seed-1", tasks=20)
    monkeypatch.setattr(sweep, "side_by_side", lambda *_: pytest.fail("runs began"))
    command = sweep_command(
        defaults_for(["Point2D", "--horizon", "12", *words]), named_among(words)
    )
    with pytest.raises(ValueError, match=message):
        tyro.cli(command, args=["Point2D", "--horizon", "12", "--out", str(out), *words])


@pytest.mark.parametrize(
    ("code", "log", "words"),
    [
        (2, "10 % of it\nmetarl: no such thing\n\n", "seed-3 failed: no such thing (see "),
        (-9, "10 % of it\n", "seed-3 failed: signal 9 ended it (see "),
        (1, "", "seed-3 failed: it said nothing (see "),
    ],
)
def test_why_a_run_failed_is_quoted(tmp_path: Path, code: int, log: str, words: str):
    run = Run(tmp_path / "seed-3", (), 3, ())
    run.folder.mkdir()
    (run.folder / "log.txt").write_text(log)
    assert failure(run, code) == f"{words}{run.folder / 'log.txt'})"


def test_of_many_runs_that_failed_a_few_reasons_are_told(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "side_by_side", lambda runs, *_: [2] * len(runs))
    command = sweep_command(defaults_for(["Point2D"]))
    words = ["Point2D", "--out", str(tmp_path), "--seeds", "0", "1", "2", "3", "4"]
    with pytest.raises(ValueError, match=r"seed-0 .*; seed-1 .*; seed-2 .*; 2 more failed$"):
        tyro.cli(command, args=words)
    assert capsys.readouterr().out == "", "no empty table"


@pytest.mark.parametrize(
    ("words", "algorithms"),
    [
        ([], {"maml-trpo"}),
        (["--algorithm", "siamese", "--encoder-steps", "7"], {"siamese"}),
        (["--grid", "algorithm=promp,siamese"], {"promp", "siamese"}),
    ],
)
def test_all_runs_have_the_algorithm_that_was_asked_for(
    tmp_path: Path, monkeypatch, words: list[str], algorithms: set[str]
):
    begun: list[Run] = []
    monkeypatch.setattr(sys, "argv", ["metarl", "sweep", "Point2D", "--out", str(tmp_path), *words])

    def begin(runs: list[Run], *_: object) -> list[int]:
        begun.extend(runs)
        return [0] * len(runs)

    monkeypatch.setattr(sweep, "side_by_side", begin)
    main()
    assert len(begun) == 3 * len(algorithms)
    for run in begun:
        assert sum(word == "--algorithm" for word in run.words) == 1
        assert run.words[run.words.index("--algorithm") + 1] in algorithms
        assert ("7" in run.words) == ("7" in words)


def test_what_is_given_at_its_default_is_given(tmp_path: Path, monkeypatch):
    """With another algorithm of the grid the default would be another one."""
    begun: list[Run] = []
    monkeypatch.setattr(sweep, "side_by_side", lambda runs, *_: begun.extend(runs) or [0] * 4)
    words = ["--rollouts", "20", "--inner-lr", "0.1", "--no-learned-rates", "--seeds", "0"]
    words += ["--grid", "algorithm=maml-trpo,siamese", "episodes=1,2"]
    command = ["metarl", "sweep", "HalfCheetahVel", "--out", str(tmp_path), *words]
    monkeypatch.setattr(sys, "argv", command)
    main()
    assert len(begun) == 4
    for run in begun:
        given = " ".join(run.words)
        assert "--rollouts 20" in given
        assert "--inner-lr 0.1" in given
        assert "--no-learned-rates" in given


def test_a_grid_may_have_what_its_algorithm_alone_allows(tmp_path: Path, monkeypatch):
    begun: list[Run] = []
    monkeypatch.setattr(sweep, "side_by_side", lambda runs, *_: begun.extend(runs) or [0] * 4)
    words = ["--algorithm", "siamese", "--seeds", "0", "--grid", "baseline=linear,network"]
    words += ["minibatch=0,1000"]
    monkeypatch.setattr(sys, "argv", ["metarl", "sweep", "AntVel", "--out", str(tmp_path), *words])
    main()
    assert len(begun) == 4


QUICK = ["--tasks", "4", "--rollouts", "3", "--hidden", "8", "--horizon", "12", "--threads", "1"]


def sweeping(out: Path, steps: int, *words: str) -> list[str]:
    command = [sys.executable, "-m", "metarl", "sweep", "Point2D", "--out", str(out), *QUICK]
    return [*command, "--total-timesteps", str(steps), *words]


@pytest.mark.slow
def test_runs_are_those_of_train_and_what_fails_is_named(tmp_path: Path):
    command = sweeping(tmp_path / "sweep", 600, "--seeds", "1", "2", "--grid", "inner_lr=0.3")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "inner_lr=0.3, 2 seeds: return " in done.stdout
    alone = [sys.executable, "-m", "metarl", "train", "Point2D", "--out", str(tmp_path / "alone")]
    alone += [*QUICK, "--total-timesteps", "600", "--seed", "2", "--inner-lr", "0.3"]
    subprocess.run(alone, check=True, capture_output=True)
    names = [tmp_path / "alone", tmp_path / "sweep" / "inner_lr-0.3_seed-2"]
    told = subprocess.run([*command, "--tasks", "5"], capture_output=True, text=True)
    assert "inner_lr-0.3_seed-1 was begun with other settings: tasks was 4 and is 5" in told.stderr
    one, two = ((folder / "checkpoint.safetensors").read_bytes() for folder in names)
    assert one == two

    (names[1] / "checkpoint.safetensors").write_bytes(b"damaged")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "inner_lr-0.3_seed-2 failed: " in done.stderr
    assert "is damaged or not a checkpoint" in done.stderr
    assert "is damaged or not a checkpoint" in (names[1] / "log.txt").read_text()


@pytest.mark.slow
def test_a_stopped_sweep_is_resumed_by_the_same_command(tmp_path: Path):
    command = sweeping(tmp_path, 30_000, "--seeds", "1", "2", "--side-by-side", "2")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    folders = [tmp_path / f"seed-{seed}" for seed in (1, 2)]
    while not all((folder / "checkpoints").exists() for folder in folders):
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "the same command resumes all runs" in said
    begun = [metarl.load(folder).num_timesteps for folder in folders]
    assert all(0 < steps < 30_000 for steps in begun)
    subprocess.run(command, check=True, capture_output=True)
    assert all(metarl.load(folder).num_timesteps >= 30_000 for folder in folders)


ASKED = """
import os, signal, sys, time
from metarl.system.stopping import Stopping, stop_with_parent
stop_with_parent()
with Stopping("soon") as stopping:
    print("runs", flush=True)
    while not stopping.asked:
        time.sleep(0.01)
    time.sleep(float(sys.argv[1]))
print("saved", flush=True)
"""


def test_a_run_that_the_system_asked_to_stop_is_not_asked_again():
    """As where SLURM sends SIGTERM to the sweep and its runs."""
    for by_the_system in (True, False):
        process = subprocess.Popen(
            [sys.executable, "-c", ASKED, "0.5"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"runs\n"
        if by_the_system:
            process.terminate()
            time.sleep(0.2)
        process.stdin.close()
        assert process.stdout.read() == b"saved\n"
        process.stdout.close()
        assert process.wait() == 0


BEGINS = """
import sys
from pathlib import Path
from metarl.sweep import Run, TrainingHere
folder, *words = sys.argv[1:]
training = TrainingHere(Run(Path(folder), (), 0, tuple(words)), 1)
print(training._process.pid, flush=True)
while True: pass
"""


@pytest.mark.slow
def test_a_run_whose_sweep_is_killed_saves_and_ends(tmp_path: Path):
    words = ["train", "Point2D", "--out", str(tmp_path), *QUICK]
    sweep = subprocess.Popen(
        [sys.executable, "-c", BEGINS, str(tmp_path), *words], stdout=subprocess.PIPE, text=True
    )
    assert sweep.stdout
    training = Path("/proc", sweep.stdout.readline().strip())
    while not (tmp_path / "checkpoints").exists():
        assert training.exists(), (tmp_path / "log.txt").read_text()
        time.sleep(0.1)
    sweep.kill()
    sweep.communicate()
    for _ in range(300):
        if not training.exists():
            break
        time.sleep(0.1)
    assert not training.exists()
    assert "stopped; resume with: metarl resume" in (tmp_path / "log.txt").read_text()
    assert metarl.load(tmp_path).num_timesteps > 0
