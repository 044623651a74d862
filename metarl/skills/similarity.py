"""How similar tasks are, as a Siamese encoder sees them in a few seconds of a robot's states.

The encoder learns from rollouts of many tasks under the policy before adaptation, which is what
there is when a new task is met. Its distances tell which known tasks a new one resembles, and
whether it resembles any.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from metarl.agents.contrast import LOSSES
from metarl.agents.siamese import SiameseEncoder
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts
from metarl.learner.config import SimilarityConfig
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase
from metarl.system import checkpoint
from metarl.system.library_threads import one_library_thread

KIND = "similarity"
_CHECK_EVERY, _PATIENCE = 50, 8
_KNOWN_QUANTILE = 0.95


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

    def check(self, learner: MAML) -> None:
        """Check that the encoder was trained on this learner.

        Raises:
            ValueError: when it was trained on another one, or before more training.
        """
        if self.origin != digest(learner):
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
            return self.encoder.forward_once(transitions(rollouts), rollouts.valid)

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
        data = {
            "family": self.family,
            "parameters": list(self.tasks.names),
            "observation_size": self.encoder.observation_size,
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
        try:
            config = SimilarityConfig(**data["config"])
            size = data["observation_size"]
            encoder = SiameseEncoder(
                size,
                len(weights["mean"]) - 2 * size - 1,
                config.embedding_size,
                config.hidden,
                generator=torch.Generator(),
            )
            encoder.load_state_dict(weights)
            tasks = Tasks(tuple(data["parameters"]), tensors["known/tasks"].numpy())
            return cls(
                encoder,
                tasks,
                tensors["known/embeddings"],
                data["threshold"],
                data["family"],
                config,
                data["origin"],
            )
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{path} does not hold a whole encoder: {error}") from None


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
        values, indices = torch.cdist(points, among).topk(k, largest=False)
    return values, indices


def transitions(rollouts: Rollouts) -> Tensor:
    """Return every step as [state, action, reward, next state], [task, rollout, time, transition].

    What follows the end of an episode is padding.
    """
    seen = rollouts.observations
    following = torch.cat([seen[:, :, 1:], rollouts.final_observations.unsqueeze(2)], dim=2)
    last = (rollouts.lengths - 1).clamp_min(0)[..., None, None].expand(*seen.shape[:2], 1, -1)
    last = last.expand(-1, -1, -1, seen.shape[-1])
    following = following.scatter(2, last, rollouts.final_observations.unsqueeze(2))
    return torch.cat([seen, rollouts.actions, rollouts.rewards.unsqueeze(-1), following], dim=-1)


def before_adaptation(learner: MAML, tasks: Tasks, rollouts: int, key: Key) -> Rollouts:
    """Return rollouts of the policy before adaptation.

    Args:
        learner: the learner.
        tasks: as many as wanted.
        rollouts: of each.
        key: decides start states and exploration.
    """
    return learner.sample(tasks, learner.parameters, rollouts, key)


def train_similarity(
    learner: MAML,
    *,
    progress_bar: bool = False,
    **settings: Any,  # noqa: ANN401
) -> Similarity:
    """Train an encoder of a learner's tasks.

    Args:
        learner: the learner; it is not changed. Its device is where training runs.
        progress_bar: show one.
        settings: fields of `SimilarityConfig`.

    Raises:
        ValueError: for an unknown setting or a value that is not allowed, or a family with a
            single task.
    """
    config = SimilarityConfig.of(settings)
    family = learner.family
    if not family.parameters:
        raise ValueError(f"{family.name} has a single task: there is nothing to compare")
    counts = {"train": config.tasks, "held out": max(10, config.tasks // 5)}
    drawn = [
        family.sample_tasks(count, seed=(config.seed, number))
        for number, count in enumerate(counts.values())
    ]
    rollouts = [
        before_adaptation(
            learner, tasks, config.rollouts, Key(config.seed, Phase.SIMILARITY, number)
        )
        for number, tasks in enumerate(drawn)
    ]
    generator = torch.Generator().manual_seed(config.seed)
    encoder = SiameseEncoder(
        family.observation_size,
        family.action_size,
        config.embedding_size,
        config.hidden,
        generator=generator,
    )
    known = transitions(rollouts[0])
    encoder.normalise_to(known[rollouts[0].valid])
    encoder.to(learner.device)
    train, held_out = (
        Pairs(each.to(learner.device), _apart(family.coordinates(tasks)).to(learner.device))
        for each, tasks in zip(rollouts, drawn, strict=True)
    )
    with one_library_thread():
        _fit(encoder, train, held_out, config, generator, progress_bar)
    encoder.cpu()

    origin = digest(learner)
    similarity = Similarity(encoder, drawn[0], torch.empty(0), 0.0, family.name, config, origin)
    embeddings = similarity.embed(rollouts[0])
    from_one = torch.cdist(similarity.embed_each(rollouts[1]).flatten(0, 1), embeddings)
    threshold = float(from_one.min(1).values.quantile(_KNOWN_QUANTILE))
    return Similarity(encoder, drawn[0], embeddings, threshold, family.name, config, origin)


def digest(learner: MAML) -> str:
    """Return a hash of what decides how a learner acts: family, parameters, normaliser."""
    found = hashlib.sha256(json.dumps(learner.family.describe(), default=str).encode())
    tensors = dict(learner.parameters)
    if learner.policy.normaliser:
        tensors |= learner.policy.normaliser._asdict()
    for name, value in tensors.items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


class Pairs:
    """Pairs of windows, two of each of some tasks."""

    def __init__(self, rollouts: Rollouts, apart: Tensor) -> None:
        """Take rollouts, and how different their tasks are, [task, task]."""
        self.rollouts = rollouts
        self.apart = apart
        self.transitions = transitions(rollouts)

    def draw(
        self, count: int, window: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return windows, which of their steps took place, and how different their tasks are.

        Args:
            count: tasks.
            window: control steps.
            generator: draws tasks, rollouts and where windows begin.

        Returns:
            [2, task, time, transition], [2, task, time] and [task, task].
        """
        tasks, rollouts, horizon, _ = self.transitions.shape
        window = min(window, horizon)
        chosen = torch.randperm(tasks, generator=generator)[:count]
        first = torch.randint(rollouts, (len(chosen),), generator=generator)
        shift = torch.randint(1, rollouts, (len(chosen),), generator=generator)
        which = torch.stack([first, (first + shift) % rollouts])  # two different rollouts
        lengths = self.rollouts.lengths.cpu()[chosen, which]
        latest = (lengths - window).clamp_min(0)
        begin = (torch.rand(which.shape, generator=generator) * (latest + 1)).long()
        steps = begin.unsqueeze(-1) + torch.arange(window)
        index = (chosen.view(1, -1, 1), which.unsqueeze(-1), steps)
        apart = self.apart[chosen][:, chosen]
        return self.transitions[index], self.rollouts.valid[index], apart


