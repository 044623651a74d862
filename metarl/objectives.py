"""The objective of all tasks, worked out in chunks of them by threads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agents.policy import Parameters
from metarl.mlp_objective import MLPObjective, applies
from metarl.objective import Objective
from metarl.task_threads import TaskThreads, cut
from metarl.trust_region import Evaluation, Product


@dataclass(frozen=True, eq=False)
class Objectives:
    """The objective of all tasks, as the mean of those of chunks of them."""

    parts: Sequence[Objective | MLPObjective]
    threads: TaskThreads

    @classmethod
    def of(cls, objective: Objective, parameters: Parameters, threads: TaskThreads) -> "Objectives":
        """Return the objective of all tasks, cut into chunks, by hand where that is worked out.

        Args:
            objective: of all tasks.
            parameters: such as it is to be a function of.
            threads: work on the chunks.
        """
        by_hand = applies(objective, parameters)

        def part(chunk: slice) -> Objective | MLPObjective:
            own = replace(
                objective,
                pre=tuple(cut(batch, chunk) for batch in objective.pre),
                post=cut(objective.post, chunk),
                old_pre=tuple(cut(old, chunk) for old in objective.old_pre),
                old_post=cut(objective.old_post, chunk),
                credit=objective.credit[chunk],
            )
            return MLPObjective.of(own) if by_hand else own

        chunks = threads.chunks(objective.tasks, objective.post.weights[0].numel())
        return cls(threads.map(part, chunks), threads)

    def evaluate(self, parameters: Parameters) -> Evaluation:
        """Return the outer loss and the KL divergence, without gradients."""

        def part(objective: Objective | MLPObjective) -> Evaluation:
            with torch.no_grad():
                return objective.evaluate(parameters)

        losses, divergences = zip(*self.threads.map(part, self.parts), strict=True)
        return Evaluation(self._mean(losses), self._mean(divergences))

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss and its gradient through the adaptation."""
        found = self.threads.map(lambda part: part.gradient(parameters), self.parts)
        losses, gradients = zip(*found, strict=True)
        names = list(gradients[0])
        return self._mean(losses), {n: self._mean([g[n] for g in gradients]) for n in names}

    def fisher(self, parameters: Parameters, fraction: float) -> Product:
        """Return v -> F v; see `Objective.fisher`."""
        products = self.threads.map(lambda part: part.fisher(parameters, fraction), self.parts)

        def product(vector: Tensor) -> Tensor:
            return self._mean(self.threads.map(lambda each: each(vector), products))

        return product

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean of all tasks' adapted parameters; see `Objective.adapted_mean`."""

        def part(objective: Objective | MLPObjective) -> dict[str, Tensor]:
            with torch.no_grad():
                return objective.adapted_mean(parameters)

        means = self.threads.map(part, self.parts)
        return {name: self._mean([mean[name] for mean in means]) for name in means[0]}

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        """Return the mean over tasks of means over the parts' tasks, added up in their order."""
        total = sum(part.tasks for part in self.parts)
        result = torch.zeros_like(values[0])
        for part, value in zip(self.parts, values, strict=True):
            result = result + part.tasks / total * value
        return result
