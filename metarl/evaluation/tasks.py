"""Tasks to measure on: drawn, or given as a table, as mappings, or in a file; and their changes."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl.envs.distributions import Split
from metarl.envs.family import Family
from metarl.envs.nearest import nearest
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks

TaskChoice = int | Tasks | Mapping[str, float] | Sequence[Mapping[str, float]] | str | Path
"""How many tasks to draw; or a table, one task, a list of them, or a .json or .csv file."""

_FORMS = (
    "how many to draw, a table (metarl.envs.Tasks), a task such as {'velocity': 1.2}, a list of "
    "such tasks, or the path of a .json or .csv file"
)
_CONTENT = {
    ".json": 'a list of objects, such as [{"velocity": 1.2}]',
    ".csv": "the parameters' names in the first line, and a line of numbers for each task",
}
"""What a file of tasks holds, by its ending."""


@dataclass(frozen=True)
class TaskChange:
    """A task that changes in the middle of an episode."""

    seconds: float
    """When, from the start of the episode [s]."""
    task: Mapping[str, float]
    """The parameters that change, and to what; none for another task, drawn for each."""

    @classmethod
    def parse(cls, words: str) -> "TaskChange":
        """Return the change that words such as `2.5:direction=-1`, `1:x=1,y=-0.5` or `2.5` name.

        Raises:
            ValueError: for other words.
        """
        when, _, what = words.partition(":")
        try:
            seconds = float(when)
        except ValueError:
            raise ValueError(
                f"a change is SECONDS or SECONDS:NAME=NUMBER,NAME=NUMBER, such as "
                f"2.5:direction=-1, got {words!r}"
            ) from None
        return cls(seconds, parse_task([what]) if what else {})

    def step(self, family: Family) -> int:
        """Return the control step before which the task changes, counted from 0.

        Raises:
            ValueError: where there is no step before it or after it in an episode, or where the
                family's tasks cannot change in an episode.
        """
        if not isinstance(family, TaskFamily):
            raise ValueError(
                f"the task of {family.name} cannot change in the middle of an episode: a "
                f"third-party environment is told its task only before a reset"
            )
        step = round(self.seconds / family.dt) if np.isfinite(self.seconds) else 0
        if not 0 < step < family.horizon:
            raise ValueError(
                f"an episode of {family.name} lasts {family.horizon * family.dt:g} s in steps of "
                f"{family.dt:g} s: the task must change between them, got {self.seconds:g} s"
            )
        return step

    def after(self, family: Family, before: Tasks, seed: int, split: Split) -> Tasks:
        """Return the tasks that these change to, a row each; given ones may stay as they were.

        Args:
            family: of the tasks.
            before: a row each.
            seed: of tasks that are drawn: each is another one than before.
            split: where they are drawn from.

        Raises:
            ValueError: for a parameter or a task that the family does not have, or when every draw
                gives the same task.
        """
        values = before.values.copy()
        if self.task:
            for name, value in self.task.items():
                if name not in before.names:
                    raise ValueError(
                        f"{family.name} has no task parameter {name!r}{nearest(name, before.names)}"
                    )
                values[:, before.names.index(name)] = value
            return family.task(Tasks(before.names, values))
        for draw in range(1, 101):
            same = (values == before.values).all(axis=1)
            if not same.any():
                return Tasks(before.names, values)
            drawn = family.sample_tasks(len(before), seed=(seed, draw), split=split)
            values[same] = drawn.values[same]
        raise ValueError(f"{family.name} has no other task to change to")

    def pairs(self, family: Family, drawn: Tasks, seed: int, split: Split) -> tuple[Tasks, Tasks]:
        """Return the tasks that the change alters, before and after it; see `after`.

        Raises:
            ValueError: as `after`, and for fewer than 2 tasks.
        """
        changed = self.after(family, drawn, seed, split)
        differs = (drawn.values != changed.values).any(axis=1)
        if differs.sum() < 2:
            raise ValueError(
                f"at least 2 tasks must change, got {differs.sum()} of {len(drawn)}: the others "
                f"already have the values that the change asks for"
            )
        return drawn[differs], changed[differs]


def parse_task(words: Iterable[str]) -> dict[str, float]:
    """Return `("x=1", "y=-0.5")`, or `("x=1,y=-0.5",)`, as `{"x": 1.0, "y": -0.5}`.

    Raises:
        ValueError: for a word that is not NAME=NUMBER, or a parameter that is named twice.
    """
    task = {}
    for word in (part for several in words for part in several.split(",")):
        name, _, value = word.partition("=")
        if name in task:
            raise ValueError(f"the task parameter {name} is named twice, got {word!r} at last")
        try:
            task[name] = float(value)
        except ValueError:
            raise ValueError(f"a task parameter is NAME=NUMBER, got {word!r}") from None
    return task


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
    table = _table(tasks)
    try:
        table = family.task(table)
    except ValueError as error:
        if isinstance(tasks, str | Path):
            raise ValueError(f"{tasks}: {error}") from None
        raise
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
        if not text.strip():
            raise ValueError(f"the file is empty; expected {_CONTENT[path.suffix]}")
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
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is not JSON: {error.msg}") from None
    rows = [content] if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"expected {_CONTENT['.json']}")
    return rows


def _rows_of_csv(text: str) -> list[dict[str, float]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True, strict=True)
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has another number of columns than the first")
        task = {}
        for name, value in row.items():
            try:
                task[name.strip()] = float(value)
            except ValueError:
                raise ValueError(
                    f"line {reader.line_num}: {name.strip()} must be a number, got {value!r}"
                ) from None
        rows.append(task)
    return rows


def _counted(least: int) -> str:
    return "1 task is" if least == 1 else f"{least} tasks are"
