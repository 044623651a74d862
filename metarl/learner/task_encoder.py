"""The encoder that tells the policy its task, and how it is trained along with the policy.

Two copies of it: one learns, on windows of the rollouts that the policy is trained on, to embed
them where their tasks lie on the family's map (`task_map`; tasks are known in training, and never
looked at afterwards); the other, which the policy sees, follows slowly. A policy whose contexts all
change within an iteration loses what it had learned: with a single copy 428 fell to 309 on
HalfCheetahDir within 0.5 million steps. For the same reason the encoder's steps become smaller, as
1 / iteration (Robbins and Monro 1951).
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.memory import KEEP_RECENT, TaskMemory
from metarl.agents.normaliser import Normaliser
from metarl.agents.siamese import SiameseEncoder
from metarl.algorithms.outer_steps import check_moments, moments_of, resumed_adam
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts
from metarl.experience.task_map import SPREAD
from metarl.experience.transitions import transitions, windows_of
from metarl.learner.config import Config
from metarl.sampling.streams import Key, Phase, Purpose, stream, torch_generator
from metarl.sampling.telling import family_map
from metarl.system.checkpoint import part
from metarl.system.library_threads import one_library_thread

HIDDEN = 64
SHORTEST, LONGEST = 5, 60
"""Steps of the windows: the policy sees contexts of few transitions first, of many later."""

MOST_TASKS, MOST_ROLLOUTS = 256, 4
"""Tasks, and rollouts of each, that a step takes a window of at most."""

SETTLING = 200
"""Iterations after which the encoder's steps are half as large, a third after twice as many, ...
With 30, 200 and 1,000, ReacherGoal had -7.2, -6.1 and -7.1 after one rollout at 1 M environment
steps (seed 0; seeds differ by 2)."""

FOLLOW = 10
"""Averaging rate of the slow copy in iteration n, FOLLOW / (FOLLOW + n) (Polyak averaging); the
tolerance is averaged likewise. The average covers about the last tenth of all iterations."""

TOLERANCE, BOUNDS = "tolerance", "bounds"
"""Names of the tensors with the memory's tolerance and bounds, which training sets."""

QUIET = 0.99
"""The share of the steps of unchanging tasks at which recent transitions and the whole memory are
embedded within half of the memory's tolerance."""
LEAST_TOLERANCE = SPREAD / 5.0
"""The tolerance is never less: a fifth of the mean distance of tasks. Without this lower bound, the
memory of a body outside the training range would be cleared again and again by small deviations."""


@dataclass(frozen=True, eq=False)
class TaskEncoder:
    """Both copies of the encoder, and what training remembers."""

    memory: TaskMemory
    """What the policy sees; its encoder is the slow copy."""
    learning: SiameseEncoder
    """The copy that learns."""
    moments: Normaliser
    """Of all transitions seen so far, with changes of state in place of next states."""
    adam: dict[str, Tensor]
    """Moments of the learning copy's optimiser, by name."""

    @classmethod
    def new(cls, family: Family, config: Config) -> "TaskEncoder":
        """Return one that has learned nothing yet; its weights depend on the seed.

        Raises:
            ValueError: for a family with a single task, or episodes shorter than any window.
        """
        if not family.parameters:
            raise ValueError(f"{family.name} has a single task: there is none to tell from others")
        if family.horizon < SHORTEST:
            raise ValueError(
                f"horizon must be at least {SHORTEST} steps for context=siamese, "
                f"got {family.horizon}"
            )
        encoder = SiameseEncoder(
            family.observation_size,
            family.action_size,
            config.embedding_size,
            HIDDEN,
            products=True,
            action_limit=1.0 / family.action_scale,
            cost_of_actions=torch.from_numpy(family.cost_of_actions),
            generator=torch_generator(config.seed),
        )
        moments = Normaliser.new(encoder.transition_size)
        return cls(TaskMemory(encoder), copy.deepcopy(encoder), moments, {})

    def acting_tensors(self) -> dict[str, Tensor]:
        """Return what decides what the policy sees, by name."""
        tensors = dict(self.memory.encoder.state_dict())
        # files of earlier versions have neither
        if math.isfinite(self.memory.tolerance):
            tensors[TOLERANCE] = torch.tensor(self.memory.tolerance, dtype=torch.float64)
        if self.memory.bounds is not None:
            tensors[BOUNDS] = self.memory.bounds
        return tensors

    def training_tensors(self) -> dict[str, Tensor]:
        """Return what only further training needs, by name; Adam's moments come with the first."""
        weights = {f"learning/{name}": v for name, v in self.learning.state_dict().items()}
        moments = {f"moments/{name}": v for name, v in self.moments._asdict().items()}
        return weights | moments | {f"adam/{name}": v for name, v in self.adam.items()}

    def restored(self, acting: dict[str, Tensor], training: dict[str, Tensor]) -> "TaskEncoder":
        """Return the encoder whose tensors these are; this one says what they belong to.

        Raises:
            ValueError: for a tolerance or bounds that are none, or moments of other inputs.
        """
        acting = dict(acting)
        saved = acting.pop(TOLERANCE, torch.tensor(math.inf))
        if saved.shape or not saved.is_floating_point():
            raise ValueError("the tolerance of the memory must be a number")
        tolerance = float(saved)
        bounds = acting.pop(BOUNDS, None)
        if bounds is not None and bounds.shape != (2, self.memory.context_size):
            raise ValueError("the bounds of the memory must be two rows of a context's numbers")

        slow, learning = (copy.deepcopy(self.learning) for _ in range(2))
        slow.load_state_dict(acting)
        learning.load_state_dict(part(training, "learning/"))
        moments = Normaliser(**part(training, "moments/"))
        if any(one.shape != other.shape for one, other in zip(moments, self.moments, strict=True)):
            raise ValueError("the moments are of other inputs than the encoder's")
        adam = part(training, "adam/")
        check_moments(adam, dict(learning.named_parameters()))
        memory = replace(self.memory, encoder=slow, tolerance=tolerance, bounds=bounds)
        return TaskEncoder(memory, learning, moments, adam)


