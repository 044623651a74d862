"""Training of the Siamese encoder on rollouts of many known tasks."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from metarl.agents.contrast import LOSSES
from metarl.agents.siamese import SiameseEncoder
from metarl.experience.rollouts import Rollouts
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase
from metarl.skills.config import SimilarityConfig
from metarl.skills.similarity import Similarity, before_adaptation, transitions
from metarl.system.library_threads import one_library_thread

_CHECK_EVERY, _PATIENCE = 50, 8
_KNOWN_QUANTILE = 0.95


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

    origin = learner.fingerprint
    similarity = Similarity(encoder, drawn[0], torch.empty(0), 0.0, family.name, config, origin)
    embeddings = similarity.embed(rollouts[0])
    from_one = torch.cdist(similarity.embed_each(rollouts[1]).flatten(0, 1), embeddings)
    threshold = float(from_one.min(1).values.quantile(_KNOWN_QUANTILE))
    return Similarity(encoder, drawn[0], embeddings, threshold, family.name, config, origin)


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
