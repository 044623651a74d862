"""Tensors that processes share, against tensors of their own."""

import errno
import gc
import os
import subprocess
import sys

import pytest
import torch

from metarl.system import shared_memory

LAYOUT = {
    "observation": ((2, 3, 5), torch.float32),
    "valid": ((7,), torch.bool),
    "nothing": ((0, 4), torch.float64),
    "length": ((), torch.int64),
    "sum": ((3,), torch.float64),
}


@pytest.fixture
def descriptor():
    descriptor = shared_memory.create(LAYOUT)
    yield descriptor
    os.close(descriptor)


def test_tensors_have_their_shapes_and_begin_at_zero(descriptor: int):
    tensors = shared_memory.attach(descriptor, LAYOUT)
    assert {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()} == LAYOUT
    assert not any(tensor.any() for tensor in tensors.values())


def test_no_tensor_overlaps_another_or_shares_its_cache_line(descriptor: int):
    """Each is filled with a value of its own, and only then are all of them read."""
    tensors = shared_memory.attach(descriptor, LAYOUT)
    for number, tensor in enumerate(tensors.values(), start=1):
        tensor.fill_(number)
    for number, tensor in enumerate(tensors.values(), start=1):
        assert (tensor == torch.tensor(number).to(tensor.dtype)).all()
    starts = [tensor.data_ptr() for tensor in tensors.values()]
    assert all((start - starts[0]) % 64 == 0 for start in starts)


def test_what_one_attachment_writes_another_sees(descriptor: int):
    one, other = (shared_memory.attach(descriptor, LAYOUT) for _ in range(2))
    one["observation"][1, 2] = torch.arange(5.0)
    assert other["observation"][1, 2].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert not other["observation"][0].any()


def test_another_process_sees_it_too(descriptor: int):
    program = (
        "import torch; from metarl.system import shared_memory\n"
        f"layout = {{'sum': ((3,), torch.float64)}}\n"
        f"shared_memory.attach({descriptor}, layout)['sum'][:] = torch.tensor([1.5, -2.0, 3.0])\n"
    )
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, pass_fds=(descriptor,))
    seen = shared_memory.attach(descriptor, {"sum": ((3,), torch.float64)})
    assert seen["sum"].tolist() == [1.5, -2.0, 3.0]


def test_a_layout_without_numbers_is_fine():
    descriptor = shared_memory.create({})
    assert shared_memory.attach(descriptor, {}) == {}
    os.close(descriptor)


def test_where_memory_is_full_the_file_is_on_disk(monkeypatch: pytest.MonkeyPatch):
    folders: list[str | None] = []
    file = shared_memory._file

    def fails(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def noted(size: int, folder: str | None) -> int:
        folders.append(folder)
        with monkeypatch.context() as within:
            if folder:
                within.setattr(os, "posix_fallocate", fails)
            return file(size, folder)

    monkeypatch.setattr(shared_memory, "_file", noted)
    before = len(os.listdir("/proc/self/fd"))
    descriptor = shared_memory.create(LAYOUT)
    shared_memory.attach(descriptor, LAYOUT)["sum"][:] = 1.5
    assert shared_memory.attach(descriptor, LAYOUT)["sum"].tolist() == [1.5] * 3
    os.close(descriptor)
    assert folders == ["/dev/shm", None]

    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before, "that of the full memory is closed"
