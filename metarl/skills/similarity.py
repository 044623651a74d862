"""How similar tasks are, as a Siamese encoder sees them in a few seconds of a robot's states.

The encoder learns from rollouts of many tasks under the policy before adaptation, which is what
there is when a new task is met. Its distances tell which known tasks a new one resembles, and
whether it resembles any.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.policy import Parameters
from metarl.agents.siamese import SiameseEncoder, completed
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts
from metarl.experience.transitions import transitions
from metarl.learner.inner_loop import Fingerprinted
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key
from metarl.skills.config import SimilarityConfig
from metarl.system import checkpoint
from metarl.system.library_threads import one_library_thread

KIND = "similarity"


@dataclass(frozen=True, eq=False)
class Similarity:
    """A trained encoder with the tasks it knows."""

    encoder: SiameseEncoder
    tasks: Tasks
    """The known ones."""
    embeddings: Tensor
    """Of the known tasks, each the mean over its rollouts, [task, embedding]."""
    threshold: float
    """Beyond this distance from every known task, one rollout tells that a task is new."""
    family: str
    config: SimilarityConfig
    origin: str
    """A digest of the policy whose rollouts it knows."""

    def check(self, learner: Fingerprinted) -> None:
        """Check that the encoder was trained on this learner.

        Raises:
            ValueError: when it was trained on another one, or before more training.
        """
        if self.origin != learner.fingerprint:
            raise ValueError(
                f"the encoder was trained on another policy than this learner's, of "
                f"{self.family}; train one for it: train_similarity(learner)"
            )

    def embed(self, rollouts: Rollouts) -> Tensor:
        """Return the embedding of every task, the mean over its rollouts, [task, embedding]."""
        return self.embed_each(rollouts).mean(1)

    @torch.no_grad()
    def embed_each(self, rollouts: Rollouts) -> Tensor:
        """Return the embedding of every rollout, [task, rollout, embedding]."""
        # one thread: waking others takes longer than this does
        with one_library_thread():
            return self.encoder.forward_once(transitions(rollouts, self.encoder), rollouts.valid)

    def distances(self, rollouts: Rollouts) -> Tensor:
        """Return how far every task is from every known one, [task, known]."""
        return torch.cdist(self.embed(rollouts), self.embeddings)

    def nearest(self, rollouts: Rollouts, k: int = 1) -> tuple[Tensor, Tensor]:
        """Return the distances and the numbers of the k nearest known tasks, each [task, k]."""
        return closest(self.embed(rollouts), self.embeddings, k, "known tasks")

    def is_novel(self, rollouts: Rollouts) -> NDArray[np.bool_]:
        """Return whether each task is unlike all known ones, [task]."""
        return self.beyond(self.embed(rollouts))

    def beyond(self, points: Tensor) -> NDArray[np.bool_]:
        """Return whether each embedding is farther than the threshold from all known ones, [task].

        Args:
            points: [task, embedding].
        """
        return (
            closest(points, self.embeddings, 1, "known tasks")[0][:, 0] > self.threshold
        ).numpy()

    def save(self, path: str | Path) -> None:
        """Write it to one file, whole or not at all."""
        checkpoint.write(Path(path), *self.contents(), kind=KIND)

    def contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return it as tensors by name and plain data."""
        tensors = {f"encoder/{name}": value for name, value in self.encoder.state_dict().items()}
        tensors |= {
            "known/tasks": torch.from_numpy(self.tasks.values.copy()),
            "known/embeddings": self.embeddings,
        }
        limit = self.encoder.action_limit
        data = {
            "family": self.family,
            "parameters": list(self.tasks.names),
            "observation_size": self.encoder.observation_size,
            "sees_change_of_reward": True,
            # JSON has no infinity
            "action_limit": limit if math.isfinite(limit) else None,
            "threshold": self.threshold,
            "origin": self.origin,
            "config": asdict(self.config),
            "versions": checkpoint.versions(),
        }
        return tensors, data

    @classmethod
    def load(cls, path: str | Path) -> "Similarity":
        """Return what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file is damaged or of another kind.
        """
        path = Path(path)
        return cls.of(path, *checkpoint.read(path, kind=KIND))

    @classmethod
    def of(cls, path: Path, tensors: dict[str, Tensor], data: dict[str, Any]) -> "Similarity":
        """Return what `contents` gave; `path` is for messages."""
        weights = {
            name.removeprefix("encoder/"): value
            for name, value in tensors.items()
            if name.startswith("encoder/")
        }
        with checkpoint.sound(path, "encoder"):
            config = SimilarityConfig.of(data["config"])
            size = len(weights["mean"]) + (0 if data.get("sees_change_of_reward") else 1)
            observation_size = _size_of(data["observation_size"], size)
            actions = size - 2 * observation_size - 2
            weights = completed(weights, size, actions)
            _check_sizes(config, weights)
            encoder = SiameseEncoder(
                observation_size,
                actions,
                config.embedding_size,
                config.hidden,
                products=len(weights["each.0.bias"]) == 2 * config.hidden,
                action_limit=float(data.get("action_limit") or math.inf),
                generator=torch.Generator(),
            )
            encoder.load_state_dict(weights)
            tasks = Tasks(tuple(data["parameters"]), tensors["known/tasks"].numpy())
            embeddings = tensors["known/embeddings"]
            if embeddings.shape != (len(tasks), config.embedding_size):
                raise ValueError("not every known task has an embedding")
            return cls(
                encoder,
                tasks,
                embeddings.float(),
                float(data["threshold"]),
                str(data["family"]),
                config,
                str(data["origin"]),
            )


