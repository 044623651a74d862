"""`SkillLibrary`: what was learned on known tasks, found again by similarity.

    similarity = metarl.train_similarity(learner)
    library = metarl.SkillLibrary.build(learner, similarity, tasks=100)
    adapted = learner.adapt({"velocity": 1.2}, rollouts=1, library=library)

A few seconds of the policy before adaptation tell which skills belong to tasks like this one; a
blend of them takes the place of the first inner step. A task unlike all known ones takes the
ordinary step.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.policy import Parameters
from metarl.envs.plain import plain
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts
from metarl.learner.inner_loop import Fingerprinted
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase
from metarl.skills.similarity import Similarity, before_adaptation, closest
from metarl.system import checkpoint

KIND = "skill library"
_NEIGHBOURS = 3


@dataclass(frozen=True, eq=False)
class SkillLibrary:
    """Adapted parameters of known tasks, with the encoder that finds them."""

    similarity: Similarity
    tasks: Tasks
    """A row a skill."""
    embeddings: Tensor
    """Of each skill's task, [skill, embedding]."""
    parameters: dict[str, Tensor]
    """Adapted to it, [skill, ...] each, on the CPU."""
    returns: NDArray[np.float64]
    """Before adaptation, and the best that was seen, [skill, 2]."""
    origin: str
    """A digest of the policy before adaptation that all skills started from."""
    path: Path | None = None
    """The file that it was loaded from."""

    def __len__(self) -> int:
        return len(self.tasks)

    @classmethod
    def build(
        cls,
        learner: MAML,
        similarity: Similarity,
        *,
        tasks: int | Tasks = 100,
        rollouts: int = 40,
        steps: int = 3,
        seed: int = 0,
    ) -> "SkillLibrary":
        """Adapt to known tasks and keep the adapted parameters.

        Of the stages of adaptation the one with the best return is kept, task by task.

        Args:
            learner: the learner; it is not changed.
            similarity: trained on it.
            tasks: how many training tasks to draw, or a table.
            rollouts: of each task at each step.
            steps: inner steps.
            seed: decides tasks, start states and exploration.

        Raises:
            ValueError: when the encoder was trained on another learner.
        """
        similarity.check(learner)
        tasks = plain(tasks)
        if isinstance(tasks, int):
            tasks = learner.family.sample_tasks(tasks, seed=(seed, 2))
        table = learner.family.task(tasks)
        key = Key(seed, Phase.SIMILARITY, 2)
        seen = before_adaptation(learner, table, similarity.config.rollouts, key)
        inner_lrs = learner.recipe.inner_lrs(steps)
        returns, kept = [], {}
        for stage in learner.adaptation(table, rollouts, inner_lrs, key):
            returns.append(stage.rollouts.returns.double().mean(1))
            best = torch.stack(returns).argmax(0) == len(returns) - 1
            for name, value in stage.parameters.items():
                now = value.cpu()
                mask = best.view(-1, *[1] * (now.dim() - 1))
                # a context starts at 0 and is no parameter before the first step
                kept[name] = torch.where(mask, now, kept.get(name, torch.zeros_like(now)))
        ends = torch.stack([returns[0], torch.stack(returns).max(0).values], dim=1).numpy()
        return cls(similarity, table, similarity.embed(seen), kept, ends, learner.fingerprint)

    def joined(self, other: "SkillLibrary") -> "SkillLibrary":
        """Return a library with the skills of both.

        Raises:
            ValueError: when they did not start from the same learner, encoder and family.
        """
        same = all(
            torch.equal(a, b)
            for a, b in zip(
                self.similarity.encoder.state_dict().values(),
                other.similarity.encoder.state_dict().values(),
                strict=True,
            )
        )
        if self.origin != other.origin or self.tasks.names != other.tasks.names or not same:
            raise ValueError("only libraries of one learner and one encoder can be joined")
        return SkillLibrary(
            self.similarity,
            Tasks(self.tasks.names, np.concatenate([self.tasks.values, other.tasks.values])),
            torch.cat([self.embeddings, other.embeddings]),
            {n: torch.cat([value, other.parameters[n]]) for n, value in self.parameters.items()},
            np.concatenate([self.returns, other.returns]),
            self.origin,
        )

    def nearest(self, rollouts: Rollouts, k: int = 1) -> tuple[Tensor, Tensor]:
        """Return the distances and the numbers of the k nearest skills, each [task, k].

        Args:
            rollouts: of the policy before adaptation.
            k: how many.

        Raises:
            ValueError: for more than there are.
        """
        return self._nearest(self.similarity.embed(rollouts), k)

    def _nearest(self, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
        return closest(points, self.embeddings, k, "skills there are")

    @cached_property
    def gap(self) -> float:
        """The largest distance of a skill from its nearest other one; 0 for a single one."""
        if len(self) == 1:
            return 0.0
        return float(closest(self.embeddings, self.embeddings, 2, "skills")[0][:, 1].max())

    def blend(self, rollouts: Rollouts) -> dict[str, Tensor]:
        """Return parameters for every task from the skills nearest to it, [task, ...] each.

        Skills are weighted by 1 / distance^2 (Shepard 1968); a skill without distance is taken as
        it is.

        Args:
            rollouts: of the policy before adaptation.
        """
        return self._blend(self.similarity.embed(rollouts))

    def _blend(self, points: Tensor) -> dict[str, Tensor]:
        distances, indices = self._nearest(points, min(_NEIGHBOURS, len(self)))
        weights = 1.0 / (distances.square() + 1e-9)
        weights = weights / weights.sum(1, keepdim=True)
        return {
            name: torch.einsum("tk,tk...->t...", weights.to(value.dtype), value[indices])
            for name, value in self.parameters.items()
        }

    def first_step(self, rollouts: Rollouts, stepped: Parameters) -> dict[str, Tensor]:
        """Return every task's parameters after the first step, [task, ...] each.

        Args:
            rollouts: of the policy before adaptation.
            stepped: what the ordinary inner step gives, for tasks unlike all known ones.
        """
        for name, value in stepped.items():
            skill = self.parameters.get(name)
            if skill is None or skill.shape[1:] != value.shape[1:] or skill.dtype != value.dtype:
                raise ValueError(f"the library's skills have no {name} of the learner's shape")
        points, threshold = self.similarity.embed(rollouts), self.similarity.threshold
        far = self._nearest(points, 1)[0][:, 0].numpy()
        novel = self.similarity.beyond(points) & (far > threshold)
        # a known task may still lie in a part of the range without skills
        novel |= far > threshold + self.gap
        if novel.any():
            warnings.warn(
                f"{novel.sum()} of {len(novel)} tasks are unlike all that the library knows: they "
                "take the ordinary inner step",
                stacklevel=2,
            )
        known = torch.from_numpy(~novel)
        blend = self._blend(points)
        return {
            name: torch.where(
                known.view(-1, *[1] * (value.dim() - 1)).to(value.device),
                blend[name].to(value.device),
                value,
            )
            for name, value in stepped.items()
        }

    @property
    def fingerprint(self) -> str:
        """A hash of what decides the steps that its skills take the place of."""
        _, data = self.similarity.contents()
        digest = hashlib.sha256(json.dumps([self.origin, data]).encode())
        for name, value in self._tensors().items():
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def fits(self, learner: Fingerprinted) -> bool:
        """Return whether the skills are this learner's: whether they started where it is."""
        return self.origin == learner.fingerprint

    def check(self, learner: Fingerprinted) -> None:
        """Check that the skills are this learner's.

        Raises:
            ValueError: when they started from another policy.
        """
        if not self.fits(learner):
            where = f" {self.path}" if self.path else ""
            raise ValueError(
                f"the skills of the library{where} started from other parameters than this "
                "learner's; make one for it: metarl similarity RUN, or "
                "SkillLibrary.build(learner, train_similarity(learner)) in Python"
            )

    def save(self, path: str | Path) -> None:
        """Write it with its encoder to one file, whole or not at all."""
        _, data = self.similarity.contents()
        checkpoint.write(Path(path), self._tensors(), {**data, "origin": self.origin}, kind=KIND)

    def _tensors(self) -> dict[str, Tensor]:
        """Return all tensors of it and of its encoder, by name."""
        tensors, _ = self.similarity.contents()
        return {
            **tensors,
            **{f"skill/{name}": value for name, value in self.parameters.items()},
            "library/tasks": torch.from_numpy(self.tasks.values.copy()),
            "library/embeddings": self.embeddings,
            "library/returns": torch.from_numpy(self.returns),
        }

    @classmethod
    def load(cls, path: str | Path) -> "SkillLibrary":
        """Return what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file is damaged or of another kind.
        """
        path = Path(path)
        tensors, data = checkpoint.read(path, kind=KIND)
        similarity = Similarity.of(path, tensors, data)
        skills = {
            name.removeprefix("skill/"): value
            for name, value in tensors.items()
            if name.startswith("skill/")
        }
        with checkpoint.sound(path, "library"):
            tasks = Tasks(similarity.tasks.names, tensors["library/tasks"].numpy())
            embeddings = tensors["library/embeddings"].float()
            returns = tensors["library/returns"].numpy()
            if returns.shape != (len(tasks), 2) or not len(tasks):
                raise ValueError("not every skill has its returns")
            if embeddings.shape != (len(tasks), similarity.config.embedding_size):
                raise ValueError("not every skill has an embedding")
            if not skills or any(len(value) != len(tasks) for value in skills.values()):
                raise ValueError("not every skill has all parts")
            return cls(similarity, tasks, embeddings, skills, returns, str(data["origin"]), path)
