"""What meta-learning saves on a new task, compared with the alternatives to it.

Every method works on the same new tasks and is judged by the same rollouts from the same starts,
with the most likely actions. Its cost is counted in environment steps on the new task.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from metarl.algorithms.table import ALGORITHMS
from metarl.comparing import ppo
from metarl.comparing.comparison import Comparison, Curve, joined
from metarl.comparing.scoring import SCORED, Model, model_return, policy_returns
from metarl.envs.family import Family
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.evaluate import as_list, check_seeds, decided_by, difference, differing
from metarl.evaluation.settings import (
    ComparisonKeywords,
    ComparisonSettings,
    TaskSettings,
    settings_of,
)
from metarl.evaluation.tasks import TaskChoice, new_tasks
from metarl.learner.maml import MAML
from metarl.learner.runs import known_learner
from metarl.sampling.streams import Key, Phase
from metarl.skills.library import SkillLibrary
from metarl.system.checkpoint import versions
from metarl.system.partial_results import PartialResults

ROLLOUTS = (1, 2, 5, 10, 20)
"""Rollouts that the first inner step is taken from, one adaptation each."""

_TOLD, _RANDOM = "told the task", "gradient steps, random start"
_PRETRAINED, _SCRATCH = "PPO from pretraining", "PPO from scratch"
_SKILLED = " with skills"

Named = Iterator[tuple[str, Curve]]
"""Curves by method."""


def compare(
    runs: Sequence[MAML],
    *,
    libraries: Sequence[SkillLibrary] = (),
    others: Mapping[str, Model] | None = None,
    tasks: TaskChoice = TaskSettings.tasks,
    progress_bar: bool = False,
    partial: PartialResults | None = None,
    **settings: Unpack[ComparisonKeywords],
) -> Comparison:
    """Adapt, fine-tune and train from scratch on the same new tasks.

    Args:
        runs: of one family; those that differ in seed alone are averaged. A run of the
            algorithm `pretrain` is fine-tuned by PPO; a run whose family reveals the task is not
            adapted at all.
        libraries: skills of some of the meta-learners.
        others: anything that acts as a Stable-Baselines3 model does, by the name to show. Its
            actions are in the range of its `action_space`, or in -1 to 1 if it has none.
        tasks: how many new ones to draw, or which; at least 2; see `metarl.evaluate`.
        progress_bar: show one, over PPO's tasks.
        partial: keeps each run's curve and each of PPO's tasks as they come, so that a call which
            was killed resumes from there; None keeps nothing. `others` are judged again.
        settings: `seed`, `budget` and `workers`; see `ComparisonSettings` for what they are and
            for their defaults.

    Raises:
        TypeError: for another setting.
        ValueError: for runs of different families, or of one algorithm with other settings or the
            same seed, none that meta-learns, a library that none of them has or two that one has,
            others with a method's name, or bad counts.
    """
    chosen = settings_of(ComparisonSettings, settings)
    runs = [known_learner(run) for run in as_list(runs)]
    meta, family = _checked(runs, libraries)
    _check_names(others or {}, meta)
    pretrained = [run for run in runs if run.config.algorithm == "pretrain" and not _is_told(run)]
    told = [run for run in runs if _is_told(run)]
    seeds = sorted({run.config.seed for run in meta})
    least = max(2 * ppo.ENVIRONMENTS * family.horizon, ppo.points(0)[0])
    if chosen.budget < least:
        raise ValueError(f"budget must be at least {least} steps, got {chosen.budget}")
    seed, tasks = chosen.seed, new_tasks(family, tasks, chosen.seed, "test", least=2)
    starts = [
        ppo.Start(_PRETRAINED, run.config.seed, run.actor(run.parameters), run.fingerprint)
        for run in pretrained
    ] + [ppo.Start(_SCRATCH, number, None) for number in seeds]
    untrained = _untrained(meta)
    new = [MAML(family, **untrained, seed=number) for number in seeds]
    kept = _Kept(partial or PartialResults(None), tasks, chosen)
    curves = [
        *_a_few_inner_steps(meta, libraries, kept),
        *_told_the_task(told, kept),
        *_as_they_are(others or {}, family, tasks, seed),
        *_inner_steps_only(new, kept),
        *ppo.ppo_curves(
            family, tasks, starts, chosen, partial=kept.partial, progress_bar=progress_bar
        ),
    ]
    return Comparison(
        family=family.name,
        curves=joined(curves),
        budget=ppo.points(chosen.budget)[-1],
        settings=_described(runs, tasks, seed),
    )


def _untrained(meta: Sequence[MAML]) -> dict[str, Any]:
    """Return the settings of a learner that takes a meta-learner's gradient steps, but the seed.

    Those of the first that takes any in training; else the defaults of `maml-trpo`.
    """
    taking = [run.config for run in meta if ALGORITHMS[run.config.algorithm].adapts_in_training]
    settings = asdict(taking[0] if taking else meta[0].config)
    names = settings.keys() - {"seed"} if taking else {"threads", "workers"}
    return {name: settings[name] for name in names} | {"device": str(meta[0].device)}


def _checked(
    runs: Sequence[MAML], libraries: Sequence[SkillLibrary]
) -> tuple[list[MAML], TaskFamily | ForeignFamily]:
    """Return the meta-learners and their family, when everything can be compared with them."""
    meta = [run for run in runs if run.config.algorithm != "pretrain" and not _is_told(run)]
    if not meta:
        got = [f"{r.config.algorithm}{' (--reveal-task)' * _is_told(r)}" for r in runs]
        raise ValueError(
            "a comparison needs at least one run that was meta-learned and is not told the task, "
            f"got {', '.join(got) or 'none'}"
        )
    family = meta[0].family
    if not isinstance(family, TaskFamily | ForeignFamily):
        raise ValueError(f"{family.name} has no environments that PPO could be trained in")
    for run in runs:
        # a policy that is told the task observes it: other observations of the same tasks
        ignored = {"reveals_task": False, "observation_size": 0}
        ours, theirs = family.describe() | ignored, run.family.describe() | ignored
        if family.name != run.family.name:
            raise ValueError(f"runs of {family.name} and {run.family.name} cannot be compared")
        if ours != theirs:
            raise ValueError(
                f"only runs of one and the same {family.name} compare: {differing(ours, theirs)}"
            )
    for library in libraries:
        if not any(library.fits(run) for run in meta):
            library.check(meta[0])
    for run in meta:
        if sum(library.fits(run) for library in libraries) > 1:
            raise ValueError(
                f"two libraries belong to the same run, {run.config.algorithm} with seed "
                f"{run.config.seed}: they would be averaged as if they were two runs"
            )
    _check_groups(runs)
    return meta, family


def _check_names(others: Mapping[str, Model], meta: Sequence[MAML]) -> None:
    """Check that other models are not named as a method: both would be averaged."""
    methods = {_TOLD, _RANDOM, _PRETRAINED, _SCRATCH}
    methods |= {run.config.algorithm for run in meta}
    methods |= {f"{run.config.algorithm}{_SKILLED}" for run in meta}
    if taken := sorted(methods & {*others}):
        raise ValueError(f"others need names that no method has, got {', '.join(taken)}")


def _check_groups(runs: Sequence[MAML]) -> None:
    """Check the runs that are averaged: those of an algorithm, or those told their task."""
    groups: dict[str, list[MAML]] = {}
    for run in runs:
        groups.setdefault("told" if _is_told(run) else run.config.algorithm, []).append(run)
    for group in groups.values():
        for run in group[1:]:
            differs = difference(group[0], run)
            if differs:
                raise ValueError(f"runs of one algorithm may differ in seed only: {differs}")
        check_seeds(group)
    if any(run.state.memory for run in groups.get("pretrain", ())):
        raise ValueError("a run of pretrain that has a context cannot be fine-tuned by PPO")


class _Kept(NamedTuple):
    """What the runs' curves depend on, and where they are kept until the comparison is done."""

    partial: PartialResults
    tasks: Tasks
    settings: ComparisonSettings

    def curve(
        self, name: str, run: MAML, make: Callable[[], Curve], library: SkillLibrary | None = None
    ) -> Curve:
        """Return a run's curve: as it was kept, or else made now."""
        of = decided_by(run, self.tasks, self.settings, library)
        return Curve.of(self.partial.get(name, of, lambda: make().arrays()))


