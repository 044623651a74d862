"""What an outer step improves: the return after adaptation, as a function of common parameters.

Everything here is a function of the parameters *before* adaptation; gradients pass through it.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vmap

from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import Parameters
from metarl.algorithms.adapt import Inner, adapt, adapt_tasks
from metarl.algorithms.losses import Policy, clipped, likelihood_ratio, mean_kl
from metarl.algorithms.trust_region import Evaluation, Product, fisher_product
from metarl.experience.rollouts import Batch, evenly_spaced


class Terms(NamedTuple):
    """What the outer loss is made of, besides the surrogate return after adaptation."""

    clip: float | None = None
    """How far ratios of probabilities after adaptation may be from 1 and still gain; None for any
    distance (Schulman et al. 2017, "PPO")."""
    inner_kl_penalty: float = 0.0
    """Times the KL divergence of the policies before each inner step from those that sampled
    (Rothfuss et al. 2018, "ProMP", eq. 13)."""
    exploration_weight: float = 0.0
    """Times the credit to rollouts before adaptation for the return after it (Stadie et al. 2018,
    "E-MAML", eq. 3)."""
    entropy_bonus: float = 0.0
    """Times the entropy of the adapted policies [nat]."""


@dataclass(frozen=True, eq=False)
class Objective:
    """Some tasks' data, and the loss that it makes of common parameters."""

    policy: Policy
    pre: tuple[Batch, ...]
    """One an inner step, [task, rollout, time, ...], each sampled with the parameters before it;
    none for a policy that does not adapt."""
    post: Batch
    """Sampled with the adapted parameters, [task, rollout, time, ...]."""
    inner: Inner
    terms: Terms
    old_pre: tuple[Gaussian, ...]
    """The distributions that sampled `pre`, [task, rollout, time, action]; the log-stds' leading
    axes are [task, 1, 1]."""
    old_post: Gaussian
    """The distributions that sampled `post`."""
    credit: Tensor
    """What the rollouts before adaptation earned, [task]; see `exploration_credit`."""

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return len(self.post.weights)

    def evaluate(self, parameters: Parameters) -> Evaluation:
        """Return the outer loss and how far the adapted policies are from those that sampled.

        Both are means over tasks of each task's mean over valid steps.
        """

        def one(
            parameters: Parameters,
            pre: tuple[Batch, ...],
            post: Batch,
            old_pre: tuple[Gaussian, ...],
            old_post: Gaussian,
            credit: Tensor,
        ) -> tuple[Tensor, Tensor]:
            stages = adapt(self.policy, parameters, pre, self.inner)
            new = self.policy(stages[-1], post.observations)
            loss = self._post_loss(new, post)
            if self.terms.inner_kl_penalty or self.terms.exploration_weight:
                for stage, batch, old in zip(stages, pre, old_pre, strict=False):
                    before = self.policy(stage, batch.observations)
                    loss = loss + self._pre_loss(before, old, batch, credit)
            return loss, mean_kl(old_post, new, post.weights)

        losses, divergences = vmap(one, in_dims=(None, 0, 0, 0, 0, 0))(
            dict(parameters),
            self.pre,
            self.post,
            self.old_pre,
            self.old_post,
            self.credit,
        )
        return Evaluation(losses.mean(), divergences.mean())

    def gradient(self, parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outer loss and its gradient through the adaptation."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        loss = self.evaluate(leaves).loss
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        return loss.detach(), dict(zip(leaves, gradients, strict=True))

    def subset(self, fraction: float) -> "Objective":
        """Return the objective of evenly spaced rollouts, `fraction` of those of each task."""
        rollouts = self.post.weights.shape[1]
        chosen = evenly_spaced(rollouts, fraction)
        if len(chosen) == rollouts:
            return self
        old_pre = tuple(old._replace(mean=old.mean[:, chosen]) for old in self.old_pre)
        return replace(
            self,
            pre=tuple(batch.subset(fraction) for batch in self.pre),
            post=self.post.subset(fraction),
            old_pre=old_pre,
            old_post=self.old_post._replace(mean=self.old_post.mean[:, chosen]),
        )

    def fisher(self, parameters: Parameters, fraction: float = 1.0) -> Product:
        """Return v -> F v, the Fisher matrix of the adapted policies by the common parameters.

        Args:
            parameters: where.
            fraction: the part of each task's rollouts that it is computed from.
        """
        part = self.subset(fraction)

        def one(parameters: Parameters, pre: tuple[Batch, ...], post: Batch) -> Gaussian:
            adapted = adapt(self.policy, parameters, pre, self.inner)[-1]
            return self.policy(adapted, post.observations)

        def distributions(parameters: Parameters) -> Gaussian:
            return vmap(one, in_dims=(None, 0, 0))(dict(parameters), part.pre, part.post)

        return fisher_product(distributions, parameters, part.post.weights)

    def adapted_mean(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return the mean of all tasks' parameters after a step on each batch, `post` included."""
        adapted = adapt_tasks(self.policy, parameters, (*self.pre, self.post), self.inner)[-1]
        return {name: value.mean(0) for name, value in adapted.items()}

    def _post_loss(self, new: Gaussian, post: Batch) -> Tensor:
        """Return one task's loss after adaptation."""
        clip, bonus = self.terms.clip, self.terms.entropy_bonus
        loss = likelihood_ratio(new, post) if clip is None else clipped(new, post, clip)
        return loss - bonus * (post.weights * new.entropy()).sum() if bonus else loss

    def _pre_loss(self, new: Gaussian, old: Gaussian, batch: Batch, credit: Tensor) -> Tensor:
        """Return one task's loss before an inner step."""
        divergence = mean_kl(old, new, batch.weights)
        credited = batch._replace(advantages=credit.expand(batch.weights.shape))
        return (
            self.terms.inner_kl_penalty * divergence
            + self.terms.exploration_weight * likelihood_ratio(new, credited)
        )


def exploration_credit(post: Batch) -> Tensor:
    """Return what the rollouts of each task before adaptation earned after it, [task].

    The derivative of the return after adaptation by the distribution that sampled the rollouts
    before it is the expectation of sum_k grad log p(rollout_k) * (R' - b), for the mean return R'
    of the rollouts after (Stadie et al. 2018, eq. 3). The baseline b is the mean of the other
    tasks, which is independent of this one's rollouts. A weighted mean over the K rollouts stands
    for the sum, hence the factor K.

    Args:
        post: sampled with the adapted parameters, [task, rollout, time, ...].
    """
    tasks, rollouts = post.rewards.shape[:2]
    returns = post.rewards.sum(-1).mean(1)
    if tasks == 1:
        return rollouts * returns
    others = (returns.sum() - returns) / (tasks - 1)
    return rollouts * (returns - others)