def _size_of(observation_size: Any, transition: int) -> int:  # noqa: ANN401
    """Return the size of observations that a file states, which leaves room for actions."""
    if type(observation_size) is not int or not 0 < 2 * observation_size + 2 < transition:
        raise ValueError(f"observation_size does not go with {transition} numbers a transition")
    return observation_size


def _check_sizes(config: SimilarityConfig, weights: Parameters) -> None:
    """Check sizes that a file states against its tensors, before an encoder of them is made."""
    transition = len(weights["mean"])
    first = len(weights["each.0.bias"])  # twice the width where the first layer has products
    shapes = {
        "each.0.weight": (first, transition),
        "each.2.weight": (config.hidden, config.hidden),
        "whole.2.bias": (config.embedding_size,),
    }
    stated = all(tuple(weights[name].shape) == shape for name, shape in shapes.items())
    if not stated or first not in (config.hidden, 2 * config.hidden):
        raise ValueError("it holds other weights than its settings call for")


def closest(points: Tensor, among: Tensor, k: int, what: str) -> tuple[Tensor, Tensor]:
    """Return the distances and the numbers of the k nearest embeddings, each [task, k].

    Args:
        points: [task, embedding].
        among: [known, embedding].
        k: how many.
        what: the known ones are, for messages.

    Raises:
        ValueError: for more than there are.
    """
    if not 1 <= k <= len(among):
        raise ValueError(f"k must be 1 to {len(among)}, the {what}, got {k}")
    with one_library_thread():  # waking others takes longer than this does
        if len(points) == 1:  # a third of cdist's time: 74 us against 220 for 5,000 of 16 numbers
            distances = torch.linalg.vector_norm(among - points, dim=1)[None]
        else:
            # exact: by matrix products, what is alike would be up to 0.05 apart
            exact = "donot_use_mm_for_euclid_dist"
            distances = torch.cdist(points, among, compute_mode=exact)
        values, indices = distances.topk(k, largest=False)
    return values, indices


def before_adaptation(learner: MAML, tasks: Tasks, rollouts: int, key: Key) -> Rollouts:
    """Return rollouts of the policy before adaptation.

    Args:
        learner: the learner.
        tasks: as many as wanted.
        rollouts: of each.
        key: decides start states and exploration.
    """
    return learner.sample(tasks, learner.parameters, rollouts, key)
