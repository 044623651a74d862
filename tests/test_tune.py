"""Studies: what is pruned, kept and said; what is stopped resumes; on stand-ins and on Point2D."""

import ast
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tyro
from optuna import Study
from optuna.trial import TrialState

from metarl import commands, tune
from metarl.commands_of_training import tune_command
from metarl.learner.config import Config
from metarl.learner.defaults import TUNED, defaults
from metarl.sweep import LOG, Run
from metarl.tune import Plan, report, returns_by_tenth

TOTAL = 1000


def write_progress(folder: Path, returns: list[float], total: int = TOTAL) -> None:
    """A finished run whose iterations are equally long."""
    with (folder / "progress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time/total_timesteps", "rollout/return_after"])
        length = total // len(returns)
        writer.writerows([(number + 1) * length, value] for number, value in enumerate(returns))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def plan_of(out: Path, **changes) -> Plan:
    config = Config(seed=changes.pop("seed", 0))
    return Plan("Point2D", out, config, (), (), **{"total_timesteps": TOTAL, **changes})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Runs that were trained, each in no time: the return is minus the distance to max_kl 0.1."""
    runs: list[Run] = []

    def begin(run: Run, threads: int) -> subprocess.Popen[bytes]:
        runs.append(run)
        run.folder.mkdir(parents=True, exist_ok=True)
        max_kl = float(dict(run.point)["max_kl"])
        write_progress(run.folder, [-abs(max_kl - 0.1)] * 10)
        return subprocess.Popen(["true"])

    monkeypatch.setattr(tune, "TrainingHere", begin)
    monkeypatch.setattr(tune, "_LOOK", 0.01)
    return runs


def test_returns_are_told_tenth_by_tenth(tmp_path: Path):
    assert returns_by_tenth(tmp_path, 100) == {}
    write_progress(tmp_path, [float(number) for number in range(20)], 100)
    tenths = {tenth: 2 * tenth - 1.5 for tenth in range(1, 11)}
    assert returns_by_tenth(tmp_path, 100) == tenths
    with (tmp_path / "progress.csv").open("r+") as file:
        lines = file.readlines()
        file.seek(0)
        file.truncate()
        file.writelines([*lines[:7], "35,9"])  # 30 steps, and a line that is being written
    assert returns_by_tenth(tmp_path, 100) == {tenth: tenths[tenth] for tenth in (1, 2, 3)}
    write_progress(tmp_path, [1.0, 2.0, 3.0], 99)
    assert returns_by_tenth(tmp_path, 90) == {4: 1.0, 8: 2.0, 10: 3.0}, "few, and beyond the goal"


def test_the_search_finds_better_settings_and_says_them(trained: list[Run], tmp_path: Path, capsys):
    plan = plan_of(tmp_path)
    study = tune.tune(plan, 16)
    assert len(trained) == 16
    assert dict(trained[0].point)["max_kl"] == str(Config.max_kl), "the defaults come first"
    assert study.best_value > -abs(Config.max_kl - 0.1)
    assert any(trial.state == TrialState.PRUNED for trial in study.trials)
    assert not any(trial.state == TrialState.PRUNED for trial in study.trials[:4])
    shown = capsys.readouterr().out
    assert "%, pruned" in shown
    assert "\r" not in shown

    lines = report(study, plan)
    row = ast.literal_eval("{" + lines[3].strip() + "}")
    assert row.keys() == {("Point2D", "maml-trpo")}
    (settings,) = row.values()
    assert settings == study.best_trial.user_attrs["settings"]
    assert type(next(iter(TUNED))) is type(next(iter(row))), "a row of the table"
    assert f"--max-kl {settings['max_kl']}" in lines[5]
    assert "--seeds 1 2 3" in lines[6]
    assert all(line.endswith(f"--total-timesteps {TOTAL}") for line in lines[5:])
    rows = rows_of(tmp_path / "trials.csv")
    assert len(rows) == 16
    assert {"complete", "pruned"} == {row["state"] for row in rows}


def test_where_the_defaults_are_best_there_is_no_row(trained: list[Run], tmp_path: Path):
    plan = plan_of(tmp_path)
    lines = report(tune.tune(plan, 1), plan)
    assert lines == [
        "best of 1 trials: the defaults, return -0.1",
        f"trials: {tmp_path / 'trials.csv'}",
    ]


def test_the_seed_decides_the_search_and_a_study_goes_on(trained: list[Run], tmp_path: Path):
    tune.tune(plan_of(tmp_path / "whole"), 6)
    tune.tune(plan_of(tmp_path / "halves"), 3)
    tune.tune(plan_of(tmp_path / "halves"), 6)
    tune.tune(plan_of(tmp_path / "halves"), 6)  # has all of them
    tune.tune(plan_of(tmp_path / "other", seed=1), 2)
    points = [run.point for run in trained]
    assert points[:6] == points[6:12]
    assert len(points) == 14
    assert points[13] != points[1], "another seed draws others"
    assert trained[13].words[-4:-2] == ("--seed", "1")
    with pytest.raises(
        ValueError, match=r"study: total_timesteps was 1000 and is 5; choose another"
    ):
        tune.tune(plan_of(tmp_path / "whole", total_timesteps=5), 6)


def test_an_interrupted_trial_goes_on_in_its_folder(trained: list[Run], tmp_path: Path):
    plan = plan_of(tmp_path)
    tune.tune(plan, 2)
    study = tune.opened(plan)
    killed = tune._begun(study, plan, 1)  # and no one to wait for it
    while killed.process.poll() is None:
        time.sleep(0.01)
    (tmp_path / f"{tune.JOURNAL}.lock").symlink_to("nowhere")  # as a killed writer leaves it
    (killed.run.folder / "progress.csv").unlink()
    killed.run.folder.rmdir()
    study = tune.tune(plan, 4)
    folders = [run.folder.name for run in trained]
    assert folders == ["trial-000", "trial-001", "trial-002", "trial-002", "trial-004"]
    assert trained[3].point == killed.run.point
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.FAIL) == 1
    assert states.count(TrialState.COMPLETE) == 4


@pytest.mark.parametrize("first", [True, False])
def test_a_trial_that_fails(trained: list[Run], tmp_path: Path, monkeypatch, capsys, first: bool):
    begin: Any = tune.TrainingHere

    def failing(run: Run, threads: int) -> subprocess.Popen[bytes]:
        works = begin(run, threads)
        works.wait()
        (run.folder / LOG).write_text("metarl: it broke\n")
        bad = run.folder.name == ("trial-000" if first else "trial-001")
        return subprocess.Popen(["false"]) if bad else works

    monkeypatch.setattr(tune, "TrainingHere", failing)
    plan = plan_of(tmp_path)
    if first:
        with pytest.raises(ValueError, match=r"trial-000 failed: it broke \(see .*log\.txt\)"):
            tune.tune(plan, 1)
        study = tune.tune(plan, 1)  # has its one trial
        with pytest.raises(ValueError, match=r"1 of 1 failed, see .*log\.txt; .*raise --trials"):
            report(study, plan)
        return
    study = tune.tune(plan, 3)
    assert "trial-001 failed: it broke " in capsys.readouterr().out
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert report(study, plan)[0].startswith("best of 3 trials: ")


def test_what_is_given_is_held_also_at_its_default(tmp_path: Path, monkeypatch):
    plans: list[Plan] = []
    monkeypatch.setattr(tune, "tune", lambda plan, *_: plans.append(plan))
    monkeypatch.setattr(tune, "report", lambda *_: iter(()))
    command = ["tune", "HalfCheetahVel", "--out", str(tmp_path), "--gae-lambda", "0.97"]
    commands.run([*command, "--threads", "1"])
    (plan,) = plans
    assert (
        plan.config.gae_lambda == defaults("HalfCheetahVel", "default", "maml-trpo")["gae_lambda"]
    )
    assert plan.held == ("gae_lambda",)
    assert "--gae-lambda" in plan.words
    assert "gae_lambda" not in [getattr(part, "name", part) for part in plan.space]
    run = plan.run("trial-000", {})
    assert run.words[-2:] == ("--threads", "1"), "of the machine: said to runs"
    assert "threads" not in str(plan.described()), "and not what a study is of"


def test_the_first_trial_has_the_defaults_to_their_last_digit(trained: list[Run], tmp_path: Path):
    config = Config(discount=0.9993)
    plan = Plan("Point2D", tmp_path, config, ("inner_lr",), (), total_timesteps=TOTAL)
    tune.tune(plan, 1)
    assert dict(trained[0].point)["discount"] == "0.9993"


def test_a_study_killed_while_it_was_opened_loses_no_trial(
    trained: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    plan = plan_of(tmp_path)
    with monkeypatch.context() as within:
        within.setattr(Study, "set_user_attr", killed)  # the defaults wait by then
        with pytest.raises(KeyboardInterrupt):
            tune.opened(plan)
    tune._begun(tune.opened(plan), plan, 1).process.wait()
    for name in ("enqueue_trial", "tell"):  # nobody has told of the first trial
        with monkeypatch.context() as within:
            within.setattr(Study, name, killed)
            with pytest.raises(KeyboardInterrupt):
                tune.opened(plan)
    study = tune.tune(plan, 2)
    assert [run.folder.name for run in trained] == ["trial-000", "trial-000", "trial-002"]
    assert dict(trained[1].point) == dict(trained[0].point)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


def test_a_trial_that_never_began_is_no_trial(trained: list[Run], tmp_path: Path):
    """A process that was killed between Optuna's answer and the trial's folder."""
    plan = plan_of(tmp_path)
    tune.tune(plan, 1).ask()
    study = tune.tune(plan, 2)
    assert report(study, plan)[0].startswith("best of 2 trials: ")


def test_a_row_keeps_what_was_tuned_before(trained: list[Run], tmp_path: Path, monkeypatch):
    tuned = {"told": 0.5, "max_kl": 0.02}
    monkeypatch.setitem(TUNED, ("Point2D", "maml-trpo"), tuned)
    plan = plan_of(tmp_path)
    row = ast.literal_eval("{" + report(tune.tune(plan, 8), plan)[3].strip() + "}")
    (settings,) = row.values()
    assert settings["told"] == 0.5
    assert settings["max_kl"] != 0.02, "what was found comes last"


@pytest.mark.parametrize("name", ["trials", "side-by-side", "total-timesteps"])
def test_a_count_below_one_is_named(name: str):
    command = tune_command(Config())
    with pytest.raises(ValueError, match=f"^{name.replace('-', '_')} must be .* 1, got 0"):
        tyro.cli(command, args=["Point2D", f"--{name}", "0"])


def test_without_optuna_the_message_says_what_to_install(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RuntimeError, match=r"metarl, pip install -c constraints\.txt '\.\[tune\]'"):
        tune.opened(plan_of(tmp_path))


QUICK = ["--tasks", "4", "--rollouts", "4", "--hidden", "8", "--horizon", "12", "--threads", "1"]


def tuning(out: Path, steps: int, *words: str) -> list[str]:
    command = [sys.executable, "-m", "metarl", "tune", "Point2D", "--out", str(out), *QUICK]
    return [*command, "--total-timesteps", str(steps), *words]


def test_two_trials_of_a_family_from_the_command_line(tmp_path: Path):
    words = ["--trials", "2", "--side-by-side", "2", "--algorithm", "promp"]
    command = tuning(tmp_path / "study", 800, *words)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "best of 2 trials: " in done.stdout
    assert "row of" not in done.stdout, "the table has no family of another horizon"
    config = json.loads((tmp_path / "study" / "trial-001" / "config.json").read_text())["config"]
    rows = rows_of(tmp_path / "study" / "trials.csv")
    (second,) = (row for row in rows if row["trial"] == "trial-001")
    assert config["inner_lr"] == float(second["inner_lr"])
    assert config["hidden"] == [8]
    assert config["algorithm"] == "promp"
    log = (tmp_path / "study" / "trial-001" / "log.txt").read_bytes()
    assert b"% of" in log
    assert b"\r" not in log


@pytest.mark.slow
def test_a_stopped_study_is_gone_on_with_by_the_same_command(tmp_path: Path):
    command = tuning(tmp_path, 20_000, "--trials", "2")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "trial-000" / "checkpoints").exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "the same command resumes all trials" in said
    before = len((tmp_path / "trial-000" / "progress.csv").read_text().splitlines())
    assert before < 50
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "best of 2 trials" in done.stdout
    rows = rows_of(tmp_path / "trial-000" / "progress.csv")
    steps = [int(row["time/total_timesteps"]) for row in rows]
    assert steps == sorted(set(steps)), "the trial went on where it was saved"
    assert len(steps) >= 50
