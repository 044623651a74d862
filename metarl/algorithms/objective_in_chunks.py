"""The objective of all tasks, worked out in chunks of them by threads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metarl.agents.policy import Parameters
from metarl.algorithms.objective import Objective
from metarl.algorithms.objective_by_hand import MLPObjective, applies
from metarl.algorithms.trust_region import Evaluation, Product
from metarl.experience.rollouts import evenly_spaced
from metarl.system.task_threads import TaskThreads, cut


@dataclass(frozen=True, eq=False)
class Objectives:
    """The objective of all tasks, as the mean of those of chunks of them."""

    whole: Objective
    """Of all tasks."""
    by_hand: bool
    """Whether its derivatives are those of `MLPObjective`."""
    threads: TaskThreads
    parts: Sequence[Objective | MLPObjective]
    """The chunks."""

    @classmethod
    def of(cls, objective: Objective, parameters: Parameters, threads: TaskThreads) -> "Objectives":
        """Return the objective of all tasks, cut into chunks, by hand where that is worked out.

        Args:
            objective: of all tasks.
            parameters: such as it is to be a function of.
            threads: work on the chunks.
        """
        by_hand = applies(objective, parameters)
        return cls(objective, by_hand, threads, _cut(objective, by_hand, threads, 1.0))

    def evaluate(self, parameters: Parameters) -> Evaluation:
        """Return the outer loss and the KL divergence, without gradients."""

        def part(objective: Objective | MLPObjective) -> Evaluation:
            with torch.no_grad():
                return objective.evaluate(parameters)

        losses, divergences = zip(*self.threads.map(part, self.parts), strict=True)
        return Evaluation(_mean(self.parts, losses), _mean(self.parts, divergences))

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss and its gradient through the adaptation."""
        found = self.threads.map(lambda part: part.gradient(parameters), self.parts)
        losses, gradients = zip(*found, strict=True)
        return _mean(self.parts, losses), _means(self.parts, gradients)

    def fisher(self, parameters: Parameters, fraction: float) -> Product:
        """Return v -> F v; see `Objective.fisher`.

        Args:
            parameters: where.
            fraction: the part of each task's rollouts that it is computed from.
        """
        # fewer rollouts of more tasks: chunks too small would be all overhead
        parts = _cut(self.whole, self.by_hand, self.threads, fraction)
        products = self.threads.map(lambda part: part.fisher(parameters), parts)

        def product(vector: Tensor) -> Tensor:
            return _mean(parts, self.threads.map(lambda each: each(vector), products))

        return product

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean of all tasks' adapted parameters; see `Objective.adapted_mean`."""

        def part(objective: Objective | MLPObjective) -> dict[str, Tensor]:
            with torch.no_grad():
                return objective.adapted_mean(parameters)

        return _means(self.parts, self.threads.map(part, self.parts))


def _cut(
    objective: Objective, by_hand: bool, threads: TaskThreads, fraction: float
) -> list[Objective | MLPObjective]:
    """Return the chunks of an objective, or of a fraction of its rollouts."""

    def part(chunk: slice) -> Objective | MLPObjective:
        own = replace(
            objective,
            pre=tuple(cut(batch, chunk) for batch in objective.pre),
            post=cut(objective.post, chunk),
            old_pre=tuple(cut(old, chunk) for old in objective.old_pre),
            old_post=cut(objective.old_post, chunk),
            credit=objective.credit[chunk],
        )
        own = own.subset(fraction)
        return MLPObjective.of(own) if by_hand else own

    _, rollouts, steps = objective.post.weights.shape
    rows = len(evenly_spaced(rollouts, fraction)) * steps
    return threads.map(part, threads.chunks(objective.tasks, rows))


def _mean(parts: Sequence[Objective | MLPObjective], values: Sequence[Tensor]) -> Tensor:
    """Return the mean over tasks of means over the parts' tasks, added up in their order."""
    total = sum(part.tasks for part in parts)
    result = torch.zeros_like(values[0])
    for part, value in zip(parts, values, strict=True):
        result = result + part.tasks / total * value
    return result


def _means(
    parts: Sequence[Objective | MLPObjective], values: Sequence[dict[str, Tensor]]
) -> dict[str, Tensor]:
    return {name: _mean(parts, [value[name] for value in values]) for name in values[0]}
