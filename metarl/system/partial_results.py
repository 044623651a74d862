"""`PartialResults`: what a long measurement has so far, so that a killed one can be resumed.

    with metarl.PartialResults("runs/velocity/partial.safetensors") as partial:
        evaluation = metarl.evaluate(learners, tasks=400, partial=partial)
        figures.save(evaluation, "runs/velocity")

The file holds the arrays of each part that is done, with what decided them. It is removed at the
end of the `with` block, and stays when an error, Ctrl-C or the end of the process leaves that.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metarl.system import checkpoint
from metarl.system.files import remove_leftovers

KIND = "partial result"

Arrays = Mapping[str, NDArray[Any]]


class PartialResults:
    """Parts of a long measurement, kept in a file until all of them are done."""

    def __init__(self, path: str | Path | None) -> None:
        """Read what an earlier call left; what cannot be read is ignored with a warning.

        Args:
            path: of the file, which need not be there; None to keep nothing.
        """
        self._path = None if path is None else Path(path)
        self._parts: dict[str, tuple[dict[str, Any], Arrays]] = {}
        self._told = False
        if self._path and self._path.is_file():
            try:
                self._parts = _read(self._path)
            except ValueError as error:
                warnings.warn(f"{error}: its results are not used", UserWarning, stacklevel=2)

    def __enter__(self) -> "PartialResults":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._path:
            self._path.unlink(missing_ok=True)
            remove_leftovers(self._path)

    def get(self, name: str, of: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """Return a part: as it was kept, or else made now and kept.

        Args:
            name: of the part.
            of: all that decides it, as plain data.
            make: returns its arrays.
        """
        arrays = self.find(name, of)
        if arrays is None:
            arrays = make()
            self.add(name, of, arrays)
        return arrays

    def find(self, name: str, of: Mapping[str, Any]) -> Arrays | None:
        """Return a part that was kept, or None; one that something else decided is passed over.

        Args:
            name: of the part.
            of: all that decides it, as plain data.
        """
        if name not in self._parts:
            return None
        kept, arrays = self._parts[name]
        other = [key for key, value in _plain(of).items() if kept.get(key) != value]
        if not other:
            return arrays
        if not self._told:
            self._told = True
            warnings.warn(
                f"{self._path} is from an earlier call with other {', '.join(other)}: "
                "its results are not used",
                UserWarning,
                stacklevel=2,
            )
        return None

    def add(self, name: str, of: Mapping[str, Any], arrays: Arrays) -> None:
        """Keep a part, in the file too.

        Args:
            name: of the part.
            of: all that decides it, as plain data.
            arrays: by name.

        Raises:
            OSError: when the file cannot be written.
        """
        if self._path is None:
            return
        self._parts[name] = _plain(of), arrays
        tensors, data = {}, {}
        for part, (decided, values) in self._parts.items():
            # safetensors has an order of its own
            data[part] = {"of": decided, "arrays": list(values)}
            for key, value in values.items():
                tensors[f"{part}/{key}"] = torch.from_numpy(np.array(value))
        checkpoint.write(self._path, tensors, data, kind=KIND)


def _read(path: Path) -> dict[str, tuple[dict[str, Any], Arrays]]:
    tensors, data = checkpoint.read(path, kind=KIND)
    with checkpoint.sound(path, KIND):
        return {
            part: (
                dict(entry["of"]),
                {key: tensors[f"{part}/{key}"].numpy() for key in entry["arrays"]},
            )
            for part, entry in data.items()
        }


def _plain(of: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data as it is when it comes from a file: with lists for tuples."""
    return json.loads(json.dumps(of, default=str))
