"""The threads that libraries start by themselves: torch's, and those of NumPy's BLAS."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def one_library_thread() -> Iterator[None]:
    """Let libraries compute in the calling thread alone, within the `with` block.

    Networks are small: waking threads for their products, and letting them spin while they wait,
    costs more than it gains. The limit on BLAS holds for the whole process, so enter this once and
    start threads inside.
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
    return ThreadpoolController()  # looks through every loaded library, so once will do
