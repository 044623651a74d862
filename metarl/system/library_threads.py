"""The threads that libraries have of their own: torch's, and those of NumPy's BLAS."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def one_library_thread() -> Iterator[None]:
    """Let libraries compute in the thread that asks, for a while.

    Networks are small; threads that are woken for them, and spin while they wait, cost more than
    they bring. It holds for the whole process: who starts threads enters it first.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
