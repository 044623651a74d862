"""Tasks to measure on: each form of them against the same table, and what is refused."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import metarl
from metarl import commands, envs
from metarl.evaluation.tasks import new_tasks, parse_task, read_tasks
from metarl.sampling.streams import Key, Phase

FAMILY = envs.make("Point2D", horizon=12)
ROWS = [{"x": 0.25, "y": -0.5}, {"x": 0.0, "y": 0.125}, {"x": -0.5, "y": 0.5}]
TABLE = envs.Tasks(("x", "y"), np.array([[0.25, -0.5], [0.0, 0.125], [-0.5, 0.5]]))
QUICK: dict[str, Any] = {"rollouts": 3, "steps": 1}


def file(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("words", [("x=1", "y=-0.5"), ("x=1,y=-0.5",), ["y=-5e-1", "x=1.0"]])
def test_parameters_are_named_apart_or_by_commas(words: Any):
    assert parse_task(words) == {"x": 1.0, "y": -0.5}


def test_no_words_name_no_parameters():
    assert parse_task(()) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x",), "NAME=NUMBER, got 'x'"),
        (("x=1,",), "NAME=NUMBER, got ''"),
        (("x=1;y=2",), "NAME=NUMBER, got 'x=1;y=2'"),
        (("x=1", "y=0,x=2"), "the task parameter x is named twice, got 'x=2' at last"),
    ],
)
def test_words_that_name_no_task_are_refused(words: tuple[str, ...], message: str):
    with pytest.raises(ValueError, match=message):
        parse_task(words)


def test_a_number_of_tasks_is_drawn():
    assert new_tasks(FAMILY, 3, 5, "test") == FAMILY.sample_tasks(3, seed=5, split="test")
    assert new_tasks(FAMILY, np.int64(3), 5, "train") == FAMILY.sample_tasks(3, seed=5)  # type: ignore[arg-type]


def test_every_form_is_the_same_table(tmp_path: Path, learner: metarl.MAML):
    forms: list[Any] = [
        TABLE,
        envs.Tasks(("y", "x"), TABLE.values[:, ::-1]),
        ROWS,
        tuple(ROWS),
        file(tmp_path, "tasks.json", json.dumps(ROWS)),
        str(file(tmp_path, "tasks.csv", "x,y\n0.25,-0.5\n0,0.125\n-.5,5e-1\n")),
        file(tmp_path, "sheet.csv", "\ufeffy, x\r\n-0.5, 0.25\r\n0.125, 0\r\n0.5, -0.5\r\n"),
    ]
    expected = metarl.evaluate(learner, tasks=TABLE, **QUICK)
    for form in forms:
        assert new_tasks(FAMILY, form, 0, "test") == TABLE
    for form in forms[2:]:
        evaluation = metarl.evaluate(learner, tasks=form, **QUICK)
        np.testing.assert_array_equal(evaluation.returns, expected.returns)
        assert evaluation.sample == "3 given tasks"


def test_one_task_is_a_table_of_one(tmp_path: Path):
    one = file(tmp_path, "one.json", json.dumps(ROWS[0]))
    for form in (ROWS[0], [ROWS[0]], TABLE[:1], one):
        assert new_tasks(FAMILY, form, 0, "test") == TABLE[:1]


@pytest.mark.parametrize(
    ("tasks", "kind", "message"),
    [
        (0, ValueError, "at least 1 task is needed, got 0"),
        (2.5, TypeError, "tasks must be how many to draw, a table .*; got 2.5"),
        (True, TypeError, "got True"),
        (None, TypeError, "got None"),
        ([0.25, -0.5], TypeError, r"a list of such tasks, .*; got \[0.25, -0.5\]"),
        ([], ValueError, "at least 1 task is needed"),
        ([{"x": 0.1}], ValueError, "task parameters x, y; got x"),
        ([{"x": 0.1, "y": 9.0}], ValueError, "y 9 is outside the range"),
        ([{"x": 0.1, "y": None}], ValueError, "parameter y must be a number, got None"),
        ([{"x": 0.1, "y": "far"}], ValueError, "parameter y must be a number, got 'far'"),
        ([ROWS[0], {"x": 0.1}], ValueError, "every task must have the same parameters"),
        ("tasks.txt", ValueError, "ends in .json or .csv, got tasks.txt"),
        ("none.json", FileNotFoundError, "no file of tasks none.json"),
    ],
)
def test_what_stands_for_no_tasks_is_refused_in_a_line(
    tasks: Any, kind: type[Exception], message: str
):
    with pytest.raises(kind, match=message) as raised:
        new_tasks(FAMILY, tasks, 0, "test")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("tasks", [1, TABLE[:1], ROWS[0]])
def test_fewer_than_needed_are_refused(tasks: Any):
    with pytest.raises(ValueError, match="at least 2 tasks are needed, got 1"):
        new_tasks(FAMILY, tasks, 0, "test", least=2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[{", "a.json: line 1 is not JSON: Expecting property name"),
        ("a.json", "3", r"a.json: expected a list of objects"),
        ("a.json", "[[1, 2]]", r"a.json: expected a list of objects"),
        ("a.json", '[{"x": "far"}]', "a.json: the task parameter x must be a number, got 'far'"),
        ("a.json", '[{"x": NaN}]', "a.json: the task parameter x must be a finite number, got nan"),
        ("a.json", '[{"x": 1}, {"x": null}]', r"x must be a number, got None \(task 2 of 2\)"),
        ("a.json", " \n", r"a.json: the file is empty; expected a list of objects, such as"),
        ("a.csv", "", "a.csv: the file is empty; expected the parameters' names"),
        ("a.csv", "x,y\n", "a.csv: at least 1 task is needed"),
        ("a.csv", "x,y\n1,2\n1\n", "a.csv: line 3 has another number of columns"),
        ("a.csv", "x,y\n1,2,3\n", "a.csv: line 2 has another number of columns"),
        ("a.csv", "x,y\n1,2\n1,far\n", "a.csv: line 3: y must be a number, got 'far'"),
    ],
)
def test_a_file_says_where_it_is_wrong(tmp_path: Path, name: str, text: str, message: str):
    with pytest.raises(ValueError, match=message) as raised:
        read_tasks(file(tmp_path, name, text))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '[{"x": 0, "y": 0}, {"x": 0, "y": 9}]', r"y 9 is .* \(task 2 of 2\)$"),
        ("a.csv", "x,y\n0,9\n", "y 9 is outside the range"),
        ("a.csv", "foo\n1\n", "Point2D has the task parameters x, y; got foo"),
    ],
)
def test_a_file_whose_tasks_the_family_lacks_is_named(
    tmp_path: Path, name: str, text: str, message: str
):
    path = file(tmp_path, name, text)
    for given in (path, str(path)):
        with pytest.raises(ValueError, match=f"^{path}: {message}"):
            new_tasks(FAMILY, given, 0, "test")


def test_intervals_of_a_single_task_are_over_its_rollouts(learner: metarl.MAML):
    evaluation = metarl.evaluate(learner, tasks=ROWS[0], rollouts=25, steps=1)
    adapted = list(learner.adaptation(TABLE[:1], 25, [0.5], Key(0, Phase.EVALUATE)))
    before, after = (stage.rollouts.returns[0].double().numpy() for stage in adapted)
    np.testing.assert_array_equal(evaluation.rollouts, np.stack([before, after], axis=1))
    gain = stats.ttest_rel(after, before).confidence_interval(0.95)
    np.testing.assert_allclose(evaluation.gain[1:], (gain.low, gain.high))
    mean = stats.ttest_1samp(before, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose(evaluation.curve()[0][1:], (mean.low, mean.high))
    assert evaluation.verdict().endswith("1 given task; intervals are over its 25 rollouts.")
    assert evaluation.to_dict()["interval_over"] == "rollouts"
    assert evaluation.worst() == []


def test_intervals_are_over_tasks_or_runs_where_there_are_several(learner: metarl.MAML):
    several = metarl.evaluate(learner, tasks=2, **QUICK)
    assert (several.rollouts, several.interval_over) == (None, "tasks")
    other = metarl.MAML(learner.family, seed=4, **_settings(learner))
    one = metarl.evaluate([learner, other], tasks=ROWS[0], **QUICK)
    assert (one.rollouts, one.interval_over) == (None, "runs")
    assert all(np.isfinite(value) for interval in one.curve() for value in interval)
    assert all(np.isfinite(value) for interval in one.middles() for value in interval)


def test_the_command_takes_a_file(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tasks = file(tmp_path, "tasks.csv", "x,y\n0.25,-0.5\n0,0.125\n")
    words = ["evaluate", str(run_folder), "--rollouts", "3", "--steps", "1"]
    commands.run([*words, "--task-file", str(tasks)])
    assert "2 given tasks" in capsys.readouterr().out
    saved = json.loads((run_folder / "evaluation.json").read_text())
    assert [row["task"] for row in saved["per_task"]] == ROWS[:2]
    for more, message in (
        (["--task-file", "none.csv"], "metarl: there is no file of tasks none.csv\n"),
        (["--task-file", str(tasks), "--split", "extrapolate"], "choose one of the two"),
    ):
        with pytest.raises(SystemExit):
            commands.run([*words, *more])
        assert message in capsys.readouterr().err


def _settings(learner: metarl.MAML) -> dict[str, Any]:
    return {name: value for name, value in asdict(learner.config).items() if name != "seed"}
