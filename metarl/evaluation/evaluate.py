"""How well a learner adapts to tasks it never saw: returns before and after each inner step."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metarl.envs.tasks import Tasks
from metarl.evaluation.interval import Interval, interquartile, interval
from metarl.evaluation.settings import (
    EvaluationKeywords,
    EvaluationSettings,
    TaskSettings,
    settings_of,
)
from metarl.evaluation.tasks import TaskChoice, new_tasks
from metarl.experience.rollouts import Rollouts
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase
from metarl.skills.library import SkillLibrary
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file

_SCORED = 20
_WORST, _WORDS = 3, 4


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Returns on new tasks before adaptation and after each inner step, of one run or several."""

    family: str
    algorithm: str
    tasks: Tasks
    returns: NDArray[np.float64]
    """Mean return over rollouts, [run, task, step]; step 0 is before adaptation."""
    success: NDArray[np.float64] | None
    """Fraction of rollouts that succeed, [run, task, step]; None where the family defines no
    success."""
    settings: dict[str, Any]
    """Seed, split, counts, step sizes, training so far and versions."""
    rollouts: NDArray[np.float64] | None = None
    """Returns of the only task in the only run, [rollout, step], from the same starts in each step;
    None where there are several of either."""

    @property
    def samples(self) -> NDArray[np.float64]:
        """What intervals are of, [run, sample, step]: tasks, or the rollouts of a single one."""
        return self.returns if self.rollouts is None else self.rollouts[None]

    @property
    def interval_over(self) -> str:
        """What intervals are over: tasks, runs where there are several, rollouts of one task."""
        if len(self.returns) > 1:
            return "runs"
        return "tasks" if self.rollouts is None else "rollouts"

    @property
    def steps(self) -> int:
        """Inner steps."""
        return self.returns.shape[2] - 1

    @property
    def sample(self) -> str:
        """What the returns are of, in words: draws may repeat where there are few tasks."""
        split = self.settings.get("split", "test")
        distinct = len(np.unique(self.tasks.values, axis=0))
        if distinct == len(self.tasks):
            return f"{distinct} {split} task{'s' if distinct > 1 else ''}"
        return f"{len(self.tasks)} draws of {distinct} {split} tasks"

    def curve(self) -> list[Interval]:
        """Return the mean return before adaptation and after each step."""
        return [self._mean(self.samples[:, :, step]) for step in range(self.steps + 1)]

    def middles(self) -> list[Interval]:
        """Return the interquartile mean of the return before adaptation and after each step."""
        return [interquartile(self.samples[:, :, step]) for step in range(self.steps + 1)]

    def gains(self) -> list[Interval]:
        """Return what each step adds to the return, paired by task (a single one's by rollout)."""
        gains = np.diff(self.samples, axis=2)
        return [self._mean(gains[:, :, step]) for step in range(self.steps)]

    @property
    def gain(self) -> Interval:
        """What adaptation adds to the return: after the last step less before, paired by task."""
        return self._mean(self.samples[:, :, -1] - self.samples[:, :, 0])

    def worst(self) -> list[tuple[str, float]]:
        """Return the tasks with the lowest return after the last step, in words, lowest first.

        There are none where all tasks would be named, or could not be in a few words.
        """
        distinct, which = np.unique(self.tasks.values, axis=0, return_inverse=True)
        if len(distinct) <= _WORST or len(self.tasks.names) > _WORDS:
            return []
        after = self.returns[:, :, -1].mean(0)
        means = np.bincount(which.ravel(), after) / np.bincount(which.ravel())
        order = means.argsort()[:_WORST]
        return [(Tasks(self.tasks.names, distinct).label(int(t)), float(means[t])) for t in order]

    def _mean(self, values: NDArray[np.float64]) -> Interval:
        """Return the mean over samples; its interval is over the runs where there are several."""
        return interval(values[0] if len(values) == 1 else values.mean(1))

    @property
    def title(self) -> str:
        """What was evaluated, in a line."""
        return f"{self.family}, {self.algorithm}: {self.sample}"

    @property
    def helps(self) -> bool:
        """Whether the gain's interval lies above 0."""
        return self.gain.low > 0.0

    def columns(self) -> dict[str, list[str]]:
        """Return the table's cells by column, a row an inner step."""
        columns = {
            "inner step": [str(step) for step in range(self.steps + 1)],
            "mean return [95 %]": [str(value) for value in self.curve()],
            "interquartile mean [95 %]": [str(value) for value in self.middles()],
            "gain over previous": ["", *map(str, self.gains())],
        }
        if self.success is not None:
            columns["success"] = [f"{rate:.0%}" for rate in self.success.mean((0, 1))]
        return columns

    def __str__(self) -> str:
        columns = self.columns()
        widths = {name: max(len(name), *map(len, cells)) for name, cells in columns.items()}
        rows = [columns.keys(), *zip(*columns.values(), strict=True)]
        lines = [
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths.values(), strict=True))
            for row in rows
        ]
        if self.worst():
            worst = "; ".join(f"{label} ({value:.1f})" for label, value in self.worst())
            lines.append(f"Worst after the last step: {worst}.")
        return "\n".join([line.rstrip() for line in lines] + [self.verdict()])

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
        runs = f", {len(self.returns)} runs" if len(self.returns) > 1 else ""
        alone = (
            ""
            if self.rollouts is None
            else f"; intervals are over its {len(self.rollouts)} rollouts"
        )
        return f"{finding}: gain {gain} after {steps}, {self.sample}{runs}{alone}."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as in `evaluation.json`."""
        curve = [
            {"step": step, **mean.to_dict(), "interquartile": middle.to_dict()}
            for step, (mean, middle) in enumerate(zip(self.curve(), self.middles(), strict=True))
        ]
        for entry, gain in zip(curve[1:], self.gains(), strict=True):
            entry["gain_over_previous"] = gain.to_dict()
        per_task = [
            {"task": task, "returns": self.returns[:, index].mean(0).tolist()}
            for index, task in enumerate(self.tasks)
        ]
        if self.success is not None:
            for index, row in enumerate(per_task):
                row["success"] = self.success[:, index].mean(0).tolist()
        return {
            "family": self.family,
            "algorithm": self.algorithm,
            "returns": curve,
            "gain": self.gain.to_dict(),
            "interval_over": self.interval_over,
            "per_task": per_task,
            "settings": self.settings,
        }

    def save(self, folder: str | Path, name: str = "evaluation") -> list[Path]:
        """Write `evaluation.json` and `evaluation.csv`, a row a task and run; return their paths.

        `metarl.showing.figures.save` writes the figure too.

        Args:
            folder: where to.
            name: of the files, without their endings.
        """
        numbers, table = (Path(folder) / f"{name}{ending}" for ending in (".json", ".csv"))
        with whole_file(numbers) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        with whole_file(table) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            steps = range(self.steps + 1)
            success = [] if self.success is None else [f"success_{step}" for step in steps]
            returns = [f"return_{step}" for step in steps]
            writer.writerow(["run", *self.tasks.names, *returns, *success])
            for run in range(len(self.returns)):
                for index, values in enumerate(self.tasks.values):
                    rates = [] if self.success is None else self.success[run, index]
                    writer.writerow([run, *values, *self.returns[run, index], *rates])
        return [numbers, table]


def evaluate(
    learner: MAML | Sequence[MAML],
    *,
    tasks: TaskChoice = TaskSettings.tasks,
    library: SkillLibrary | Sequence[SkillLibrary] | None = None,
    **settings: Unpack[EvaluationKeywords],
) -> Evaluation:
    """Adapt to tasks the learner never saw and return how it did.

    Every step starts the same rollouts from the same states; exploration differs. With 20 rollouts
    or more, a step's rollouts are both its score and what the next step learns from; with fewer, 20
    others are the score.

        from metarl.showing import figures

        evaluation = metarl.evaluate(learner, tasks=40, rollouts=20, steps=3)
        print(evaluation)
        figures.save(evaluation, "runs/velocity")  # evaluation.json, .csv and .png

    Args:
        learner: the learner, or several that differ in seed; they are not changed.
        tasks: how many to draw; or which: a table, a list of dicts or a single one, or the path of
            a `.json` or `.csv` file. The intervals of a single task's numbers are over rollouts.
        library: skills to take the first step from; of several learners one each.
        settings: `rollouts`, `steps`, `seed`, `split` and `halve`; see `EvaluationSettings` for
            what they are and for their defaults.

    Raises:
        TypeError: for another setting, or what stands for no tasks.
        ValueError: for counts that are too small, or a split, learners or library that do not fit.
    """
    chosen = settings_of(EvaluationSettings, settings)
    learners = _alike(learner)
    first, libraries = learners[0], _libraries_of(learners, library)
    table = new_tasks(first.family, tasks, chosen.seed, chosen.split)
    inner_lrs = first.recipe.inner_lrs(chosen.steps, halve=chosen.halve)
    scores = [
        _scores(run, table, chosen, skills) for run, skills in zip(learners, libraries, strict=True)
    ]
    return Evaluation(
        family=first.family.name,
        algorithm=first.config.algorithm,
        tasks=table,
        returns=_means(scores, lambda rollouts: rollouts.returns),
        success=_means(scores, lambda rollouts: rollouts.succeeded)
        if first.family.tells_success
        else None,
        settings={
            "preset": first.family.preset,
            "horizon": first.family.horizon,
            "seed": chosen.seed,
            "split": chosen.split if isinstance(tasks, int | np.integer) else "given",
            "rollouts": chosen.rollouts,
            "inner_lrs": inner_lrs,
            "skills": [len(skills) for skills in libraries if skills is not None],
            "trained_timesteps": first.num_timesteps,
            "trained_seed": first.config.seed,
            "trained_seeds": [run.config.seed for run in learners],
            "versions": versions(),
        },
        rollouts=_of_each_rollout(scores[0]) if len(table) == len(learners) == 1 else None,
    )


def difference(one: MAML, other: MAML) -> str:
    """Return in what two learners differ besides seed, device, threads and workers, or nothing."""
    both = [{**learner.family.describe(), **asdict(learner.config)} for learner in (one, other)]
    return "; ".join(
        f"{name} is {value!r} and {both[1].get(name)!r}"
        for name, value in both[0].items()
        if name not in ("seed", "device", "threads", "workers") and both[1].get(name) != value
    )


def _alike(learner: MAML | Sequence[MAML]) -> list[MAML]:
    """Return the learners as a list, when they may be taken together."""
    learners = [learner] if isinstance(learner, MAML) else list(learner)
    if not learners:
        raise ValueError("there is no learner to evaluate")
    for other in learners[1:]:
        differs = difference(learners[0], other)
        if differs:
            raise ValueError(f"runs that are evaluated together may differ in seed only: {differs}")
    return learners


def _libraries_of(
    learners: Sequence[MAML], library: SkillLibrary | Sequence[SkillLibrary] | None
) -> list[SkillLibrary | None]:
    """Return each learner's library: none where there are none at all."""
    given = [library] if isinstance(library, SkillLibrary) else list(library or ())
    fitting = [next((skills for skills in given if skills.fits(run)), None) for run in learners]
    if given and None in fitting:
        given[0].check(learners[fitting.index(None)])
    return fitting


