"""A learner as a checkpoint, and back."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from metarl import envs
from metarl.agents.normaliser import Normaliser
from metarl.envs.family import Family
from metarl.envs.task_family import TaskFamily
from metarl.system import checkpoint

if TYPE_CHECKING:
    from metarl.learner.maml import MAML

ENDING = ".safetensors"
CHANGEABLE = (
    "reveals_task",
    "horizon",
    "action_scale",
    "control_cost",
    "survive_bonus",
    "contact_cost",
    "falls",
)
"""Fields of a family that a checkpoint has in full."""

_MEMORY, _OBSERVATION = "outer/", "observation/"


def save(learner: "MAML", path: str | Path) -> None:
    """Write everything a learner needs to go on, to one file, whole or not at all.

    Args:
        learner: the learner.
        path: `.safetensors` is added when it has no ending.

    Raises:
        OSError: when the path cannot be written.
    """
    path = Path(path)
    data = {
        "family": learner.family.describe(),
        "config": dataclasses.asdict(learner.config),
        "iteration": learner.iteration,
        "num_timesteps": learner.num_timesteps,
        "versions": checkpoint.versions(),
    }
    tensors = dict(learner.parameters)
    tensors |= {_MEMORY + name: value for name, value in learner.memory.items()}
    if learner.policy.normaliser:
        moments = learner.policy.normaliser._asdict()
        tensors |= {_OBSERVATION + name: value for name, value in moments.items()}
    checkpoint.write(path if path.suffix else path.with_suffix(ENDING), tensors, data)


def load(
    make: "type[MAML]", path: str | Path, family: Family | None, settings: Mapping[str, Any]
) -> "MAML":
    """Return the learner that was saved.

    Args:
        make: the class of the learner.
        path: a checkpoint.
        family: the family it was trained on, when that is not one of the catalogue's.
        settings: what to change.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is damaged or foreign, or the family is not the same.
    """
    path = Path(path)
    if not path.suffix and not path.exists():
        path = path.with_suffix(ENDING)
    tensors, data = checkpoint.read(path)
    saved = data["family"]
    learner = make(family or _saved_family(path, saved), **{**data["config"], **settings})
    difference = _difference(saved, learner.family.describe())
    if difference:
        raise ValueError(
            f"{path} was trained on {saved['name']} as it was then, which differs from the "
            f"family given or known here: {difference}. Pass the one it was trained on: "
            f"load(path, family=...)"
        )
    memory, moments = _taken(tensors, _MEMORY), _taken(tensors, _OBSERVATION)
    normaliser = learner.policy.normaliser
    expected = {} if normaliser is None else _shapes(normaliser._asdict())
    if _shapes(tensors) != _shapes(learner.parameters) or _shapes(moments) != expected:
        raise ValueError(f"{path} holds other parameters than its settings call for")
    # in the policy's order, as sums over parameters depend on it, and in memory of torch's own
    learner.parameters = {
        name: tensors[name].clone().to(learner.device) for name in learner.parameters
    }
    learner.memory = {name: value.clone().to(learner.device) for name, value in memory.items()}
    if normaliser is not None:
        clones = {name: value.clone() for name, value in moments.items()}
        learner.policy = dataclasses.replace(learner.policy, normaliser=Normaliser(**clones))
    learner.iteration = data["iteration"]
    learner.num_timesteps = data["num_timesteps"]
    return learner


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove the tensors with a prefix from the mapping; return them without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _saved_family(path: Path, saved: Mapping[str, Any]) -> TaskFamily:
    """Return the catalogue's family with the saved preset and changes."""
    if saved["name"] not in envs.families():
        raise ValueError(
            f"{path} was trained on {saved['name']}, which is not in the catalogue; "
            f"pass it: load(path, family=...)"
        )
    return envs.make(
        saved["name"],
        preset=saved["preset"],
        **{name: saved[name] for name in CHANGEABLE if name in saved},
    )


def _difference(saved: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    parts = (
        f"{name} was {value!r} and is {known.get(name)!r}"
        for name, value in saved.items()
        if name != "source" and known.get(name) != value
    )
    return "; ".join(parts)
