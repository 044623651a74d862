"""`State`: everything that training changes, as a value; written to a checkpoint and read back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metarl import envs
from metarl.agents.memory import TaskMemory
from metarl.agents.normaliser import Normaliser
from metarl.agents.policy import GaussianPolicy
from metarl.agents.siamese import completed
from metarl.algorithms.outer_steps import check_moments
from metarl.algorithms.table import ALGORITHMS
from metarl.envs import catalogue
from metarl.envs.family import Family
from metarl.learner.config import Config
from metarl.learner.critic import Critic
from metarl.learner.task_encoder import BOUNDS, TOLERANCE, TaskEncoder
from metarl.system import checkpoint

ENDING = ".safetensors"
CHANGEABLE = (
    "reveals_task",
    "sensor_noise",
    "horizon",
    "action_scale",
    "control_cost",
    "survive_bonus",
    "contact_cost",
    "falls",
)
"""Fields of a family that are restored from a checkpoint."""

FIXED = (
    "hidden",
    "baseline",
    "context",
    "context_size",
    "embedding_size",
    "learned_rates",
    "normalise_observations",
)
"""Settings that determine which tensors a checkpoint holds."""

_MOST, _SHOWN = 2**63, 200
"""Bound of counters (in 64-bit keys of streams); most characters of a value in a message."""

_OTHERS = "it holds other parameters than its settings call for"
# tensors of a checkpoint that are no parameters, by what their names begin with
_OPTIMISER, _OBSERVATION, _CONTEXT = "outer/", "observation/", "context/"
_ENCODER, _CRITIC = "encoder/", "critic/"


@dataclass(frozen=True, eq=False)
class State:
    """Where training is. With the seed it decides all that follows, to the last bit."""

    policy: GaussianPolicy
    """Its sizes, and the moments that observations are normalised with."""
    parameters: dict[str, Tensor]
    """Common to all tasks, by name, on the learner's device."""
    optimiser: dict[str, Tensor]
    """What the outer step remembers of those before (Adam's moments), by name."""
    encoder: TaskEncoder | None = None
    """Tells the policy its task; None for a policy without context."""
    critic: Critic | None = None
    """What advantages are measured from; None for linear baselines."""
    iteration: int = 0
    """Outer steps taken."""
    num_timesteps: int = 0
    """Environment steps sampled in training."""

    @property
    def memory(self) -> TaskMemory | None:
        """How the policy remembers its task; None when it does not."""
        return self.encoder.memory if self.encoder else None

    def unbounded(self) -> "State":
        """Return the same state with a memory that has no bounds."""
        if not self.encoder:
            return self
        memory = replace(self.encoder.memory, bounds=None)
        return replace(self, encoder=replace(self.encoder, memory=memory))

    def tensors(self) -> dict[str, Tensor]:
        """Return what decides how the policy acts: parameters, moments, the encoder it sees."""
        moments = self.policy.normaliser._asdict() if self.policy.normaliser else {}
        seen = self.encoder.acting_tensors() if self.encoder else {}
        return {
            **self.parameters,
            **{_OBSERVATION + name: value for name, value in moments.items()},
            **{_CONTEXT + name: value for name, value in seen.items()},
        }

    def training_tensors(self) -> dict[str, Tensor]:
        """Return what only further training needs."""
        encoder = self.encoder.training_tensors() if self.encoder else {}
        critic = self.critic.tensors() if self.critic else {}
        return {
            **{_OPTIMISER + name: value for name, value in self.optimiser.items()},
            **{_ENCODER + name: value for name, value in encoder.items()},
            **{_CRITIC + name: value for name, value in critic.items()},
        }


