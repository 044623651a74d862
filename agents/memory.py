"""`TaskMemory`: how a policy remembers which task it is in, while it runs.

The Siamese encoder embeds a window of transitions as g(mean of f(x)) over its transitions x. So a
running sum of f(x) and a count are all that has to be kept of any number of transitions, and one
more costs the same whether it is the first or the thousandth:

    memory  m = (sum of f(x), n, last reward)          all 0 at first
    context z = g(sum / n) / 2.5 * (1 - exp(-n / 5))   what the policy sees beside its observation

g is clipped to the range of the tasks of training (`bounds`): beyond it the policy has learned
nothing.

A second sum and count, of about the last five transitions, tell when the task has changed: their
embedding is then far from that of the whole memory, and everything is forgotten (`trust`).
The last reward is kept since a transition holds by how much the reward has changed.

The memory is a plain array that belongs to a rollout; this object holds only the rules. That a
policy should act on what it infers of its task from transitions is the idea of RL2 (Duan et al.
2016), PEARL (Rakelly et al. 2019), VariBAD (Zintgraf et al. 2020) and RMA (Kumar et al. 2021); that
differences of tasks may teach the inference, of FOCAL (Li et al. 2021). A memory that forgets
the faster the less it explains what comes is the variable forgetting factor of recursive least
squares (Fortescue et al. 1981).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metarl.agents.siamese import SiameseEncoder

SCALE = 2.5
"""What embeddings are divided by: two tasks lie 5 apart on average (`SPREAD` of
`metarl.experience.task_map`), so that contexts differ by about 2, as normalised observations."""

PATIENCE = 5.0
"""Transitions after which the context is 1 - 1/e of the embedding: a single one may be misleading,
and with none the policy sees exactly 0."""

RECENT = 5
"""Time constant of the sum of the recent transitions [transitions]. The encoder is
trained on windows of 5 and more, and a change should be noticed within a few tenths of a second."""
KEEP_RECENT = math.exp(-1.0 / RECENT)
"""The part of the recent sum and count that is kept with each new transition."""


def keep_of(window: int | None) -> float:
    """Return the part of a memory that is kept with each transition: exp(-1 / window).

    Args:
        window: transitions after which one counts e times less [control steps]; None to forget
            nothing.

    Raises:
        ValueError: for less than 1.
    """
    if window is None:
        return 1.0
    if window < 1:
        raise ValueError(f"memory_window must be at least 1 control step, got {window}")
    return math.exp(-1.0 / window)


@dataclass(frozen=True, eq=False)
class TaskMemory:
    """An encoder, and the rules by which its memory forgets.

    A memory is the sum of all remembered transitions' features, [hidden], that of the recent ones,
    [hidden], the count of the recent ones, that of all, the last gross reward of the episode, and 1
    where there is one, else 0.
    """

    encoder: SiameseEncoder
    keep: float = 1.0
    """The part of the memory that is kept with each new transition: 1 forgets nothing; less is
    `keep_of` a window. The count n then stays below 1 / (1 - keep), which is about the window."""
    tolerance: float = math.inf
    """How far apart recent transitions and the whole memory may be embedded; see `trust`. Training
    sets it to what it sees in tasks that do not change; infinity forgets nothing."""
    bounds: Tensor | None = None
    """The least and greatest of each number of the places of training's tasks, [2, context], which
    embeddings are kept to. None where training has not set them."""

    def __post_init__(self) -> None:
        if not 0.0 < self.keep <= 1.0:
            raise ValueError(
                f"the part of the memory that is kept must be in (0, 1], got {self.keep}"
            )
        if not self.tolerance > 0.0:
            raise ValueError(f"a memory's tolerance must be above 0, got {self.tolerance}")
        if self.bounds is not None:
            low, high = self.bounds
            if not (low.isfinite() & high.isfinite() & (low <= high)).all():
                raise ValueError(f"a memory's bounds must be low and high, got {self.bounds}")

    @property
    def size(self) -> int:
        """Numbers in a memory."""
        return 2 * self.encoder.hidden + 4

    @property
    def context_size(self) -> int:
        """Numbers in a context."""
        return self.encoder.embedding_size

    @property
    def observation_size(self) -> int:
        """Numbers that the robot itself observes."""
        return self.encoder.observation_size

    def forgetting(self, window: int | None) -> "TaskMemory":
        """Return the same memory with another window [control steps]; see `keep_of`."""
        return replace(self, keep=keep_of(window))

    def bounded(self, memory: Tensor) -> Tensor:
        """Return memories [..., memory] that count no more transitions than this one ever does.

        What 20 rollouts left behind weighs 2,000 transitions or more: with a window of 15, it would
        outvote all that comes after for another 73 steps (15 ln(2000 / 15)). The embedding stays,
        since sum and count are scaled alike. What is recent is a few transitions with any window.
        """
        if self.keep == 1.0:
            return memory
        most = 1.0 / (1.0 - self.keep)
        hidden, count = self.encoder.hidden, self.count(memory)
        part = most / count.clamp_min(most)
        whole, recent, last = memory[..., :hidden], memory[..., hidden:-3], memory[..., -2:]
        return torch.cat([whole * part, recent, count * part, last], dim=-1)

    def count(self, memory: Tensor) -> Tensor:
        """Return how many transitions are remembered, [..., 1]."""
        return memory[..., -3:-2]

    def change_of_reward(self, memory: Tensor, reward: Tensor) -> Tensor:
        """Return by how much a gross reward, [..., 1], differs from its episode's last one."""
        last, known = memory[..., -2:].split(1, dim=-1)
        return known * (reward - last)

    def begin_episode(self, memory: Tensor) -> Tensor:
        """Return memories, [..., memory], with the last reward cleared: an episode begins."""
        return torch.cat([memory[..., :-2], torch.zeros_like(memory[..., -2:])], dim=-1)

    def remember(self, memory: Tensor, transition: Tensor) -> Tensor:
        """Return memories with one more transition each, [..., memory].

        Args:
            memory: [..., memory].
            transition: [state, action, gross reward, next state, change of it], [..., transition];
                the last as `change_of_reward` returns it.
        """
        hidden, size = self.encoder.hidden, self.observation_size
        memory = memory[..., :-2]
        features = self.encoder.features(transition)
        one = torch.ones_like(features[..., :1])
        new = torch.cat([features, features, one, one], dim=-1)
        fading = torch.full((2 * hidden + 2,), self.keep)
        fading[hidden:-1] *= KEEP_RECENT
        old = fading * memory
        if math.isfinite(self.tolerance):
            whole, recent, fresh, count = (old + new).split([hidden, hidden, 1, 1], dim=-1)
            old = self.trust(whole / count, recent / fresh) * old
        return torch.cat([old + new, transition[..., -size - 2 : -size - 1], one], dim=-1)

    def trust(self, whole: Tensor, recent: Tensor) -> Tensor:
        """Return the part of the memory that is kept beside the last transition, [..., 1].

        exp(-(d / tolerance)^4) with the distance d of both means' embeddings: 0.94 at half the
        tolerance, 0.996 at a quarter (a window of 256 steps), 0.37 at the tolerance and nothing
        beyond twice that. With the fourth power, ordinary noise costs next to nothing of a long
        memory, and within a step or two of a change being noticed all from before it is gone. What
        is recent goes too: a third of it would be from before, and the mean of two tasks'
        transitions may look like a third task's (on HalfCheetahReversed the context was 1.1 from
        the right one 20 steps after the change, and 0.1 when all was forgotten).

        Args:
            whole: mean of the features of all transitions, [..., hidden].
            recent: of the recent ones, [..., hidden].
        """
        apart = self.encoder.whole(whole) - self.encoder.whole(recent)
        squared = (apart * apart).sum(-1, keepdim=True) / self.tolerance**2
        return torch.exp(-squared * squared)

    def mean(self, memory: Tensor) -> Tensor:
        """Return the mean of all remembered transitions' features, [..., hidden]; 0 of none."""
        return memory[..., : self.encoder.hidden] / self.count(memory).clamp_min(1e-6)

    def context(self, memory: Tensor) -> Tensor:
        """Return what the policy sees of memories [..., memory]: contexts, [..., context]."""
        embedding = self.encoder.whole(self.mean(memory))
        if self.bounds is not None:
            embedding = embedding.clamp(*self.bounds)
        return embedding * ((1.0 - torch.exp(-self.count(memory) / PATIENCE)) / SCALE)

    def pooled(self, start: Tensor, memories: Tensor, lengths: Tensor) -> Tensor:
        """Return what several rollouts that began alike saw together, [..., memory].

        Sums and counts add up. The recent sum and count are the mean over the rollouts. The last
        reward is cleared, since a new episode follows.

        A rollout in which the task changed may have forgotten part of `start`. The fraction p that
        is left follows from counts: count(end) = p count(start) + own, where own is what the
        rollout would count had it forgotten nothing. If it also forgot some of its own transitions,
        this underestimates p, which is clamped to [0, 1].

        Args:
            start: the memory that each began with, [..., memory].
            memories: those at their ends, [..., rollout, memory].
            lengths: how many transitions each saw, [..., rollout].
        """
        before, own = start.unsqueeze(-2), lengths.unsqueeze(-1).to(start)
        if self.keep != 1.0:
            own = (1.0 - self.keep**own) / (1.0 - self.keep)
        left = (self.count(memories) - own) / self.count(before).clamp_min(1e-6)
        left = torch.where(self.count(before) > 0.0, left.clamp(0.0, 1.0), 1.0)
        together = left.mean(-2) * start + (memories - left * before).sum(-2)
        hidden = self.encoder.hidden
        recent = memories[..., hidden:-3].mean(-2)
        last = torch.zeros_like(together[..., -2:])
        return torch.cat([together[..., :hidden], recent, self.count(together), last], dim=-1)

    def along(self, start: Tensor, transition: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the policy sees along rollouts, and the memories at their ends.

        Args:
            start: the memories before, [..., memory].
            transition: [..., time, transition]; of one episode each.
            valid: which of them took place, [..., time].

        Returns:
            Contexts before each step and after the last, [..., time + 1, context], and memories,
            [..., memory].
        """
        memory, contexts = start, [self.context(start)]
        for step in range(transition.shape[-2]):
            longer = self.remember(memory, transition[..., step, :])
            memory = torch.where(valid[..., step, None], longer, memory)
            contexts.append(self.context(memory))
        return torch.stack(contexts, dim=-2), memory