def _a_few_inner_steps(
    meta: Sequence[MAML], libraries: Sequence[SkillLibrary], kept: _Kept
) -> Named:
    """Meta-learners, without skills and with them."""
    for number, run in enumerate(meta):
        words = run.config.algorithm
        fitting = [library for library in libraries if library.fits(run)]
        for which, library in enumerate([None, *fitting]):
            make = functools.partial(_adapted, run, kept.tasks, kept.settings.seed, library)
            name = f"{words}{_SKILLED}" if library else words
            yield name, kept.curve(f"run {number}, skills {which}", run, make, library)


def _told_the_task(told: Sequence[MAML], kept: _Kept) -> Named:
    """Policies that observe the task, not adapted: what could be reached at best."""
    for number, run in enumerate(told):
        make = functools.partial(_not_adapted, run, kept)
        yield _TOLD, kept.curve(f"told {number}", run, make)


def _as_they_are(others: Mapping[str, Model], family: Family, tasks: Tasks, seed: int) -> Named:
    """Models that are judged and not trained."""
    for name, model in others.items():
        rows = range(len(tasks))
        returns = [model_return(model, family, tasks[i : i + 1], i, seed) for i in rows]
        yield name, _flat(np.array(returns))


def _inner_steps_only(new: Sequence[MAML], kept: _Kept) -> Named:
    """Inner steps from initial parameters: what they gain without meta-learning."""
    for number, run in enumerate(new):
        count = kept.settings.budget // (ROLLOUTS[-1] * run.family.horizon)
        shown = {0, *(round(count * 0.5**halving) for halving in range(9))}
        make = functools.partial(
            _without_meta_learning, run, kept, run.recipe.inner_lrs(count), shown
        )
        yield _RANDOM, kept.curve(f"random start {number}", run, make)


