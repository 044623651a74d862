"""How well a learner adapts to tasks it never saw: returns before and after each inner step."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metarl.envs.tasks import Tasks
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.parts import parts_of_return
from metarl.evaluation.seen import ROLLOUTS, returns_by_what_was_seen
from metarl.evaluation.settings import (
    EvaluationKeywords,
    EvaluationSettings,
    TaskSettings,
    settings_of,
)
from metarl.evaluation.tasks import TaskChoice, new_tasks
from metarl.experience.rollouts import Rollouts
from metarl.learner.inner_loop import require_skills
from metarl.learner.maml import MAML
from metarl.learner.runs import known_learner
from metarl.sampling.streams import Key, Phase
from metarl.skills.library import SkillLibrary
from metarl.system.checkpoint import versions
from metarl.system.partial_results import Arrays, PartialResults
from metarl.system.progress import bar

_SEEN, _PART = "seen ", "part "
USUAL_STEPS = 3
"""Gradient steps of an adaptation when nothing else is asked for."""


def evaluate(
    learner: MAML | Sequence[MAML],
    *,
    tasks: TaskChoice = TaskSettings.tasks,
    library: SkillLibrary | Sequence[SkillLibrary] | None = None,
    partial: PartialResults | None = None,
    progress_bar: bool = False,
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
        partial: keeps the numbers of each learner as they come, so that a call which was killed
            resumes from there; None keeps nothing.
        progress_bar: show one.
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
    judged = chosen.scored if chosen.deterministic else max(chosen.rollouts, chosen.scored)
    if len(learners) == len(table) == 1 and judged < 2:
        raise ValueError("one rollout of one task has no interval: score at least 2")
    inner_lrs = _inner_lrs(first, chosen)
    partial = partial or PartialResults(None)
    measured = []
    samples = len(inner_lrs) + 1 + (len(ROLLOUTS) if first.state.memory else 0)
    with bar(total=len(learners) * samples, unit="part", show=progress_bar) as shown:
        for number, (run, skills) in enumerate(zip(learners, libraries, strict=True)):
            make = functools.partial(_measured, run, table, chosen, skills, shown.update)
            name = f"run {number}, {chosen.split} {chosen.rollouts}"
            name += " with skills" if skills else ""
            measured.append(partial.get(name, decided_by(run, table, chosen, skills), make))
            shown.update((number + 1) * samples - shown.n)  # what was kept, and not asked for
    joined = {name: np.stack([arrays[name] for arrays in measured]) for name in measured[0]}
    if len(learners) > 1 and len(table) == 1:  # intervals are over runs, not over rollouts
        joined |= {n: v.mean(1, keepdims=True) for n, v in joined.items() if n.startswith(_SEEN)}
    return Evaluation(
        family=first.family.name,
        algorithm=first.config.algorithm,
        tasks=table,
        returns=joined["returns"],
        success=joined.get("success"),
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
            "trained_timesteps_of_runs": [run.num_timesteps for run in learners],
            "trained_seed": first.config.seed,
            "trained_seeds": [run.config.seed for run in learners],
            "versions": versions(),
        },
        seen=_named(joined, _SEEN) or None,
        parts=_named(joined, _PART),
        rollouts=joined["rollouts"][0] if len(table) == len(learners) == 1 else None,
    )


def difference(one: MAML, other: MAML) -> str:
    """Return in what two learners differ besides seed, device, threads and workers, or nothing."""
    ignored = dict.fromkeys(("seed", "device", "threads", "workers"))
    both = (
        {**learner.family.describe(), **asdict(learner.config), **ignored}
        for learner in (one, other)
    )
    return differing(*both)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in words which entries of plain data differ, or nothing."""
    return "; ".join(
        f"{name} is {one.get(name)!r} and {other.get(name)!r}"
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    )


def decided_by(
    learner: MAML, tasks: Tasks, settings: TaskSettings, library: SkillLibrary | None = None
) -> dict[str, Any]:
    """Return what decides the numbers of a learner on some tasks, as plain data.

    Args:
        learner: whose they are.
        tasks: a row each.
        settings: of the measurement.
        library: skills to take the first step from.
    """
    config = {n: v for n, v in asdict(learner.config).items() if n not in ("threads", "workers")}
    return {
        "checkpoint": learner.fingerprint,
        "training settings": config | {"device": learner.device.type},
        "tasks": list(tasks),
        "settings": {n: v for n, v in asdict(settings).items() if n not in ("tasks", "workers")},
        "skills": library and library.fingerprint,
        "versions": versions(),
    }


