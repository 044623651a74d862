"""The objective of all tasks, computed by threads from those of chunks of tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metarl.agents.policy import Parameters
from metarl.algorithms.fisher import Product
from metarl.algorithms.objective import LossAndKL, Objective, OuterObjective
from metarl.algorithms.objective_by_hand import ObjectiveByHand, applies
from metarl.experience.rollouts import evenly_spaced
from metarl.system.task_threads import TaskThreads, cut


@dataclass(frozen=True, eq=False)
class ObjectiveInChunks:
    """The objective of all tasks, as the mean of those of chunks of them.

    See `metarl.algorithms.objective.OuterObjective` for its methods.
    """

    whole: Objective
    """Of all tasks."""
    by_hand: bool
    """Whether the chunks are `ObjectiveByHand`."""
    threads: TaskThreads
    fisher_fraction: float
    """The part of each task's rollouts that Fisher products are computed from, in (0, 1]. They are
    the most expensive part of an update and need the least data: docs/speed.md has returns for a
    tenth and for a fifth of the rollouts."""
    chunks: Sequence[OuterObjective]

    @classmethod
    def of(
        cls,
        objective: Objective,
        parameters: Parameters,
        threads: TaskThreads,
        fisher_fraction: float = 1.0,
    ) -> "ObjectiveInChunks":
        """Return an objective in chunks, with derivatives by hand where those are known.

        Args:
            objective: of all tasks.
            parameters: such as it is to be a function of; only their names matter.
            threads: work on the chunks.
            fisher_fraction: the part of each task's rollouts that Fisher products are computed
                from, in (0, 1].
        """
        by_hand = applies(objective, parameters)
        chunks = _in_chunks(objective, by_hand, threads, fraction=1.0)
        return cls(objective, by_hand, threads, fisher_fraction, chunks)

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return self.whole.tasks

    def evaluate(self, parameters: Parameters) -> LossAndKL:
        """Return the outer loss and the KL divergence after adaptation, without gradients."""

        def evaluate(chunk: OuterObjective) -> LossAndKL:
            with torch.no_grad():  # holds for the thread that enters it only
                return chunk.evaluate(parameters)

        losses, divergences = zip(*self.threads.map(evaluate, self.chunks), strict=True)
        return LossAndKL(_mean(self.chunks, losses), _mean(self.chunks, divergences))

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss and its gradient through the adaptation."""
        results = self.threads.map(lambda chunk: chunk.gradient(parameters), self.chunks)
        losses, gradients = zip(*results, strict=True)
        return _mean(self.chunks, losses), _mean_by_name(self.chunks, gradients)

    def fisher(self, parameters: Parameters) -> Product:
        """Return v -> F v, from `fisher_fraction` of the rollouts."""
        # chunks anew, with more tasks in each: with a tenth of their rollouts the others would be
        # so small that threads spend their time in Python
        chunks = _in_chunks(self.whole, self.by_hand, self.threads, self.fisher_fraction)
        products = self.threads.map(lambda chunk: chunk.fisher(parameters), chunks)

        def product(vector: Tensor) -> Tensor:
            return _mean(chunks, self.threads.map(lambda factor: factor(vector), products))

        return product

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean over tasks of the parameters after a step on each batch."""

        def adapted_mean(chunk: OuterObjective) -> dict[str, Tensor]:
            with torch.no_grad():
                return chunk.adapted_mean(parameters)

        return _mean_by_name(self.chunks, self.threads.map(adapted_mean, self.chunks))


def _in_chunks(
    objective: Objective, by_hand: bool, threads: TaskThreads, fraction: float
) -> list[OuterObjective]:
    """Return the objectives of chunks of tasks, from a fraction of their rollouts."""

    def of(tasks: slice) -> OuterObjective:
        chunk = replace(objective, sampled=cut(objective.sampled, tasks)).subset(fraction)
        return ObjectiveByHand.of(chunk) if by_hand else chunk

    _, rollouts, steps = objective.sampled.post.weights.shape
    rows = len(evenly_spaced(rollouts, fraction)) * steps
    return threads.map(of, threads.chunks(objective.tasks, rows))


def _mean(chunks: Sequence[OuterObjective], values: Sequence[Tensor]) -> Tensor:
    """Return the mean over all tasks of the chunks' means over their own.

    The order of the sum is that of the chunks, whichever is ready first, so that rounding does not
    depend on the threads.
    """
    total = sum(chunk.tasks for chunk in chunks)
    result = torch.zeros_like(values[0])
    for chunk, value in zip(chunks, values, strict=True):
        result = result + chunk.tasks / total * value
    return result


def _mean_by_name(
    chunks: Sequence[OuterObjective], values: Sequence[dict[str, Tensor]]
) -> dict[str, Tensor]:
    return {name: _mean(chunks, [value[name] for value in values]) for name in values[0]}
