"""`MetaBatch`: what was sampled of several tasks in one iteration, before and after adaptation."""

from typing import NamedTuple

from torch import Tensor

from metarl.agents.gaussian import Gaussian
from metarl.experience.rollouts import Batch, evenly_spaced


class MetaBatch(NamedTuple):
    """The data of an outer step; every tensor has a leading task axis.

    `metarl.system.task_threads.cut` takes some tasks of it, and `torch.func.vmap` one at a time.
    """

    pre: tuple[Batch, ...]
    """One an inner step, [task, rollout, time, ...], each sampled with the parameters before it;
    none for a policy that does not adapt."""
    post: Batch
    """Sampled with the adapted parameters, [task, rollout, time, ...]."""
    old_pre: tuple[Gaussian, ...]
    """The distributions that sampled `pre`: means [task, rollout, time, action], log-stds
    [task, 1, 1, action]."""
    old_post: Gaussian
    """The distributions that sampled `post`, in the same shapes."""
    credit: Tensor
    """What the rollouts before adaptation earned, [task]; see `exploration_credit`. It is stored
    and not computed from `post`, because its baseline needs all tasks, of which a part is cut."""

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return len(self.post.weights)

    def subset(self, fraction: float) -> "MetaBatch":
        """Return evenly spaced rollouts, `fraction` of those of each task; see `Batch.subset`."""
        rollouts = self.post.weights.shape[1]
        chosen = evenly_spaced(rollouts, fraction)
        if len(chosen) == rollouts:
            return self

        def part(old: Gaussian) -> Gaussian:
            return old._replace(mean=old.mean[:, chosen])  # the log-std is common to rollouts

        return self._replace(
            pre=tuple(batch.subset(fraction) for batch in self.pre),
            post=self.post.subset(fraction),
            old_pre=tuple(part(old) for old in self.old_pre),
            old_post=part(self.old_post),
        )


def exploration_credit(post: Batch) -> Tensor:
    """Return what the rollouts of each task before adaptation earned after it, [task].

    The derivative of the return after adaptation by the distribution that sampled the rollouts
    before it is

        E[sum_k grad log p(rollout_k) * (R' - b)]

    for the mean return R' of the rollouts after adaptation (Stadie et al. 2018, "E-MAML", eq. 3).
    The baseline b is the mean of R' over the other tasks, which is independent of this task's
    rollouts and so leaves the expectation as it is. The loss that this credit is used in takes the
    mean over the K rollouts where the formula has their sum, hence the factor K. It is added to a
    surrogate of normalised advantages, so the difference of returns is divided by the same unit.

    Args:
        post: sampled with the adapted parameters, [task, rollout, time, ...].
    """
    tasks, rollouts = post.rewards.shape[:2]
    unit = post.unit[:, 0, 0]
    returns = post.rewards.sum(-1).mean(1) * unit  # all in the unit of rewards
    if tasks == 1:  # no others to compare with
        return rollouts * returns / unit
    others = (returns.sum() - returns) / (tasks - 1)
    return rollouts * (returns - others) / unit