def _alike(learner: MAML | Sequence[MAML]) -> list[MAML]:
    """Return the learners as a list, when they may be averaged."""
    learners = [known_learner(each) for each in as_list(learner)]
    if not learners:
        raise ValueError("there is no learner to evaluate")
    for other in learners[1:]:
        names = [run.family.name for run in (learners[0], other)]
        if names[0] != names[1]:
            raise ValueError(f"runs of {' and '.join(names)} cannot be evaluated together")
        differs = difference(learners[0], other)
        if differs:
            raise ValueError(f"runs that are evaluated together may differ in seed only: {differs}")
    check_seeds(learners)
    return learners


def check_seeds(runs: Sequence[MAML]) -> None:
    """Check that runs whose interval is over runs are of different seeds.

    Raises:
        ValueError: when two have the same.
    """
    seeds = [run.config.seed for run in runs]
    again = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if again is not None:
        raise ValueError(f"runs that are averaged must differ in seed; two of them have {again}")


def _libraries_of(
    learners: Sequence[MAML], library: SkillLibrary | Sequence[SkillLibrary] | None
) -> list[SkillLibrary | None]:
    """Return each learner's library: none where there are none at all."""
    given: list[SkillLibrary] = [] if library is None else as_list(library)
    for skills in given:
        require_skills(skills)
    fitting = [next((skills for skills in given if skills.fits(run)), None) for run in learners]
    if given and None in fitting:
        given[0].check(learners[fitting.index(None)])
    return fitting


def as_list(given: Any) -> list[Any]:  # noqa: ANN401, whatever a user gives
    """Return several things as a list, or a single one as a list of one; a path is one."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def _inner_lrs(learner: MAML, settings: EvaluationSettings) -> list[float]:
    """Return the sizes of the inner steps: as many as asked for, or as the learner usually takes.

    A policy that was trained to remember its task takes no gradient steps unless it is asked to: in
    its range they rarely help it.
    """
    steps = settings.steps
    if steps is None:
        remembers = learner.recipe.inner_lrs(1) == [0.0]
        steps = 1 if remembers else USUAL_STEPS
    return learner.recipe.inner_lrs(steps, halve=settings.halve)


def _scores(
    learner: MAML,
    tasks: Tasks,
    settings: EvaluationSettings,
    library: SkillLibrary | None,
    done: Callable[[], object],
) -> tuple[list[Rollouts], list[dict[str, NDArray[np.float64]]]]:
    """Return the rollouts that tell how good each stage of adaptation is, and parts of returns."""
    key = Key(settings.seed, Phase.EVALUATE)
    inner_lrs = _inner_lrs(learner, settings)
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
        done()
    return scores, parts


def _measured(
    learner: MAML,
    tasks: Tasks,
    settings: EvaluationSettings,
    library: SkillLibrary | None,
    done: Callable[[], object],
) -> Arrays:
    """Return the numbers of one learner: means over rollouts, [task, step], and others.

    Args:
        learner: whose they are.
        tasks: a row each.
        settings: of the evaluation.
        library: skills to take the first step from.
        done: called after each sample of rollouts.
    """
    scores, parts = _scores(learner, tasks, settings, library, done)
    arrays = {"returns": _means(scores, lambda rollouts: rollouts.returns)}
    if learner.family.tells_success:
        arrays["success"] = _means(scores, lambda rollouts: rollouts.succeeded)
    if len(tasks) == 1:  # [rollout, step]
        arrays["rollouts"] = np.stack([s.returns[0].double().numpy() for s in scores], axis=1)
    for name in parts[0]:
        arrays[f"{_PART}{name}"] = np.stack([step[name] for step in parts], axis=1)
    if learner.state.memory:
        key = Key(settings.seed, Phase.EVALUATE)
        likely = settings.deterministic
        seen = returns_by_what_was_seen(
            learner, tasks, scores[0], key, deterministic=likely, done=done
        )
        axis = 1 if len(tasks) > 1 else 0
        arrays |= {f"{_SEEN}{words}": value.mean(axis) for words, value in seen.items()}
    return arrays


def _means(scores: Sequence[Rollouts], part: Callable[[Rollouts], Tensor]) -> NDArray[np.float64]:
    """Return the mean of a part of the scores over rollouts, [task, step].

    Args:
        scores: by step.
        part: [task, rollout] of a score.
    """
    return np.stack([part(score).double().mean(1).numpy() for score in scores], 1)


def _named(arrays: Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, under the rest of their names."""
    return {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}
