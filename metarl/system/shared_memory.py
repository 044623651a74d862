"""Tensors in memory that processes share: a file without a name, mapped by each of them."""

import math
import mmap
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

Layout = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
"""Shape and type of each tensor, by name."""

_LINE = 64
"""Alignment of every tensor [bytes]."""


def create(layout: Layout) -> int:
    """Return the descriptor of a file with room for these tensors, gone when no one has it open.

    It is in shared memory (/dev/shm) where there is room, else on disk.

    Args:
        layout: of the tensors.

    Raises:
        OSError: when there is no room on disk either.
    """
    size = max(1, sum(_room(*entry) for entry in layout.values()))
    try:
        return _file(size, "/dev/shm")
    except OSError:  # there is none, or it is full
        return _file(size, None)


def _file(size: int, folder: str | None) -> int:
    descriptor, path = tempfile.mkstemp(dir=folder)
    Path(path).unlink()
    try:
        # allocate it now: if memory runs out at a later write, the kernel kills the process
        # (SIGBUS); in a container /dev/shm may have only 64 MB
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.truncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def attach(descriptor: int, layout: Layout) -> dict[str, Tensor]:
    """Return the tensors of a file that `create` made; what one process writes all others see.

    Args:
        descriptor: of the file.
        layout: of the tensors, as it was created with.
    """
    memory = torch.frombuffer(mmap.mmap(descriptor, 0), dtype=torch.uint8)
    tensors, offset = {}, 0
    for name, (shape, dtype) in layout.items():
        size = math.prod(shape) * dtype.itemsize
        tensors[name] = memory[offset : offset + size].view(dtype).view(shape)
        offset += _room(shape, dtype)
    return tensors


def _room(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    size = math.prod(shape) * dtype.itemsize
    return math.ceil(size / _LINE) * _LINE
