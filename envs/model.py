"""MJCF models: found, edited, compiled, and kept.

A compiled model is shared by all who ask for the same file with the same edits. Whoever wants to
write to one makes a copy first; per-simulation differences are `dynamics`, written elsewhere.
"""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import gymnasium
import mujoco

from metarl.envs.mujoco_log import quiet
from metarl.envs.nearest import nearest

Kind = Literal["body", "geom", "camera"]
"""An element of a model that has a name."""
Edit = Callable[[mujoco.MjSpec], None]
"""Changes a model's description, in place, before it is compiled."""


def gymnasium_asset(filename: str) -> Path:
    """Return the path of one of the MJCF files that Gymnasium's MuJoCo environments use."""
    return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / filename


@cache  # edits count by identity: those of a family that was unpickled are new ones
def load_model(mjcf: Path, edits: tuple[Edit, ...]) -> mujoco.MjModel:
    """Compile an MJCF file once; the model is shared, so it must not be written to.

    Args:
        mjcf: the file.
        edits: changes to make before it is compiled, in order; () for none. There is no default,
            because the cache would take the two ways to say so for two models.

    Raises:
        FileNotFoundError: when there is no such file.
    """
    if not mjcf.is_file():
        raise FileNotFoundError(f"no MJCF file at {mjcf}")
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about attributes of models that are not ours
        if not edits:
            return mujoco.MjModel.from_xml_path(str(mjcf))
        spec = mujoco.MjSpec.from_file(str(mjcf))
        for edit in edits:
            edit(spec)
        return spec.compile()


def element_names(model: mujoco.MjModel, kind: Kind) -> list[str]:
    """Return the names of a model's bodies, geoms or cameras; unnamed ones get their number."""
    count = {"body": model.nbody, "geom": model.ngeom, "camera": model.ncam}[kind]
    return [getattr(model, kind)(index).name or f"{kind}{index}" for index in range(count)]


def element_index(model: mujoco.MjModel, kind: Kind, name: str) -> int:
    """Return the index of a body, geom or camera.

    Raises:
        ValueError: when the model has none of that name; the message lists what there is.
    """
    names = element_names(model, kind)
    if name not in names:
        raise ValueError(f"the model has no {kind} {name!r}{nearest(name, names)}")
    return names.index(name)