def embedding_shape(size: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of the tensor that tells an encoder's embedding size, by its name."""
    return {f"{_CONTEXT}whole.2.bias": (size,)}


def fingerprint(family: Family, state: State) -> str:
    """Return a SHA-256 of what decides how a learner acts: family, parameters, moments.

    Skills and similarities hold it, since they are worth something for that policy only.
    """
    digest = hashlib.sha256(json.dumps(family.describe(), default=str).encode())
    for name, value in state.tensors().items():
        digest.update(name.removeprefix(_OBSERVATION).encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write(path: str | Path, state: State, family: Family, config: Config) -> None:
    """Write everything that is needed to resume, to one file, whole or not at all.

    Args:
        path: `.safetensors` is added when it has no ending.
        state: where training is.
        family: that is trained on.
        config: that it is trained with.

    Raises:
        OSError: when the path cannot be written.
    """
    path = Path(path)
    data = {
        "family": family.describe(),
        "config": config.kept(),
        "iteration": state.iteration,
        "num_timesteps": state.num_timesteps,
        "versions": checkpoint.versions(),
    }
    target = path if path.suffix else path.with_suffix(ENDING)
    checkpoint.write(target, state.tensors() | state.training_tensors(), data)


@dataclass(frozen=True, eq=False)
class Saved:
    """What a checkpoint holds."""

    path: Path
    """Where it was read from, for messages."""
    family: Mapping[str, Any]
    """The family's description at the time; see `TaskFamily.describe`."""
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    """As `State.tensors` returned them, and those of the optimiser."""
    iteration: int
    num_timesteps: int

    def catalogue_family(self) -> Family:
        """Return the catalogue's family with the saved preset and changes.

        Raises:
            ValueError: when it is not in the catalogue.
        """
        name = str(self.family["name"])
        if not catalogue.knows(name):
            raise ValueError(
                f"{self.path} was trained on {name}, which is not in the catalogue; "
                f"pass it: load(path, family=...)"
            )
        changes = {field: self.family[field] for field in CHANGEABLE if field in self.family}
        with checkpoint.sound(self.path, "family"):
            return envs.make(name, preset=self.family["preset"], **changes)

    def checked_config(self) -> Config:
        """Return the settings; those that the file lacks, as it is older, have their defaults.

        Raises:
            ValueError: for a value that is not allowed.
        """
        with checkpoint.sound(self.path, "learner"):
            config = Config.of(self.config)
            if isinstance(config.workers, str):
                raise ValueError("workers must be a whole number in a file")
            return config

    def check_changes(self, settings: Mapping[str, Any]) -> None:
        """Check that settings which are changed leave the tensors as they are.

        Raises:
            ValueError: for one that does not, with both values.
        """
        kept, named = self.checked_config(), ("algorithm", *FIXED)
        changed = replace(kept, **{name: settings[name] for name in named if name in settings})
        for name in named:
            was, becomes = getattr(kept, name), getattr(changed, name)
            if was != becomes and (name != "algorithm" or _of_its_own(was) != _of_its_own(becomes)):
                raise ValueError(
                    f"{name} cannot be changed when a checkpoint is loaded: it has {was!r}, "
                    f"got {becomes!r}"
                )

    def check_shapes(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Check the shapes of some tensors, before anything of a size that a file asks for is made.

        Raises:
            ValueError: when others are there.
        """
        with checkpoint.sound(self.path, "learner"):
            shapes = _shapes(self.tensors)
            if any(shapes.get(name) != shape for name, shape in expected.items()):
                raise ValueError(_OTHERS)

    def check_family(self, family: Family) -> None:
        """Check that a family is the one that was trained on.

        Raises:
            ValueError: with its name, or with every field that differs.
        """
        known = family.describe()
        if known["name"] != self.family["name"]:
            known_here = catalogue.knows(self.family["name"])
            mend = "leave it out" if known_here else "give the one it was trained on"
            raise ValueError(
                f"{self.path} was trained on {self.family['name']}, not on {known['name']}, the "
                f"family given here; {mend}"
            )
        difference = "; ".join(
            f"{name} was {_short(value)} and is {_short(known.get(name))}"
            for name, value in self.family.items()
            if name != "source" and known.get(name) != value
        )
        if difference:
            raise ValueError(
                f"{self.path} was trained on {self.family['name']} as it was then, which differs "
                f"from the family given or known here: {difference}. Pass the one it was trained "
                f"on: load(path, family=...), or the option --family"
            )

    def restore(self, initial: State, device: torch.device) -> State:
        """Return the state that was saved, or raise a ValueError when other tensors were.

        Args:
            initial: a new learner's of the same settings, which says what there must be.
            device: where parameters are to be.
        """
        with checkpoint.sound(self.path, "learner"):
            return self._restored(initial, device)

    def _restored(self, initial: State, device: torch.device) -> State:
        # in memory of torch's own: last digits of sums depend on how it is aligned
        tensors = {name: value.clone() for name, value in self.tensors.items()}
        if initial.encoder:
            of_encoder = {n: v for n, v in tensors.items() if n.startswith((_CONTEXT, _ENCODER))}
            known = initial.encoder.learning
            actions = known.cost_of_actions.shape[1]
            both = _CONTEXT, f"{_ENCODER}learning/"
            tensors |= completed(of_encoder, known.transition_size, actions, both)
        optimiser, training = _taken(tensors, _OPTIMISER), _taken(tensors, _ENCODER)
        of_critic = _taken(tensors, _CRITIC)
        # these there are only once an encoder was trained
        trained = {_CONTEXT + name: None for name in (TOLERANCE, BOUNDS)}
        kinds, expected = _kinds(tensors), _kinds(initial.tensors())
        if (kinds | trained) != (expected | trained):
            raise ValueError(_OTHERS)
        check_moments(optimiser, initial.parameters)
        of_context = _taken(tensors, _CONTEXT)
        encoder = initial.encoder and initial.encoder.restored(of_context, training)
        policy = initial.policy
        if policy.normaliser:
            moments = {n: tensors[_OBSERVATION + n] for n in policy.normaliser._fields}
            policy = replace(policy, normaliser=Normaliser(**moments))
        # in the policy's order, as sums over parameters depend on it
        parameters = {name: tensors[name].to(device) for name in initial.parameters}
        optimiser = {name: value.to(device) for name, value in optimiser.items()}
        critic = initial.critic and initial.critic.restored(of_critic)
        parts = {"optimiser": optimiser, "encoder": encoder, "critic": critic}
        done = {"iteration": self.iteration, "num_timesteps": self.num_timesteps}
        return replace(initial, policy=policy, parameters=parameters, **parts, **done)


def read(path: str | Path) -> Saved:
    """Read what `write` wrote.

    Args:
        path: a checkpoint; `.safetensors` may be left out.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is a folder, or the file is damaged or foreign.
    """
    given = path = Path(path)
    if not path.suffix and not path.exists():
        path = path.with_suffix(ENDING)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; of a run folder: metarl.load({str(path)!r})")
    if not path.is_file():
        raise FileNotFoundError(f"there is no run folder or checkpoint {given}")
    tensors, data = checkpoint.read(path)
    with checkpoint.sound(path, "learner"):
        for name in ("iteration", "num_timesteps"):
            if type(data[name]) is not int or not 0 <= data[name] < _MOST:
                raise ValueError(f"{name} must be a whole number of at least 0")
        for name in ("family", "config"):
            if not isinstance(data[name], dict):
                raise ValueError(f"{name} must be an object")
        name = data["family"]["name"]
        if not (isinstance(name, str) and name.isprintable() and len(name) <= _SHOWN):
            raise ValueError("the family's name must be a text of one line")
        return Saved(
            path=path,
            family=data["family"],
            config=data["config"],
            tensors=tensors,
            iteration=data["iteration"],
            num_timesteps=data["num_timesteps"],
        )


def _of_its_own(algorithm: str) -> tuple[bool, bool] | None:
    """Return whether an algorithm has parameters of a context, and rates; None if it is unknown."""
    known = ALGORITHMS.get(algorithm)
    return known and (known.adapts == "context", known.learns_rates)


def _short(value: object) -> str:
    """Return a value as it is shown in a message: a file may hold anything."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove the tensors with a prefix from the mapping; return them without it."""
    return {name: tensors.pop(prefix + name) for name in checkpoint.part(tensors, prefix)}


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype] | None]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
