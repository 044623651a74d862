"""Files that appear whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; move it there when the block ends without an error.

    The temporary file has the same ending, since writers choose a format by it. Whatever happens,
    a crash of the machine included, `path` is what it was before or what was written.

    Raises:
        OSError: when the folder cannot be made or written to, the disk is full, or the path is that
            of a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; it must be a file")
    with _told(path):
        make_folder(path.parent)
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=_beginning(path), suffix=path.suffix
        )
        os.close(descriptor)
    temporary = Path(name)
    try:
        with _told(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_place(folder: Path) -> None:
    """Make a folder and try to write in it, before anything is computed.

    Raises:
        OSError: when it is a file, or cannot be written to.
    """
    try:
        make_folder(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(f"{folder} cannot be written to: {error.strerror}") from None


def make_folder(path: Path) -> None:
    """Make a folder where there is none, and those above it.

    Raises:
        OSError: when it cannot be made; a file that is in its place is named.
    """
    there = next(above for above in (path, *path.parents) if above.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"{there} is a file; it must be a folder")
    path.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, data: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write plain data as JSON, whole or not at all; see `whole_file`.

    Args:
        path: of the file.
        data: what is in it.
        indent: of nested lines; None for all in one line.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(data, indent=indent) + "\n")


def remove_leftovers(path: Path) -> None:
    """Remove what writers of a file that were killed have left beside it.

    Args:
        path: of the file; no one else may be writing it now.
    """
    for left in path.parent.glob(f"{_beginning(path)}*{path.suffix}"):
        left.unlink(missing_ok=True)


def _beginning(path: Path) -> str:
    """Return how the names of temporary files for this one begin."""
    return f".{path.stem}-"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name the file that was to be written, and say that nothing was lost, when it fails."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not _is_of(error, path):
            raise
        kept = "; the file that was there before is unchanged" if path.exists() else ""
        words = f"{path} cannot be written: {error.strerror}{kept}"
        told = type(OSError(error.errno, ""))(words)  # such as PermissionError, by the number
        told.errno = error.errno
        raise told from error


def _is_of(error: OSError, path: Path) -> bool:
    """Whether an error is of writing a file, and not of another one that its contents need."""
    if error.filename is None:  # a disk that is full
        return True
    name = Path(str(error.filename))
    return name in (path, *path.parents) or name.name.startswith(_beginning(path))


def _sync_folder(folder: Path) -> None:
    """Make a move within a folder last, where the system lets folders be opened (not Windows)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    """Return the process's file-mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