def train_encoder(
    before: TaskEncoder,
    rollouts: Sequence[Rollouts],
    tasks: Tasks,
    family: Family,
    config: Config,
    iteration: int,
    device: torch.device,
) -> tuple[TaskEncoder, float]:
    """Return the encoder after an iteration's steps, and its loss on tasks that it had not seen.

    Where the steps lead to numbers that are not finite, it is the encoder of before.

    The loss is the mean squared distance of windows' embeddings from where their tasks lie.

    Args:
        before: the encoder so far, on the CPU; it is not changed.
        rollouts: of the iteration, on the CPU, one or several of each task.
        tasks: a row each.
        family: the tasks' family.
        config: of the learner.
        iteration: decides, with the seed, which windows are drawn.
        device: where the steps are taken. What is returned is on the CPU, where rollouts need it.
    """
    seen = [transitions(part, before.learning) for part in rollouts]
    seen = torch.cat(seen, dim=1).to(device)
    valid = torch.cat([part.valid for part in rollouts], dim=1).to(device)
    places, bounds = _places(family.coordinates(tasks), family, config.embedding_size)
    places = places.to(device)
    draws = stream(Key(config.seed, Phase.TRAIN, iteration), Purpose.WINDOWS, 0, 0)
    generator = torch_generator(int(draws.integers(2**62)))
    with one_library_thread():
        encoder = copy.deepcopy(before.learning).to(device)
        moments = before.moments.updated(encoder.changes(seen[valid]))
        encoder.mean.copy_(moments.mean)
        encoder.std.copy_(moments.std)
        leaves = dict(encoder.named_parameters())
        lr = config.encoder_lr / (1.0 + iteration / SETTLING)
        optimiser = resumed_adam(leaves, before.adam, lr)
        held_out = 0.0
        for step in range(config.encoder_steps):
            window = int(draws.integers(SHORTEST, min(LONGEST, family.horizon) + 1))
            chosen = torch.randperm(len(seen), generator=generator)[:MOST_TASKS]
            shuffled = torch.rand((len(chosen), seen.shape[1]), generator=generator).argsort(1)
            which = shuffled[:, :MOST_ROLLOUTS]
            index = windows_of(valid, chosen[:, None].expand_as(which), which, window, generator)
            embedded = encoder.forward_once(seen[index], valid[index])
            loss = (embedded - places[chosen, None]).square().sum(-1).mean()
            if step == 0:
                held_out = float(loss.detach())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if not all(torch.isfinite(leaf).all() for leaf in leaves.values()):
            return before, held_out  # as an outer step that fails: what was there before
        adam = {name: value.detach().cpu() for name, value in moments_of(optimiser, leaves).items()}
        part = FOLLOW / (FOLLOW + iteration)
        slow = _between(before.memory.encoder, encoder.cpu(), part)
        # later episodes may begin in the middle of a change
        calm = slice(config.rollouts // config.episodes)
        quiet = tolerance_of(copy.deepcopy(slow).to(device), seen[:, calm], valid[:, calm])
        known = before.memory.tolerance
        tolerance = known + part * (quiet - known) if math.isfinite(known) else quiet
    memory = replace(before.memory, encoder=slow, tolerance=tolerance, bounds=bounds)
    return TaskEncoder(memory, encoder, moments, adam), held_out


def _places(coordinates: NDArray[np.float64], family: Family, size: int) -> tuple[Tensor, Tensor]:
    """Return where tasks lie, [task, embedding], and where the family's end, [2, embedding]."""
    of_family, drawn = family_map(family, size)
    all_places = of_family.places(drawn)
    bounds = torch.stack([all_places.amin(0), all_places.amax(0)])
    return of_family.places(coordinates), bounds


@torch.no_grad()
def tolerance_of(encoder: SiameseEncoder, transitions: Tensor, valid: Tensor) -> float:
    """Return how far recent transitions may be embedded from all so far, in tasks that stay.

    Twice the distance that a fraction `QUIET` of all steps stays below. Where a few transitions do
    not identify the task, as with a rarely visited goal, that is more than the distance of tasks,
    and no change is ever noticed: better than forgetting what was found out.

    Args:
        encoder: that the memory uses.
        transitions: of rollouts in a task each, [task, rollout, time, transition].
        valid: which of them took place, [task, rollout, time].
    """
    features = encoder.features(transitions) * valid.unsqueeze(-1)
    time = torch.arange(features.shape[-2], device=features.device)
    passed = time.unsqueeze(1) - time
    recent = torch.where(passed >= 0, KEEP_RECENT ** passed.clamp_min(0).float(), 0.0)
    recent = recent / recent.sum(1, keepdim=True)
    means = features.cumsum(-2) / (time + 1.0).unsqueeze(-1)
    apart = encoder.whole(means) - encoder.whole(recent @ features)
    distances = torch.linalg.vector_norm(apart, dim=-1)[valid]
    # not torch's quantile, which takes 16 million numbers at most
    quiet = distances.kthvalue(max(1, round(QUIET * len(distances)))).values
    return max(LEAST_TOLERANCE, 2.0 * float(quiet))


@torch.no_grad()
def _between(slow: SiameseEncoder, learning: SiameseEncoder, part: float) -> SiameseEncoder:
    """Return an encoder part of the way from one to the other, weight by weight."""
    result = copy.deepcopy(slow)
    towards = learning.state_dict()
    for name, value in result.state_dict().items():
        value.lerp_(towards[name], part)
    return result