def _apart(coordinates: NDArray[np.float64]) -> Tensor:
    """Return the distances of tasks, [task, task], relative to their mean."""
    points = torch.from_numpy(coordinates).float()
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (len(points) * (len(points) - 1))
    if mean == 0.0:
        raise ValueError("the family has a single task: there is nothing to compare")
    return distances / mean


def _fit(
    encoder: SiameseEncoder,
    train: Pairs,
    held_out: Pairs,
    config: SimilarityConfig,
    generator: torch.Generator,
    progress_bar: bool,
) -> None:
    """Train until held-out tasks gain nothing more, and keep the best weights."""
    loss = LOSSES[config.loss]

    def score(pairs: Pairs, generator: torch.Generator) -> Tensor:
        windows, valid, apart = pairs.draw(config.batch, config.window, generator)
        first, second = encoder.forward_once(windows, valid)
        # a tiny constant: the root has no gradient at 0
        squares = (first.unsqueeze(1) - second.unsqueeze(0)).square().sum(-1)
        return loss((squares + 1e-12).sqrt(), apart, config.margin)

    optimiser = torch.optim.Adam(encoder.parameters(), lr=config.lr)
    best, best_weights, waited = float("inf"), encoder.state_dict(), 0
    for iteration in tqdm(range(config.iterations), disable=not progress_bar, unit="step"):
        optimiser.zero_grad()
        score(train, generator).backward()
        optimiser.step()
        if (iteration + 1) % _CHECK_EVERY and iteration + 1 < config.iterations:
            continue
        with torch.no_grad():
            checks = torch.Generator().manual_seed(config.seed)  # the same windows every time
            held = float(torch.stack([score(held_out, checks) for _ in range(8)]).mean())
        waited += 1
        if held < best:
            best, waited = held, 0
            best_weights = {n: value.clone() for n, value in encoder.state_dict().items()}
        if waited >= _PATIENCE:
            break
    encoder.load_state_dict(best_weights)
