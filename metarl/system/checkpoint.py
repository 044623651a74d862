"""Checkpoints: one file with tensors and plain data, which cannot run code when it is loaded.

The format is safetensors; everything besides tensors is JSON in its header. Random streams are
keyed by counters, so a checkpoint with the counters resumes exactly.
"""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metarl.system.files import whole_file

FORMAT = "metarl checkpoint"
VERSION = 2


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
        OSError: when the path cannot be written.
    """
    metadata = {"format": FORMAT, "version": str(VERSION), "kind": kind, "data": json.dumps(data)}
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as temporary:
        save_file(on_cpu, temporary, metadata=metadata)


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
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not a checkpoint: {error}") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is a safetensors file, but not a metarl checkpoint")
    if metadata.get("version") != str(VERSION):
        raise ValueError(
            f"{path} has checkpoint version {metadata.get('version')}; "
            f"this metarl reads version {VERSION}"
        )
    if metadata.get("kind", "learner") != kind:
        raise ValueError(f"{path} is a checkpoint of a {metadata['kind']}, not of a {kind}")
    return Checkpoint(tensors, json.loads(metadata["data"]))


def versions() -> dict[str, str]:
    """Return the versions of what decides a run's numbers."""
    packages = ("metarl", "torch", "mujoco", "gymnasium", "stable_baselines3", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