def _not_adapted(run: MAML, kept: _Kept) -> Curve:
    return _flat(policy_returns(run, kept.tasks, run.parameters, kept.settings.seed))


def _without_meta_learning(
    run: MAML, kept: _Kept, inner_lrs: Sequence[float], shown: set[int]
) -> Curve:
    seed = kept.settings.seed
    return _curve(list(_judged_stages(run, kept.tasks, seed, ROLLOUTS[-1], inner_lrs, shown=shown)))


def _adapted(run: MAML, tasks: Tasks, seed: int, library: SkillLibrary | None) -> Curve:
    """Return a curve of one step from few to many rollouts, then of a second and a third.

    A policy with a memory takes the rollouts in for the first; gradient steps are those after it.
    """
    points = [(0, policy_returns(run, tasks, run.parameters, seed))]
    for rollouts in ROLLOUTS:
        inner_lrs = run.recipe.inner_lrs(3 if rollouts == ROLLOUTS[-1] else 1)
        steps = set(range(1, len(inner_lrs) + 1))
        points += _judged_stages(run, tasks, seed, rollouts, inner_lrs, library, shown=steps)
    # skills and memories need one rollout only, a gradient step as many as in training's defaults
    needs_one = library is not None or run.state.memory is not None
    return _curve(points, asked=1 if needs_one else len(ROLLOUTS))


def _judged_stages(
    run: MAML,
    tasks: Tasks,
    seed: int,
    rollouts: int,
    inner_lrs: Sequence[float],
    library: SkillLibrary | None = None,
    *,
    shown: set[int],
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield environment steps of a task so far and every task's return, after the steps shown."""
    key, spent = Key(seed, Phase.EVALUATE, 3), 0
    for step, stage in enumerate(run.adaptation(tasks, rollouts, inner_lrs, key, library)):
        if step in shown:
            returns = policy_returns(run, tasks, stage.parameters, seed, stage.memory)
            yield round(spent / len(tasks)), returns
        spent += stage.rollouts.steps  # fewer than the horizon's where robots fall


def _curve(points: Sequence[tuple[int, NDArray[np.float64]]], asked: int = 0) -> Curve:
    """Return the curve of one run from environment steps and returns, [task], of each point."""
    steps, returns = zip(*points, strict=True)
    return Curve(np.array(steps), np.stack(returns, 1)[None], asked)


def _flat(returns: NDArray[np.float64]) -> Curve:
    """Return the curve of what takes no environment steps, from returns, [task]."""
    return Curve(np.zeros(1, np.int64), returns[None, :, None])


def _is_told(run: MAML) -> bool:
    return isinstance(run.family, TaskFamily) and run.family.reveals_task


def _described(runs: Sequence[MAML], tasks: Tasks, seed: int) -> dict[str, Any]:
    """Return the settings that stand in `comparison.json`."""
    return {
        "seed": seed,
        "tasks": list(tasks),
        "scored_rollouts": SCORED,
        "ppo": ppo.DESCRIPTION,
        "runs": [
            {
                "algorithm": run.config.algorithm,
                "seed": run.config.seed,
                "trained_timesteps": run.num_timesteps,
                "told_the_task": _is_told(run),
            }
            for run in runs
        ],
        "versions": versions(),
    }
