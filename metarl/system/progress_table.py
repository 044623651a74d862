"""Columns of a run's `progress.csv`, which may be written while it is read."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def columns(path: Path, names: Sequence[str]) -> list[NDArray[np.float64]]:
    """Return columns of the file, a number an iteration; without a last line that is half-written.

    Args:
        path: of the file.
        names: of the columns.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it lacks a column or a number, or is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        reader = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
        rows = list(reader)
        for name in names if rows else ():
            if name not in (reader.fieldnames or ()):
                raise ValueError(f"it lacks the column {name!r}")
        return [np.array([_number(row, name) for row in rows]) for name in names]
    except (ValueError, csv.Error) as error:
        why = "it is no text" if isinstance(error, UnicodeDecodeError) else error
        words = f"{path} cannot be read: {why}; move it away to continue without it"
        raise ValueError(words) from None


def _number(row: dict[str, str | None], name: str) -> float:
    try:
        return float(row[name] or "")
    except ValueError:
        raise ValueError(f"{name} must be a number, got {row[name] or 'nothing'!r}") from None
