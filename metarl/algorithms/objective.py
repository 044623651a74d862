"""The outer objective: the return after adaptation, as a function of the common parameters.

`OuterObjective` is the protocol that outer steps are written against. `Objective` is its general
form, which autograd differentiates; `objective_by_hand` has a faster one for the most common case,
and `objective_in_chunks` puts the objective of all tasks together from those of chunks of them.

Everything here is a function of the parameters *before* adaptation; gradients pass through it
(Finn et al. 2017, eq. 4).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.func import vmap

from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import Parameters
from metarl.algorithms.adapt import Inner, adapt, adapt_tasks
from metarl.algorithms.fisher import Product, fisher_product
from metarl.algorithms.losses import Policy, clipped, likelihood_ratio, mean_kl
from metarl.algorithms.meta_batch import MetaBatch
from metarl.experience.rollouts import Batch


class LossAndKL(NamedTuple):
    """The outer loss at some parameters, and how far their adapted policies are from the old."""

    loss: Tensor
    """Minus the surrogate return after adaptation, with the other terms of `Terms`; a scalar."""
    kl: Tensor
    """Mean KL(old || new) of the adapted policies [nat], a scalar."""


class OuterObjective(Protocol):
    """What an outer step lowers, on some tasks' data.

    Losses, divergences and derivatives are means over tasks of each task's mean over its valid
    steps. Parameters are those common to all tasks, before adaptation, without a task axis.
    """

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        ...

    def evaluate(self, parameters: Parameters) -> LossAndKL:
        """Return the outer loss and the KL divergence after adaptation."""
        ...

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss, a scalar, and its gradient through the adaptation, by name."""
        ...

    def fisher(self, parameters: Parameters) -> Product:
        """Return v -> F v for the Fisher matrix of the adapted policies at these parameters."""
        ...

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean over tasks of the parameters after a step on each batch.

        The rollouts after adaptation count as the data of one more step.
        """
        ...


class Terms(NamedTuple):
    """What the outer loss is made of, besides the surrogate return after adaptation."""

    clip: float | None = None
    """How far ratios of probabilities after adaptation may be from 1 and still gain; None for any
    distance (Schulman et al. 2017, "PPO", eq. 7)."""
    inner_kl_penalty: float = 0.0
    """Times KL(old || new) of the policies before each inner step (Rothfuss et al. 2018, "ProMP",
    eq. 13)."""
    exploration_weight: float = 0.0
    """Times the credit to rollouts before adaptation for the return after it (Stadie et al. 2018,
    "E-MAML", eq. 3)."""
    entropy_bonus: float = 0.0
    """Times the entropy of the adapted policies [nat]."""


def surrogate(new: Gaussian, post: Batch, terms: Terms) -> Tensor:
    """Return the loss after adaptation, a scalar.

    Args:
        new: the adapted policy's distributions, [..., action].
        post: sampled after adaptation, [...] each; its weights say what the loss is a mean of.
        terms: of the outer loss; those before adaptation do not count here.
    """
    clip, bonus = terms.clip, terms.entropy_bonus
    loss = likelihood_ratio(new, post) if clip is None else clipped(new, post, clip)
    return loss - bonus * (post.weights * new.entropy()).sum() if bonus else loss


@dataclass(frozen=True, eq=False)
class Objective:
    """The outer objective of any policy, inner step and terms, differentiated by autograd.

    See `OuterObjective` for its methods.
    """

    policy: Policy
    inner: Inner
    terms: Terms
    sampled: MetaBatch

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return self.sampled.tasks

    def subset(self, fraction: float) -> "Objective":
        """Return the objective of `fraction` of the rollouts of each task, evenly spaced."""
        return replace(self, sampled=self.sampled.subset(fraction))

    def evaluate(self, parameters: Parameters) -> LossAndKL:
        """Return the outer loss and the KL divergence after adaptation."""

        def one(parameters: Parameters, sampled: MetaBatch) -> tuple[Tensor, Tensor]:
            stages = adapt(self.policy, parameters, sampled.pre, self.inner)
            new = self.policy(stages[-1], sampled.post.observations)
            loss = surrogate(new, sampled.post, self.terms)
            if self.terms.inner_kl_penalty or self.terms.exploration_weight:
                # the last stage is the adapted one, which no inner step follows
                befores = zip(stages[:-1], sampled.pre, sampled.old_pre, strict=True)
                for stage, batch, old in befores:
                    before = self.policy(stage, batch.observations)
                    loss = loss + self._pre_loss(before, old, batch, sampled.credit)
            return loss, mean_kl(sampled.old_post, new, sampled.post.weights)

        losses, divergences = vmap(one, in_dims=(None, 0))(dict(parameters), self.sampled)
        return LossAndKL(losses.mean(), divergences.mean())

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss and its gradient through the adaptation."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        loss = self.evaluate(leaves).loss
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        return loss.detach(), dict(zip(leaves, gradients, strict=True))

    def fisher(self, parameters: Parameters) -> Product:
        """Return v -> F v; see `metarl.algorithms.fisher`."""

        def one(parameters: Parameters, sampled: MetaBatch) -> Gaussian:
            adapted = adapt(self.policy, parameters, sampled.pre, self.inner)[-1]
            return self.policy(adapted, sampled.post.observations)

        def distributions(parameters: Parameters) -> Gaussian:
            return vmap(one, in_dims=(None, 0))(dict(parameters), self.sampled)

        return fisher_product(distributions, parameters, self.sampled.post.weights)

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean over tasks of the parameters after a step on each batch."""
        batches = (*self.sampled.pre, self.sampled.post)
        adapted = adapt_tasks(self.policy, parameters, batches, self.inner)[-1]
        return {name: value.mean(0) for name, value in adapted.items()}

    def _pre_loss(self, new: Gaussian, old: Gaussian, batch: Batch, credit: Tensor) -> Tensor:
        """Return one task's loss before an inner step: KL penalty and exploration credit."""
        divergence = mean_kl(old, new, batch.weights)
        # one number for the whole task: all its steps share in what they led to
        credited = batch._replace(advantages=credit.expand(batch.weights.shape))
        return (
            self.terms.inner_kl_penalty * divergence
            + self.terms.exploration_weight * likelihood_ratio(new, credited)
        )
