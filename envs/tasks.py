"""`Tasks`: a table with a row for each task and a named column for each parameter."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tasks:
    """A frozen table of tasks.

    `tasks[3]` is one task as a dict, `tasks[2:5]` and `tasks[[0, 4]]` are tables, and
    `tasks["velocity"]` is a column, [task].
    """

    names: tuple[str, ...]
    """The parameters, in column order."""
    values: NDArray[np.float64]
    """[task, parameter], read-only."""

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise ValueError(
                f"tasks with parameters {', '.join(self.names)} need values of shape "
                f"[task, {len(self.names)}], got {list(values.shape)}"
            )
        for row, column in np.argwhere(~np.isfinite(values))[:1]:
            raise ValueError(
                f"the task parameter {self.names[column]} must be a finite number, "
                f"got {values[row, column]}{which(row, len(values))}"
            )
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @classmethod
    def from_dicts(cls, rows: Sequence[Mapping[str, float]]) -> "Tasks":
        """Build a table from one mapping a task.

        Raises:
            ValueError: when there are no rows, they name different parameters, or a value is not
                one number; NumPy's are fine.
        """
        if not rows:
            raise ValueError("at least 1 task is needed, got 0")
        names = tuple(rows[0])
        values = np.zeros((len(rows), len(names)))
        for index, row in enumerate(rows):
            if set(row) != set(names):
                raise ValueError(
                    f"every task must have the same parameters: {', '.join(map(str, names))} in "
                    f"the first, got {', '.join(map(str, row))}{which(index, len(rows))}"
                )
            values[index] = [_number(name, row[name], which(index, len(rows))) for name in names]
        return cls(names, values)

    @classmethod
    def from_json(cls, text: str) -> "Tasks":
        """Read what `to_json` wrote.

        Raises:
            ValueError: when the text is not a JSON list of objects with numbers.
        """
        rows = json.loads(text)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("tasks must be a JSON list of objects, such as [{'velocity': 1.2}]")
        return cls.from_dicts(rows)

    def to_json(self) -> str:
        """Return the table as a JSON list with an object for each task."""
        return json.dumps(list(self))

    def repeat(self, times: int) -> "Tasks":
        """Return the table with every row `times` times in a row, [task * times]."""
        return Tasks(self.names, np.repeat(self.values, times, axis=0))

    def label(self, index: int) -> str:
        """Return one task in words, such as `velocity 1.20`; of many parameters, how many."""
        if len(self.names) > 4:
            return f"{len(self.names)} parameters"
        return ", ".join(f"{name} {value:.2f}" for name, value in self[index].items())

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> dict[str, float]: ...
    @overload
    def __getitem__(self, key: str) -> NDArray[np.float64]: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | NDArray) -> "Tasks": ...
    def __getitem__(
        self, key: int | str | slice | Sequence[int] | NDArray
    ) -> "dict[str, float] | NDArray[np.float64] | Tasks":
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(f"no parameter {key!r}; there are {', '.join(self.names)}")
            return self.values[:, self.names.index(key)]
        if isinstance(key, int | np.integer):
            return dict(zip(self.names, self.values[key].tolist(), strict=True))
        return Tasks(self.names, self.values[key])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tasks):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.values, other.values)

    def __str__(self) -> str:
        width = max(10, *(len(name) for name in self.names)) if self.names else 10
        header = " task" + "".join(f"  {name:>{width}}" for name in self.names)
        rows = (
            f"{index:5d}" + "".join(f"  {value:{width}.4f}" for value in row)
            for index, row in enumerate(self.values)
        )
        return "\n".join([header, *rows])


def which(index: int, count: int) -> str:
    """Return which task a message is about, counted from 1 as lines are; nothing for a single one.

    Args:
        index: of the task, from 0.
        count: of tasks.
    """
    return f" (task {index + 1} of {count})" if count > 1 else ""


def _number(name: str, value: object, where: str) -> float:
    """Return a task parameter as a float, whatever kind of number it is."""
    try:
        if np.ndim(value) == 0 and value is not None:  # type: ignore[arg-type]
            return float(np.asarray(value, dtype=np.float64).item())
    except (TypeError, ValueError):
        pass
    raise ValueError(f"the task parameter {name} must be a number, got {value!r}{where}")
