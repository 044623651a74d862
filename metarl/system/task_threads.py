"""Chunks of tasks, worked on by threads.

The chunks do not depend on how many threads there are and each is worked on by one thread alone, so
that results do not either, to the last bit. Threads that wait for each other after every operation,
as torch's own do, are slower than this, and starve when another process wants the processor.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from metarl.system.library_threads import one_library_thread

ROWS = 10_000
"""Steps of rollouts in a chunk at most, unless a single task has more: enough for large matrices,
few enough for what is in between to stay in the caches. It bounds what an update needs besides the
rollouts, whatever the number of tasks."""

FEWEST = 2_000
"""Steps of rollouts that a chunk of its own is worth: with fewer, threads wait for each other's
Python."""

T = TypeVar("T")
R = TypeVar("R")


class TaskThreads:
    """Maps functions over chunks of tasks; its threads live as long as the `with` block."""

    def __init__(self, threads: int, device: torch.device) -> None:
        """Use so many threads, 0 for one a core; on a GPU all tasks are one chunk."""
        self.count = threads or os.cpu_count() or 1
        self._on_cpu = device.type == "cpu"
        self._pool: ThreadPoolExecutor | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "TaskThreads":
        self._stack.enter_context(one_library_thread())
        if self._on_cpu and self.count > 1:
            pool = ThreadPoolExecutor(self.count, "task", torch.set_num_threads, (1,))
            self._pool = self._stack.enter_context(pool)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool = None
        self._stack.close()

    def chunks(self, tasks: int, rows: int) -> list[slice]:
        """Return the chunks of so many tasks, with so many steps of rollouts each."""
        if not self._on_cpu:
            return [slice(0, tasks)]
        half = -(-tasks // 2)
        return chunks(tasks, max(1, min(ROWS // rows, max(half, FEWEST // rows))))

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the function's results, in order."""
        if self._pool:
            return list(self._pool.map(function, items))
        return [function(item) for item in items]

    def apply(self, function: Callable[..., Any], *tables: Any, rows: int) -> Any:  # noqa: ANN401
        """Return a function of tables with a leading task axis, found chunk by chunk.

        Args:
            function: of as many tables, to a table. Each is a mapping or a named tuple of tensors
                [task, ...].
            tables: of the same tasks.
            rows: steps of rollouts that each task has.
        """
        first = tables[0]
        tasks = len(next(iter(first.values())) if isinstance(first, Mapping) else first[0])
        parts = [tuple(cut(table, chunk) for table in tables) for chunk in self.chunks(tasks, rows)]
        return join(self.map(lambda part: function(*part), parts))


def chunks(tasks: int, largest: int) -> list[slice]:
    """Return tasks cut into chunks as equal as can be, which depend on these two numbers alone.

    There is a power of two of them, so that they can be shared evenly among as many threads.

    Args:
        tasks: how many.
        largest: how many tasks a chunk has at most.
    """
    count = 1
    while count * largest < tasks:
        count *= 2
    ends = [round(part * tasks / count) for part in range(count + 1)]
    return [slice(first, end) for first, end in pairwise(ends) if first < end]


def cut(table: Any, chunk: slice) -> Any:  # noqa: ANN401
    """Return some tasks of a table, as views of its memory.

    Args:
        table: a tensor [task, ...]; or a mapping, a named tuple or a tuple of tables.
        chunk: the tasks.
    """
    if isinstance(table, Tensor):
        return table[chunk]
    if isinstance(table, Mapping):
        return {name: cut(value, chunk) for name, value in table.items()}
    values = tuple(cut(value, chunk) for value in table)
    return type(table)(*values) if hasattr(table, "_fields") else values


def join(parts: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return the tasks of all parts as one mapping or named tuple of tensors."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Mapping):
        return {name: torch.cat([part[name] for part in parts]) for name in first}
    columns: list[list[Tensor]] = [list(column) for column in zip(*parts, strict=True)]
    return type(first)(*(torch.cat(column) for column in columns))
