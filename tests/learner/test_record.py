"""The progress file: whole rows, in order, whatever happened to the run before."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from stable_baselines3.common.callbacks import (
    CallbackList,
    EvalCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.logger import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import metarl
from metarl import envs
from metarl.learner.iteration import Progress
from metarl.learner.record import (
    STEP_COLUMN,
    Clock,
    ProgressFile,
    ResumedTensorBoard,
    _tell_failures,
)
from tests.conftest import SMALL
from tests.learner.test_maml import Rows


def write(path: Path, steps: int, *rows: dict[str, float]) -> None:
    file = ProgressFile(path, steps)
    try:
        for row in rows:
            file.write(row, dict.fromkeys(row, ()))
    finally:
        file.close()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_are_written_in_full(tmp_path: Path):
    third = 1.0 / 3.0
    write(tmp_path / "progress.csv", 0, {STEP_COLUMN: 10, "gain": third})
    (row,) = read(tmp_path / "progress.csv")
    assert float(row["gain"]) == third


def test_a_resumed_run_cuts_what_comes_after_its_checkpoint(tmp_path: Path):
    path = tmp_path / "progress.csv"
    write(path, 0, *({STEP_COLUMN: steps, "gain": 1.0} for steps in (10, 20, 30)))
    with path.open("a") as file:
        file.write("4")  # torn by a kill
    write(path, 20, {STEP_COLUMN: 30, "gain": 2.0})
    assert [(row[STEP_COLUMN], row["gain"]) for row in read(path)] == [
        ("10", "1.0"),
        ("20", "1.0"),
        ("30", "2.0"),
    ]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", f"{STEP_COLUMN}\nmany\n", "\xff\x00"])
def test_a_file_of_something_else_is_named(tmp_path: Path, text: str):
    path = tmp_path / "progress.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"progress\.csv cannot be continued: .*; move it away"):
        ProgressFile(path, 20)


def test_a_new_run_starts_an_empty_file(tmp_path: Path):
    path = tmp_path / "progress.csv"
    write(path, 0, {STEP_COLUMN: 10})
    write(path, 0, {STEP_COLUMN: 5})
    assert [row[STEP_COLUMN] for row in read(path)] == ["5"]


def test_columns_are_those_of_the_first_row(tmp_path: Path):
    path = tmp_path / "progress.csv"
    write(path, 0, {STEP_COLUMN: 1, "gain": 1.0}, {STEP_COLUMN: 2, "other": 3.0})
    assert read(path)[1] == {STEP_COLUMN: "2", "gain": ""}


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        ProgressFile(tmp_path / "file" / "progress.csv", 0)


ENV = gymnasium.make("Pendulum-v1")


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda: EvalCallback(ENV), r"EvalCallback needs .*: use metarl.EvaluateCallback\(every"),
        (lambda: [EvalCallback(ENV)], "EvalCallback needs a training environment"),
        (lambda: EveryNTimesteps(9, EvalCallback(ENV)), "EvalCallback needs"),
        (lambda: CallbackList([ProgressBarCallback()]), r"learn\(..., progress_bar=True\)"),
        (lambda: StopTrainingOnMaxEpisodes(3), "use total_timesteps of learn"),
    ],
)
def test_callbacks_that_need_an_environment_name_what_to_use(
    learner: metarl.MAML, callback: Callable[[], Any], message: str
):
    with pytest.raises(ValueError, match=message):
        learner.learn(1, callback())
    assert learner.iteration == 0


def test_what_is_no_callback_is_refused(learner: metarl.MAML):
    with pytest.raises(TypeError, match=r"must be a Stable-Baselines3 callback.*got 3"):
        learner.learn(1, 3)  # type: ignore[arg-type]


def test_a_callback_of_stable_baselines_decides_when_to_log(learner: metarl.MAML):
    rows = Rows()
    learner.set_logger(Logger(None, [rows]))
    learner.learn(1700, LogEveryNTimesteps(600), log_interval=1000)
    assert [row[STEP_COLUMN] for row in rows.rows] == [864, 1728]


def test_what_a_callback_dumps_is_no_row_of_the_progress(tmp_path: Path):
    file = ProgressFile(tmp_path / "progress.csv", 0)
    file.write({STEP_COLUMN: 5, "a": 1.0}, {STEP_COLUMN: (), "a": ()})
    file.write({"eval/gain": 2.0}, {"eval/gain": ()})
    file.write({STEP_COLUMN: 9, "a": 3.0}, {STEP_COLUMN: (), "a": ()})
    file.close()
    assert (tmp_path / "progress.csv").read_text().split() == [f"{STEP_COLUMN},a", "5,1.0", "9,3.0"]


@pytest.mark.parametrize(
    ("environment", "failing", "expected"),
    [
        (None, ("g 11.37",), "the physics of 1 episode blew up, all of 1 task: g 11.37; each"),
        (None, ("", ""), "the physics of 1 episode blew up, all of 2 tasks; each ended there"),
        ("Nan", (), "the environment of Nan returned numbers that are not finite in 1 episode; "),
    ],
)
def test_failed_episodes_are_told_of_physics_or_of_an_environment(
    environment: str | None, failing: tuple[str, ...], expected: str
):
    progress = Progress([], 1.0, None, None, None, 1, failing, environment)  # type: ignore[arg-type]
    with pytest.warns(RuntimeWarning, match=f"^iteration 3: {expected}"):
        _tell_failures(3, progress, Clock(0))


def test_numbers_that_an_algorithm_does_not_have_are_not_shown(
    point: envs.TaskFamily, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for algorithm, has in (("promp", False), ("maml-trpo", True)):
        learner = metarl.MAML(point, algorithm=algorithm, verbose=1, seed=0, **SMALL)
        metarl.train(learner, tmp_path / algorithm, 300)
        assert ("cg_residual" in capsys.readouterr().out) is has
        assert "train/cg_residual" in read(tmp_path / algorithm / "progress.csv")[0]


def test_events_of_a_run_that_died_before_its_first_checkpoint_are_hidden(tmp_path: Path):
    for value in (1.0, 2.0):  # the second is resumed at step 0
        events = ResumedTensorBoard(tmp_path, 0)
        for step in (100, 200, 300)[: 3 if value == 1.0 else 1]:
            events.write({"return": value}, {"return": ()}, step)
        events.close()
        time.sleep(1.1)  # files are named, and read in the order of, whole seconds
    found = EventAccumulator(str(tmp_path)).Reload().Scalars("return")
    assert [(each.step, each.value) for each in found] == [(100, 2.0)]


def test_the_row_is_of_the_trace(point: envs.TaskFamily):
    learner = metarl.MAML(point, seed=3, **SMALL)
    learner.set_logger(Logger(None, []))
    rows: list[dict[str, Any]] = []
    traces: list[Any] = []

    def watch(known: dict[str, Any], _: dict[str, Any]) -> bool:
        rows.append(dict(learner.logger.name_to_value))
        traces.append(known["trace"])
        return True

    learner.learn(1, watch, log_interval=1000)
    (row,), (trace,) = rows, traces
    assert row["train/kl"] == trace.kl > 0
    assert row["train/surrogate_gain"] == trace.loss_before - trace.loss_after
