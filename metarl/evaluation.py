"""How well a learner adapts to tasks it never saw: returns before and after each inner step."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.distributions import Split
from envs.tasks import Tasks
from metarl.checkpoint import versions
from metarl.figures import adaptation_figure
from metarl.files import whole_file
from metarl.interval import Interval, interval
from metarl.library import SkillLibrary
from metarl.maml import MAML
from metarl.streams import Key, Phase


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Returns on new tasks before adaptation and after each inner step."""

    family: str
    algorithm: str
    tasks: Tasks
    returns: NDArray[np.float64]
    """Mean return over rollouts, [task, step]; column 0 is before adaptation."""
    settings: dict[str, Any]
    """Seed, split, counts, step sizes, training so far and versions."""

    @property
    def steps(self) -> int:
        """Inner steps."""
        return self.returns.shape[1] - 1

    @property
    def sample(self) -> str:
        """What the returns are of, in words: draws may repeat where there are few tasks."""
        split = self.settings.get("split", "test")
        distinct = len(np.unique(self.tasks.values, axis=0))
        if distinct == len(self.tasks):
            return f"{distinct} {split} tasks"
        return f"{len(self.tasks)} draws of {distinct} {split} tasks"

    def curve(self) -> list[Interval]:
        """Return the mean return before adaptation and after each step."""
        return [interval(self.returns[:, step]) for step in range(self.steps + 1)]

    def gains(self) -> list[Interval]:
        """Return what each step adds to the return, paired by task."""
        return [interval(column) for column in np.diff(self.returns, axis=1).T]

    @property
    def gain(self) -> Interval:
        """What adaptation adds to the return: after the last step less before, paired by task."""
        return interval(self.returns[:, -1] - self.returns[:, 0])

    @property
    def title(self) -> str:
        """What was evaluated, in a line."""
        return f"{self.family}, {self.algorithm}: {self.sample}"

    @property
    def helps(self) -> bool:
        """Whether the gain's interval lies above 0."""
        return self.gain.low > 0.0

    def __str__(self) -> str:
        gains = ["", *map(str, self.gains())]
        rows = [
            f"{step:>10}  {value!s:>28}  {gain:>28}"
            for step, (value, gain) in enumerate(zip(self.curve(), gains, strict=True))
        ]
        header = f"{'inner step':>10}  {'return [95 % interval]':>28}  {'gain over previous':>28}"
        return "\n".join([header, *rows, self.verdict()])

    def verdict(self) -> str:
        """Return in one sentence whether adaptation helped."""
        gain = self.gain
        if self.helps:
            finding = "Adaptation helps"
        elif gain.high < 0.0:
            finding = "Adaptation HURTS"
        else:
            finding = "Adaptation is NOT shown to help (the interval includes 0)"
        steps = "1 inner step" if self.steps == 1 else f"{self.steps} inner steps"
        return f"{finding}: gain {gain} after {steps}, {self.sample}."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as in `evaluation.json`."""
        rows = zip(self.tasks, self.returns.tolist(), strict=True)
        gains = zip(self.gains(), strict=True)
        curve = [{"step": step, **value.to_dict()} for step, value in enumerate(self.curve())]
        for entry, (gain,) in zip(curve[1:], gains, strict=True):
            entry["gain_over_previous"] = gain.to_dict()
        return {
            "family": self.family,
            "algorithm": self.algorithm,
            "returns": curve,
            "gain": self.gain.to_dict(),
            "per_task": [{"task": task, "returns": returns} for task, returns in rows],
            "settings": self.settings,
        }

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `evaluation.json` and the figure `evaluation.png`; return their paths."""
        folder = Path(folder)
        numbers, picture = folder / "evaluation.json", folder / "evaluation.png"
        with whole_file(numbers) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        with whole_file(picture) as temporary:
            adaptation_figure(self.returns, self.curve(), self.title).savefig(temporary, dpi=150)
        return numbers, picture


def evaluate(
    learner: MAML,
    *,
    tasks: int | Tasks = 40,
    rollouts: int = 20,
    steps: int = 3,
    seed: int = 0,
    split: Split = "test",
    halve: bool = False,
    library: SkillLibrary | None = None,
) -> Evaluation:
    """Adapt to tasks the learner never saw and return how it did.

    Every step starts the same rollouts from the same states; exploration differs. A step's rollouts
    are both its score and what the next step learns from.

    Args:
        learner: the learner; it is not changed.
        tasks: how many to draw, or a table of them; at least 2.
        rollouts: of each task at each step.
        steps: inner steps.
        seed: decides the tasks, start states and exploration.
        split: where tasks come from: `test`, or `extrapolate` for those outside the training range.
        halve: halve the step size after the first step, as Finn et al. (2017) do in their tests.
        library: skills to take the first step from, where a task resembles known ones.

    Raises:
        ValueError: for counts that are too small, or a split that the family does not have.
    """
    if isinstance(tasks, int):
        if tasks < 2:
            raise ValueError(f"an interval needs at least 2 tasks, got {tasks}")
        tasks = learner.family.sample_tasks(tasks, seed=seed, split=split)
    else:
        tasks = learner.family.task(tasks)
    if len(tasks) < 2:
        raise ValueError(f"an interval needs at least 2 tasks, got {len(tasks)}")
    first = learner.config.inner_lr
    inner_lrs = [first] + [first / 2.0 if halve else first] * (steps - 1) if steps > 0 else []
    key = Key(seed, Phase.EVALUATE)
    stages = learner.adaptation(tasks, rollouts, inner_lrs, key, library)
    returns = [stage.rollouts.returns.double().mean(1).numpy() for stage in stages]
    settings = {
        "preset": learner.family.preset,
        "horizon": learner.family.horizon,
        "seed": seed,
        "split": split,
        "rollouts": rollouts,
        "inner_lrs": inner_lrs,
        "skills": 0 if library is None else len(library),
        "trained_timesteps": learner.num_timesteps,
        "trained_seed": learner.config.seed,
        "versions": versions(),
    }
    return Evaluation(
        learner.family.name,
        learner.config.algorithm,
        tasks,
        np.stack(returns, axis=1),
        settings,
    )
