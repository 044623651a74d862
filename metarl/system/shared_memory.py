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
"""Bytes that every tensor begins at a multiple of."""


def create(layout: Layout) -> int:
    """Return the descriptor of a file with room for these tensors, gone when no one has it open.

    Args:
        layout: of the tensors.
    """
    in_memory = Path("/dev/shm")
    descriptor, path = tempfile.mkstemp(dir=in_memory if in_memory.is_dir() else None)
    Path(path).unlink()
    os.truncate(descriptor, max(1, sum(_room(*entry) for entry in layout.values())))
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
