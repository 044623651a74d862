"""Chunks of tasks, which threads work on in parallel.

The chunks do not depend on the number of threads, and one thread computes each of them alone, so
results are bit-identical for any number of threads. Torch's own threads wait for each other after
every operation: they are slower than this, and starve when another process wants the processor.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from metarl.system.cores import cores
from metarl.system.library_threads import one_library_thread

ROWS = 10_000
"""The most steps of rollouts in a chunk, unless a single task has more: enough for large matrices,
few enough for intermediate results to stay in the caches. It bounds the memory that an update needs
besides the rollouts, whatever the number of tasks (docs/speed.md, "From ten tasks to a thousand").
Another value changes rounding, and with it the bits of every result."""

ROWS_ON_GPU = 500_000
"""The same on a GPU, which is kept busy by fewer and has to hold what they need."""

FEWEST = 2_000
"""The fewest steps of rollouts that are worth a chunk of their own: with less to do outside of
Python, threads wait for each other to release the GIL."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class TaskThreads:
    """Maps functions over chunks of tasks; its threads live as long as the `with` block.

    Outside of a `with` block everything runs in the calling thread.
    """

    def __init__(self, threads: int, device: torch.device) -> None:
        """Set the number of threads.

        Args:
            threads: how many; 0 for one a core.
            device: where the tensors are. On a GPU chunks are large, for one thread.
        """
        self.count = threads or cores()
        self._on_cpu = device.type == "cpu"
        self._pool: ThreadPoolExecutor | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "TaskThreads":
        self._stack.enter_context(one_library_thread())
        if self._on_cpu and self.count > 1:
            # torch keeps its number of threads for each thread: a new one starts with the default
            pool = ThreadPoolExecutor(self.count, "task", torch.set_num_threads, (1,))
            self._pool = self._stack.enter_context(pool)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool = None
        self._stack.close()

    def chunks(self, tasks: int, rows: int) -> list[slice]:
        """Return the chunks that tasks are computed in.

        Args:
            tasks: how many.
            rows: steps of rollouts that each task has.
        """
        if not self._on_cpu:
            return chunks(tasks, max(1, ROWS_ON_GPU // rows))
        # at least two chunks where both are worth having, so that two threads have work
        half = -(-tasks // 2)
        return chunks(tasks, max(1, min(ROWS // rows, max(half, FEWEST // rows))))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return the function's results, in the order of the items.

        Raises:
            Exception: the first that a call raised, in that order.
        """
        if not self._pool:
            return [function(item) for item in items]
        futures = [self._pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            _end(futures)
            raise

    def apply(self, function: Callable[..., Any], *tables: Any, rows: int) -> Any:  # noqa: ANN401
        """Return a function of tables with a leading task axis, computed chunk by chunk.

        Args:
            function: of as many tables, to a table: a mapping or a named tuple of tensors
                [task, ...]. Each task of the result must depend on that task alone.
            tables: of the same tasks, mappings or named tuples of tensors [task, ...].
            rows: steps of rollouts that each task has.
        """
        first = tables[0]
        tasks = len(next(iter(first.values())) if isinstance(first, Mapping) else first[0])
        parts = [tuple(cut(table, chunk) for table in tables) for chunk in self.chunks(tasks, rows)]
        return join(self.map(lambda part: function(*part), parts))


def _end(futures: Sequence[Future]) -> None:
    """Drop what has not begun and wait for the rest, through any number of Ctrl-C.

    An interpreter that exits while its threads are in native code ends in a segmentation fault. The
    threads are not joined for that: a join that Ctrl-C interrupts makes Python take a thread for
    ended (python/cpython#90882), and the next one does not wait.
    """
    for future in futures:
        future.cancel()
    while True:
        try:
            wait(futures)
            return
        except KeyboardInterrupt:
            continue  # one is on its way already


def chunks(tasks: int, largest: int) -> list[slice]:
    """Return tasks cut into chunks of equal size, up to one task.

    Their number is a power of two, so that 2, 4, 8 ... threads share them evenly, or the number of
    tasks where that is less.

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
