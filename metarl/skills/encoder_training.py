"""Training of the Siamese encoder on rollouts of many known tasks."""

import copy
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from metarl.agents.contrast import LOSSES, pair_distances
from metarl.agents.siamese import SiameseEncoder
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts
from metarl.experience.transitions import Pairs, task_differences, transitions
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase
from metarl.skills.config import SimilarityConfig
from metarl.skills.similarity import Similarity, before_adaptation, closest
from metarl.system.library_threads import one_library_thread
from metarl.system.progress import bar

_OF_TRAINING = ("loss", "window", "embedding_size", "hidden", "margin", "batch", "lr", "iterations")
"""Settings without effect on the encoder that a policy with a memory already has."""
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
        ValueError: for an unknown setting or a value that is not allowed, a training that diverges,
            a family with a single task, no iterations of a policy without memory, or settings of
            the training of a new encoder for a policy with a memory, whose encoder is used.
    """
    config = SimilarityConfig.of(settings)
    family = learner.family
    memory = learner.state.memory
    if not family.parameters:
        raise ValueError(f"{family.name} has a single task: there is nothing to compare")
    # 0 iterations are those of a policy's own encoder
    asked = replace(config, iterations=config.iterations or SimilarityConfig.iterations)
    for name in _OF_TRAINING:
        if memory and getattr(asked, name) != getattr(SimilarityConfig, name):
            raise ValueError(
                f"{name} configures the training of a new encoder; this policy already has one"
            )
    if not memory and not config.iterations:
        raise ValueError("iterations must be at least 1 for a policy without memory, got 0")
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
    if memory:  # one encoder a run: the one that tells the policy its task
        encoder = copy.deepcopy(memory.encoder)
        config = replace(
            config, embedding_size=encoder.embedding_size, hidden=encoder.hidden, iterations=0
        )
    else:
        encoder = _trained(learner, drawn, rollouts, config, progress_bar)
    origin = learner.fingerprint
    similarity = Similarity(encoder, drawn[0], torch.empty(0), 0.0, family.name, config, origin)
    embeddings = similarity.embed(rollouts[0])
    points = similarity.embed_each(rollouts[1]).flatten(0, 1)
    from_one, _ = closest(points, embeddings, 1, "known tasks")
    threshold = float(from_one.quantile(_KNOWN_QUANTILE))
    return replace(similarity, embeddings=embeddings, threshold=threshold)


def _trained(
    learner: MAML,
    drawn: list[Tasks],
    rollouts: list[Rollouts],
    config: SimilarityConfig,
    progress_bar: bool,
) -> SiameseEncoder:
    """Return an encoder trained on the first tasks' rollouts until the second ones gain nothing."""
    family = learner.family
    generator = torch.Generator().manual_seed(config.seed)
    encoder = SiameseEncoder(
        family.observation_size,
        family.action_size,
        config.embedding_size,
        config.hidden,
        action_limit=1.0 / family.action_scale,
        cost_of_actions=torch.from_numpy(family.cost_of_actions),
        generator=generator,
    )
    windows = [transitions(part, encoder) for part in rollouts]
    encoder.normalise_to(windows[0][rollouts[0].valid])
    encoder.to(learner.device)
    train, held_out = (
        Pairs(
            window.to(learner.device),
            part.valid.to(learner.device),
            task_differences(family.coordinates(tasks)).to(learner.device),
        )
        for window, part, tasks in zip(windows, rollouts, drawn, strict=True)
    )
    with one_library_thread():
        _fit(encoder, train, held_out, config, generator, progress_bar)
    return encoder.cpu()


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
        return loss(pair_distances(encoder, windows, valid), apart, config.margin)

    optimiser = torch.optim.Adam(encoder.parameters(), lr=config.lr)
    best, best_weights, waited = float("inf"), encoder.state_dict(), 0
    for iteration in bar(range(config.iterations), show=progress_bar, unit="step"):
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
    if not math.isfinite(best):
        raise ValueError(
            f"training of the encoder diverged with lr={config.lr:g}: a smaller one may help"
        )
    encoder.load_state_dict(best_weights)
