"""A folder that one process at a time may write to."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, within the `with` block.

    The kernel lets go of the lock when its holder ends, however it ends: a dead owner is none. The
    lock's file stays, since one that is removed could be held by two.

    Args:
        folder: must exist.

    Raises:
        ValueError: when another process holds it, with that process's number and machine.
        OSError: when the folder cannot be written to.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{folder} is in use by {_owner(path)}: wait for it, or stop it first"
        ) from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def _owner(path: Path) -> str:
    """Return who holds a lock, as it wrote itself down."""
    try:
        words = path.read_text()[:100]
    except (OSError, ValueError):
        words = ""
    return words if words.startswith("process ") and words.isprintable() else "another process"
