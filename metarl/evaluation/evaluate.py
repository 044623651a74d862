"""How well a learner adapts to tasks it never saw: returns before and after each inner step."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metarl.envs.tasks import Tasks
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.parts import parts_of_return
from metarl.evaluation.seen import returns_by_what_was_seen
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


def evaluate(
    learner: MAML | Sequence[MAML],
    *,
    tasks: TaskChoice = TaskSettings.tasks,
    library: SkillLibrary | Sequence[SkillLibrary] | None = None,
    **settings: Unpack[EvaluationKeywords],
) -> Evaluation:
    """Adapt to tasks the learner never saw and return how it did.

    Every step starts the same rollouts from the same states; exploration differs. With as many
    rollouts as are `scored` or more, a step's rollouts are both its score and what the next step
    learns from; with fewer, others are the score.

        from metarl.showing import figures

        evaluation = metarl.evaluate(learner, tasks=40, rollouts=20, steps=3)
        print(evaluation)
        figures.save(evaluation, "runs/velocity")  # evaluation.json, .csv and .png

    Args:
        learner: the learner, or several that differ in seed; they are not changed.
        tasks: how many to draw; or which: a table, a list of dicts or a single one, or the path of
            a `.json` or `.csv` file. The intervals of a single task's numbers are over rollouts.
        library: skills to take the first step from; of several learners one each.
        settings: `rollouts`, `steps`, `seed`, `split`, `halve`, `scored` and `deterministic`; see
            `EvaluationSettings` for what they are and for their defaults.

    Raises:
        TypeError: for another setting, or what stands for no tasks.
        ValueError: for counts that are too small, or a split, learners or library that do not fit.
    """
    chosen = settings_of(EvaluationSettings, settings)
    learners = _alike(learner)
    first, libraries = learners[0], _libraries_of(learners, library)
    table = new_tasks(first.family, tasks, chosen.seed, chosen.split)
    inner_lrs = first.recipe.inner_lrs(chosen.steps, halve=chosen.halve)
    scores, parts, seen = [], [], []
    for run, skills in zip(learners, libraries, strict=True):
        of_run, parts_of_run = _scores(run, table, chosen, skills)
        scores.append(of_run)
        parts.append(parts_of_run)
        if run.state.memory:
            key = Key(chosen.seed, Phase.EVALUATE)
            seen.append(returns_by_what_was_seen(run, table, scores[-1][0], key))
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
            "scored": chosen.scored,
            "deterministic": chosen.deterministic,
            "inner_lrs": inner_lrs,
            "skills": [len(skills) for skills in libraries if skills is not None],
            "trained_timesteps": first.num_timesteps,
            "trained_seed": first.config.seed,
            "trained_seeds": [run.config.seed for run in learners],
            "versions": versions(),
        },
        seen={words: np.stack([each[words] for each in seen]) for words in seen[0]}
        if seen
        else None,
        parts={
            name: np.array([[step[name] for step in run] for run in parts]).swapaxes(1, 2)
            for name in parts[0][0]
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
) -> tuple[list[Rollouts], list[dict[str, NDArray[np.float64]]]]:
    """Return the rollouts that tell how good each stage of adaptation is, and parts of returns."""
    key = Key(settings.seed, Phase.EVALUATE)
    inner_lrs = learner.recipe.inner_lrs(settings.steps, halve=settings.halve)
    stages = learner.adaptation(tasks, settings.rollouts, inner_lrs, key, library)
    scores, parts = [], []
    for step, stage in enumerate(stages):
        rollouts = stage.rollouts
        if settings.deterministic or settings.rollouts < settings.scored:
            rollouts = learner.sample(
                tasks,
                stage.parameters,
                settings.scored,
                key._replace(step=step, iteration=1),
                deterministic=settings.deterministic,
                memory=stage.memory,
            )
        scores.append(rollouts)
        parts.append(parts_of_return(learner, tasks, stage, key))
    return scores, parts


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