def _scores(
    learner: MAML, tasks: Tasks, settings: EvaluationSettings, library: SkillLibrary | None
) -> list[Rollouts]:
    """Return the rollouts that tell how good each stage of adaptation is."""
    key = Key(settings.seed, Phase.EVALUATE)
    inner_lrs = learner.recipe.inner_lrs(settings.steps, halve=settings.halve)
    stages = learner.adaptation(tasks, settings.rollouts, inner_lrs, key, library)
    return [
        stage.rollouts
        if settings.rollouts >= _SCORED
        else learner.sample(
            tasks,
            stage.parameters,
            _SCORED,
            key._replace(step=step, iteration=1),
            memory=stage.memory,
        )
        for step, stage in enumerate(stages)
    ]


def _of_each_rollout(scores: Sequence[Rollouts]) -> NDArray[np.float64]:
    """Return the returns of a single task's rollouts, [rollout, step]."""
    return np.stack([score.returns[0].double().numpy() for score in scores], axis=1)


def _means(
    scores: Sequence[Sequence[Rollouts]], part: Callable[[Rollouts], Tensor]
) -> NDArray[np.float64]:
    """Return the mean of a part of the scores over rollouts, [run, task, step].

    Args:
        scores: by run and step.
        part: [task, rollout] of a score.
    """
    return np.stack(
        [np.stack([part(score).double().mean(1).numpy() for score in run], 1) for run in scores]
    )
