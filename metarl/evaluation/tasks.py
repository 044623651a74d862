"""Tasks to measure on: drawn, or given as a table, as mappings, or in a file."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl.envs.distributions import Split
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks

TaskChoice = int | Tasks | Mapping[str, float] | Sequence[Mapping[str, float]] | str | Path
"""How many tasks to draw; or a table, one task, a list of them, or a .json or .csv file."""

_FORMS = (
    "how many to draw, a table (metarl.envs.Tasks), a task such as {'velocity': 1.2}, a list of "
    "such tasks, or the path of a .json or .csv file"
)


def new_tasks(
    family: Family, tasks: TaskChoice, seed: int, split: Split, *, least: int = 1
) -> Tasks:
    """Return a table of tasks to measure on, drawn or as given.

    Args:
        family: of the tasks.
        tasks: how many to draw, or which they are; see `TaskChoice`.
        seed: of the draw.
        split: where they are drawn from.
        least: how many there must be.

    Raises:
        TypeError: for something that stands for no tasks.
        FileNotFoundError: when there is no such file.
        ValueError: for fewer than `least`, tasks that the family does not have, or a file that
            cannot be read.
    """
    if isinstance(tasks, int | np.integer) and not isinstance(tasks, bool):
        if tasks < least:
            raise ValueError(f"at least {_counted(least)} needed, got {tasks}")
        return family.sample_tasks(int(tasks), seed=seed, split=split)
    table = family.task(_table(tasks))
    if len(table) < least:
        raise ValueError(f"at least {_counted(least)} needed, got {len(table)}")
    return table


def read_tasks(path: str | Path) -> Tasks:
    """Return the tasks of a file.

    Args:
        path: `.json` with a list of objects, such as `[{"velocity": 1.2}]`, or with one object; or
            `.csv` with a column for each parameter, named in the first line.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for another ending or content, with the place in the file.
    """
    path = Path(path)
    if path.suffix not in (".json", ".csv"):
        raise ValueError(f"a file of tasks ends in .json or .csv, got {path}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of tasks {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte-order mark
        return Tasks.from_dicts(
            _rows_of_json(text) if path.suffix == ".json" else _rows_of_csv(text)
        )
    except (ValueError, TypeError, OverflowError, RecursionError, csv.Error) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _table(tasks: Any) -> Tasks:  # noqa: ANN401
    if isinstance(tasks, Tasks):
        return tasks
    if isinstance(tasks, str | Path):
        return read_tasks(tasks)
    if isinstance(tasks, Mapping):
        return Tasks.from_dicts([tasks])
    if isinstance(tasks, Sequence) and all(isinstance(task, Mapping) for task in tasks):
        return Tasks.from_dicts(tasks)
    raise TypeError(f"tasks must be {_FORMS}; got {tasks!r}")


def _rows_of_json(text: str) -> list[dict[str, float]]:
    content = json.loads(text)
    rows = [content] if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('expected a list of objects, such as [{"velocity": 1.2}]')
    return rows


def _rows_of_csv(text: str) -> list[dict[str, float]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True, strict=True)
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has another number of columns than the first")
        try:
            rows.append({name.strip(): float(value) for name, value in row.items()})
        except ValueError as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None
    return rows


def _counted(least: int) -> str:
    return "1 task is" if least == 1 else f"{least} tasks are"
