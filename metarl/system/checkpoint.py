"""Checkpoints: one file with tensors and plain data, which cannot run code when it is loaded.

The format is safetensors; everything besides tensors is JSON in its header. Random streams are
keyed by counters, so a checkpoint with the counters resumes exactly. A SHA-256 of the whole file
stands in the header: safetensors itself loads a tensor with a flipped bit without a word. The same
content gives the same bytes.

Files may come from untrusted sources: whatever is wrong with one, `read`, and whatever is built
from it inside `sound`, raises a ValueError of one line.
"""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from metarl.system.files import whole_file

FORMAT = "metarl checkpoint"
VERSION = 3
READABLE = ("2", "3")
"""Version 2 is version 3 without the checksum; the tensors and the data are the same."""

_DIGEST = "sha256"
_BLANK = "0" * hashlib.sha256().digest_size * 2
"""Stands for the digest in the bytes that it is computed from."""

_TYPES = (torch.float32, torch.float64, torch.int64, torch.bool)

_LONGEST = 300
"""Characters of a message about a file, which may be made of what the file says."""


class Checkpoint(NamedTuple):
    """What is in the file."""

    tensors: dict[str, Tensor]
    """By name, on the CPU."""
    data: dict[str, Any]
    """Plain data: family, config, counters, versions."""


def write(
    path: Path, tensors: Mapping[str, Tensor], data: Mapping[str, Any], *, kind: str = "learner"
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: where to.
        tensors: by name.
        data: what JSON can hold.
        kind: what it is a checkpoint of.

    Raises:
        OSError: when the path cannot be written; what was there before is whole.
    """
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": kind,
        "data": json.dumps(data),
        _DIGEST: _BLANK,
    }
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header, body = _split(save(on_cpu, metadata))
    # safetensors writes the metadata in another order each time; spaces pad to whole words of 8
    words = json.dumps(json.loads(header), sort_keys=True, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)
    length = len(words).to_bytes(8, "little")
    digest = hashlib.sha256(length + words + body).hexdigest()
    words = words.replace(_entry(_BLANK), _entry(digest))
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.writelines((length, words, body))


def read(path: Path, *, kind: str = "learner") -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: the file.
        kind: what it must be a checkpoint of.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is damaged, not a checkpoint, or of another version.
    """
    if not path.is_file():
        made = "; metarl similarity RUN writes one" if kind == "skill library" else ""
        raise FileNotFoundError(f"there is no {kind} {path}{made}")
    content = path.read_bytes()
    if not content:
        raise ValueError(f"{path} is empty")
    try:
        header, body = _split(content)
        tensors, metadata = load(content), json.loads(header).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path} is damaged or not a checkpoint") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is a safetensors file, but not a metarl checkpoint")
    if metadata.get("version") not in READABLE:
        raise ValueError(
            f"{path} has checkpoint version {metadata.get('version')!r}; "
            f"this metarl reads versions {' and '.join(READABLE)}"
        )
    digest = metadata.get(_DIGEST)
    if digest is None and metadata["version"] == "2":
        pass  # it had none; a version 3 whose 3 became a 2 has one
    elif digest is None or digest != _digest(header, body, digest):
        raise ValueError(
            f"{path} is damaged: its content does not have the checksum that it was written with"
        )
    if metadata.get("kind", "learner") != kind:
        other = _told(ValueError(metadata["kind"]))
        raise ValueError(f"{path} is a checkpoint of a {other}, not of a {kind}")
    with sound(path, kind):
        other = [str(t.dtype) for t in tensors.values() if t.dtype not in _TYPES]
        if other:
            raise TypeError(f"tensors of type {other[0]} are in no {kind}")
        data = json.loads(metadata["data"])
        if not isinstance(data, dict):
            raise TypeError("its data are no object")
    return Checkpoint(tensors, data)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, by their names without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names}


@contextmanager
def sound(path: Path, what: str) -> Iterator[None]:
    """Build something of what a file says; whatever that raises means that the file is at fault.

    Args:
        path: of the file.
        what: it should hold, such as `library`.

    Raises:
        ValueError: in one line, when the block raised what a wrong value, type or name leads to.
    """
    try:
        yield
    except (
        ValueError,  # of a setting, of a task, of JSON
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        ArithmeticError,
        AssertionError,
        RuntimeError,  # torch's for shapes, and RecursionError
        MemoryError,
    ) as error:
        raise ValueError(f"{path} does not hold a whole {what}: {_told(error)}") from None


def versions() -> dict[str, str]:
    """Return the versions of the packages that a run's results depend on."""
    return dict(_versions())


@cache  # 25 ms: each package's whole metadata are read
def _versions() -> dict[str, str]:
    packages = ("metarl", "torch", "mujoco", "gymnasium", "stable_baselines3", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Return the JSON header of a safetensors file, and the bytes of its tensors."""
    start = 8 + int.from_bytes(content[:8], "little")  # the header's length stands before it
    return content[8:start], content[start:]


def _digest(header: bytes, body: bytes, claimed: str) -> str:
    """Return the digest of a file in whose header another one is claimed."""
    blank = header.replace(_entry(claimed), _entry(_BLANK))
    return hashlib.sha256(len(header).to_bytes(8, "little") + blank + body).hexdigest()


def _entry(digest: str) -> bytes:
    return f'"{_DIGEST}":"{digest}"'.encode()


def _told(error: Exception) -> str:
    """Return a message that may quote a stranger's file: one line, printable, not too long."""
    words = f"{error}".strip() or "nothing more is known"
    if isinstance(error, KeyError):
        words = f"it lacks {words}"
    elif not isinstance(error, ValueError | SafetensorError):
        words = f"{type(error).__name__}: {words}"
    return in_a_line(words)


def in_a_line(words: str) -> str:
    """Return a stranger's words as a message may show them: one line, printable, not too long."""
    line = " ".join(words.split())
    printable = "".join(letter if letter.isprintable() else "?" for letter in line)
    return printable if len(printable) <= _LONGEST else f"{printable[:_LONGEST]} ..."
