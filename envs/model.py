"""MJCF models: found, edited, compiled, and kept.

A compiled model is shared by all who ask for the same files with the same edits. Whoever wants to
write to one makes a copy first; per-simulation differences are `dynamics`, written elsewhere.
"""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal

import gymnasium
import mujoco

from metarl.envs.mujoco_log import quiet
from metarl.envs.nearest import nearest

Kind = Literal["body", "geom", "camera", "actuator"]
"""An element of a model that has a name."""
Edit = Callable[[mujoco.MjSpec], None]
"""Changes a model's description, in place, before it is compiled."""


def gymnasium_asset(filename: str) -> Path:
    """Return the path of one of the MJCF files that Gymnasium's MuJoCo environments use."""
    return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / filename


def load_model(mjcf: Path | str, edits: tuple[Edit, ...] = ()) -> mujoco.MjModel:
    """Compile an MJCF file once; the model is shared, so it must not be written to.

    A file that was edited since, or one that it includes, or a mesh or texture, is read anew.

    Args:
        mjcf: the file.
        edits: changes to make before it is compiled, in order.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when MuJoCo cannot compile it; the message has MuJoCo's reason.
    """
    path = str(Path(mjcf))
    if not Path(path).is_file():
        raise FileNotFoundError(f"no MJCF file at {path}")
    try:
        contents = _contents(path)
    except (mujoco.FatalError, OSError):
        # A file that the model names is missing or is not XML: the compiler says which. Or MuJoCo
        # looks for it in the wrong folder, as it does for height fields where there is a meshdir:
        # then the model is compiled anew for each caller.
        mujoco.mj_clearCache(mujoco.mj_getCache())
        return _compile(path, edits)
    return _compile_once(path, edits, contents)


Contents = tuple[tuple[str, bytes], ...]
"""Files that a model is made of, each with a digest of what it holds."""

_read: dict[str, bytes] = {}
"""What files held when they were last compiled, so that MuJoCo's cache has no other version."""


def _contents(path: str) -> Contents:
    """Return all that a model is made of: MJCF, included files, meshes, textures."""
    files = sorted(mujoco.mju_getXMLDependencies(path))
    return tuple((file, _digest(Path(file))) for file in files)


def _digest(file: Path) -> bytes:
    """Return a digest of what a file holds.

    Of the contents, not the time of writing: two edits can fall into one tick of the clock of the
    file system. A file whose last change lies back longer than a tick, of 2 s at the coarsest, is
    read once until it changes again: Spot's are 44 MB.
    """
    found = file.stat()
    if time.time_ns() - found.st_ctime_ns < 2e9:
        return _digest_of(file)
    return _digest_since(file, (found.st_ctime_ns, found.st_size, found.st_ino))


@lru_cache(maxsize=1024)
def _digest_since(file: Path, state: tuple[int, ...]) -> bytes:
    return _digest_of(file)


def _digest_of(file: Path) -> bytes:
    return hashlib.blake2b(file.read_bytes()).digest()


@lru_cache(maxsize=128)  # edits count by identity: those of a family that was unpickled are new
def _compile_once(path: str, edits: tuple[Edit, ...], contents: Contents) -> mujoco.MjModel:
    # MuJoCo keeps meshes and textures by name and time of writing in whole seconds: it would use an
    # old one that was written a moment ago. Of files that are as they were it is right to use what
    # it kept: a robot is compiled more than once, and hulls of meshes take most of the time (1.3 of
    # Spot's 1.4 s).
    if not dict(contents).items() <= _read.items():
        mujoco.mj_clearCache(mujoco.mj_getCache())
        _read.update(contents)
    return _compile(path, edits)


def _compile(path: str, edits: tuple[Edit, ...]) -> mujoco.MjModel:
    with quiet(), warnings.catch_warnings(), _told(path):
        warnings.simplefilter("ignore")  # about attributes of other people's models
        if not edits:
            return mujoco.MjModel.from_xml_path(path)
        spec = mujoco.MjSpec.from_file(path)
        for edit in edits:
            edit(spec)
        return spec.compile()


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Name the file, and give MuJoCo's reason in one line, when it cannot be compiled."""
    try:
        yield
    except (ValueError, mujoco.FatalError) as error:
        raise ValueError(f"{path} cannot be compiled: {' '.join(str(error).split())}") from None


def element_names(model: mujoco.MjModel, kind: Kind) -> list[str]:
    """Return the names of a model's bodies, geoms, ...; unnamed ones get their number."""
    count = {
        "body": model.nbody,
        "geom": model.ngeom,
        "camera": model.ncam,
        "actuator": model.nactuator,
    }[kind]
    return [getattr(model, kind)(index).name or f"{kind}{index}" for index in range(count)]


def element_index(model: mujoco.MjModel, kind: Kind, name: str) -> int:
    """Return the index of a body, geom, camera or actuator.

    Raises:
        ValueError: when the model has none of that name; the message lists what there is.
    """
    names = element_names(model, kind)
    if name not in names:
        raise ValueError(f"the model has no {kind} {name!r}{nearest(name, names)}")
    return names.index(name)
