"""How well an encoder tells, from one rollout, which known tasks a new task resembles."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

from metarl.envs.tasks import Tasks
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase
from metarl.skills.similarity import Similarity, before_adaptation
from metarl.system.files import write_json

_CLOSEST = 5


@dataclass(frozen=True, eq=False)
class Retrieval:
    """New tasks beside known ones."""

    family: str
    known: Tasks
    new: Tasks
    embeddings: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Of the known tasks, [known, embedding], and of one rollout of each new one."""
    apart: NDArray[np.floating]
    """Distances of the tasks' parameters, [new, known], as fractions of the training range."""
    novelty: NDArray[np.float64]
    """Distance of each new task's embedding from the nearest that the encoder knows, [new]."""
    novelty_outside: NDArray[np.float64] | None
    """The same of tasks from outside the training range; None where the family has no outside."""
    threshold: float
    """The novelty beyond which a task counts as unlike all known ones."""

    @property
    def distances(self) -> NDArray[np.floating]:
        """Distances of the embeddings, [new, known]."""
        known, new = self.embeddings
        return cdist(new, known)

    @property
    def correlation(self) -> float:
        """Spearman's, of the distances of embeddings and those of parameters, over all pairs."""
        return float(stats.spearmanr(self.distances.ravel(), self.apart.ravel()).statistic)

    @property
    def hit_rate(self) -> float:
        """How often the nearest known task is among the 5 closest by true parameters."""
        nearest = self.distances.argmin(1)
        apart_from_nearest = self.apart[np.arange(len(nearest)), nearest]
        closer = (self.apart < apart_from_nearest[:, None]).sum(1)
        return float((closer < _CLOSEST).mean())

    @property
    def auroc(self) -> float | None:
        """How often a task from outside is more novel than one from inside: 0.5 by chance.

        The area under the receiver operating characteristic is the Mann-Whitney statistic over the
        number of pairs.
        """
        if self.novelty_outside is None:
            return None
        wins = stats.mannwhitneyu(self.novelty_outside, self.novelty).statistic
        return float(wins) / (len(self.novelty_outside) * len(self.novelty))

    @property
    def false_alarms(self) -> float:
        """The part of new tasks from inside the training range that is taken for novel."""
        return float((self.novelty > self.threshold).mean())

    @property
    def recognised(self) -> float | None:
        """The part of tasks from outside that is taken for novel; None where there are none."""
        outside = self.novelty_outside
        return None if outside is None else float((outside > self.threshold).mean())

    def __str__(self) -> str:
        rows = [
            ("Spearman correlation of embedding and parameter distance", f"{self.correlation:.3f}"),
            (
                f"nearest of {len(self.known)} known tasks is among the {_CLOSEST} closest",
                f"{self.hit_rate:.0%}",
            ),
            (
                "new tasks from inside the training range taken for novel",
                f"{self.false_alarms:.0%}",
            ),
        ]
        if self.novelty_outside is not None:
            rows += [
                ("tasks from outside the training range recognised", f"{self.recognised:.0%}"),
                ("their AUROC against tasks from inside", f"{self.auroc:.3f}"),
            ]
        head = f"{self.family}: {len(self.new)} new tasks, one rollout each"
        return "\n".join([head, *(f"  {name:<58}{value:>8}" for name, value in rows)])

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {
            "family": self.family,
            "known": len(self.known),
            "new": len(self.new),
            "correlation": self.correlation,
            "found": self.hit_rate,
            "auroc": self.auroc,
            "false_alarms": self.false_alarms,
            "recognised": self.recognised,
        }

    def save(self, folder: str | Path, name: str = "similarity") -> list[Path]:
        """Write the numbers as `similarity.json`; return the path, as a list of one.

        `metarl.showing.figures.save` writes the figures too.

        Args:
            folder: where to.
            name: of the file, without its ending.
        """
        numbers = Path(folder) / f"{name}.json"
        write_json(numbers, self.to_dict())
        return [numbers]


def retrieval(
    learner: MAML, similarity: Similarity, *, known: int = 100, tasks: int = 100, seed: int = 0
) -> Retrieval:
    """Measure how well an encoder matches new tasks with known ones.

    Of each new task it sees one rollout of the policy before adaptation.

    Args:
        learner: the learner that the encoder was trained on.
        similarity: the encoder.
        known: how many known tasks to draw from the split `train`; the encoder sees as many
            rollouts of each as in training.
        tasks: how many new ones to draw from `test`, and from `extrapolate` where there is one.
        seed: decides tasks, start states and exploration.

    Raises:
        ValueError: when the encoder was trained on another learner.
    """
    similarity.check(learner)
    family, rollouts = learner.family, similarity.config.rollouts
    known_tasks = family.sample_tasks(known, seed=(seed, 2))
    new = family.sample_tasks(tasks, seed=seed, split="test")
    seen_of_known = before_adaptation(
        learner, known_tasks, rollouts, Key(seed, Phase.SIMILARITY, 2)
    )
    seen_of_new = before_adaptation(learner, new, 1, Key(seed, Phase.SIMILARITY, 3))
    novelty_outside = None
    if family.extrapolates:
        outside = family.sample_tasks(tasks, seed=seed, split="extrapolate")
        seen = before_adaptation(learner, outside, 1, Key(seed, Phase.SIMILARITY, 4))
        novelty_outside = similarity.nearest(seen)[0][:, 0].double().numpy()
    return Retrieval(
        family=family.name,
        known=known_tasks,
        new=new,
        embeddings=(
            similarity.embed(seen_of_known).double().numpy(),
            similarity.embed(seen_of_new).double().numpy(),
        ),
        apart=cdist(family.coordinates(new), family.coordinates(known_tasks)),
        novelty=similarity.nearest(seen_of_new)[0][:, 0].double().numpy(),
        novelty_outside=novelty_outside,
        threshold=similarity.threshold,
    )
