"""The progress file: whole rows, in order, whatever happened to the run before."""

import csv
from pathlib import Path

import pytest

from metarl.learner.record import STEP_COLUMN, ProgressFile


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
