"""How a policy copes with a task that changes in the middle of an episode: dip and recovery.

    recovery = metarl.recovery(learner, "2.5:direction=-1")
    print(recovery)
    figures.save(recovery, "runs/dir")  # change.json and change.png

A policy that sees its task is played four times, from the same start states: with its memory as it
is, which notices changes, or with a window; with one that forgets nothing; with one that is cleared
at the change (the best that noticing could do); and with none. A policy without memory is adapted
to the task before, by a gradient step.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metarl.envs.distributions import Split
from metarl.envs.plain import whole
from metarl.envs.robot import Array
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.course import RECOVERED, SMOOTHED, Course, mean_in_words, median_in_words
from metarl.evaluation.interval import interval
from metarl.evaluation.settings import EvaluationSettings, TaskSettings
from metarl.evaluation.tasks import TaskChange, TaskChoice, new_tasks
from metarl.experience.memories import Remembered, nothing_seen
from metarl.learner.inner_loop import common
from metarl.learner.maml import MAML
from metarl.learner.runs import known_learner
from metarl.sampling.episodes import most_likely, play
from metarl.sampling.remembering import Remembering
from metarl.sampling.streams import Key, Phase, Purpose, streams
from metarl.system.checkpoint import versions
from metarl.system.files import write_json
from metarl.system.library_threads import one_library_thread

NOTICES = "notices changes"
"""How a policy remembers whose memory is left as it is."""
_ROLLOUTS = 20


@dataclass(frozen=True, eq=False)
class Recovery:
    """What a change of the task in the middle of an episode does to a policy's reward."""

    family: str
    before: Tasks
    """The tasks that episodes begin in."""
    after: Tasks
    """What each changes to."""
    courses: dict[str, Course]
    """By how the policy remembers, in words; the first is what was asked for."""
    unchanged: Course
    """Episodes that are in the new task from their start, as if it had changed then: how soon the
    policy gets there from a standstill. A change is rarely over sooner."""
    settings: dict[str, Any]
    """The change, the window, seed, split, training so far and versions."""

    @property
    def first(self) -> Course:
        """The course of the policy as it was asked for."""
        return next(iter(self.courses.values()))

    @property
    def title(self) -> str:
        """What was measured, in a line."""
        named = [f"{name} {value:g}" for name, value in self.settings["change"].items()]
        when = f"after {self.settings['seconds']:g} s"
        what = ", ".join(named) or "another task"
        return f"{self.family}: {what} {when}, {len(self.before)} tasks"

    def __str__(self) -> str:
        rows = [["", *self.first.columns()]]
        rows += [[name, *course.columns().values()] for name, course in self.courses.items()]
        names, *columns = ([len(cell) for cell in column] for column in zip(*rows, strict=True))
        lines = [
            "  ".join(
                [f"{row[0]:<{max(names)}}"]
                + [f"{c:>{max(w)}}" for c, w in zip(row[1:], columns, strict=True)]
            )
            for row in rows
        ]
        steady = mean_in_words(interval(self.first.steady))
        lines += [
            f"Rewards of a step; that of the new task from the start: {steady}.",
            "Times and 90 %: of the way there from the dip. Of the rate: 90 % of it within 2 s.",
        ]
        middle, share = median_in_words(self.unchanged.seconds()), self.unchanged.recovered
        lines.append(f"Episodes in it from the start: 90 % after {middle}, {share:.0%} in 2 s.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as in `change.json`."""
        return {
            "family": self.family,
            "before": list(self.before),
            "after": list(self.after),
            "steady": interval(self.first.steady).to_dict(),
            "unchanged": self.unchanged.times(),
            "courses": {name: course.to_dict() for name, course in self.courses.items()},
            "settings": self.settings,
        }

    def save(self, folder: str | Path, name: str = "change") -> list[Path]:
        """Write `change.json`; return the path, as a list of one; see `figures.save`."""
        numbers = Path(folder) / f"{name}.json"
        write_json(numbers, self.to_dict())
        return [numbers]


def recovery(
    learner: MAML,
    change: str | TaskChange,
    *,
    tasks: TaskChoice = TaskSettings.tasks,
    memory_window: int | None = None,
    seed: int = TaskSettings.seed,
    split: Split = EvaluationSettings.split,
) -> Recovery:
    """Play episodes whose task changes in the middle, with the most likely actions.

    Args:
        learner: the learner; it is not changed.
        change: when and to what, such as `"2.5:direction=-1"`; see `TaskChange`.
        tasks: how many to draw, or which episodes begin in; see `metarl.evaluate`. Those that the
            change leaves as they were are left out.
        memory_window: time constant [control steps] with which the policy's memory forgets, in
            addition to forgetting when it notices the change; None for no window.
        seed: decides tasks and start states.
        split: where tasks are drawn from.

    Raises:
        ValueError: for a change that the family does not allow, or that is outside the episode,
            for fewer than 2 tasks that change and whose episodes last until then, or for a window
            of a policy without memory.
    """
    family = known_learner(learner).family
    check_window(learner, memory_window)
    change = TaskChange.parse(change) if isinstance(change, str) else change
    at = change.step(family)
    assert isinstance(family, TaskFamily), "others are refused above"
    drawn = new_tasks(family, tasks, seed, split, least=2)
    before, after = change.pairs(family, drawn, seed, split)
    # iteration 3: evaluations and comparisons draw their start states at 0 to 2
    key = Key(seed, Phase.EVALUATE, 3)
    policies = _policies(learner, before, memory_window, key)
    known = next(iter(_policies(learner, after, None, key).values()))
    throughout, throughout_until = _played(learner, after, None, key, known)
    played = {
        name: _played(learner, before, (at, after), key, policy)
        for name, policy in policies.items()
    }
    lasts = np.all([until > at for _, until in played.values()], axis=0)
    if lasts.sum() < 2:
        raise ValueError(
            f"at least 2 episodes must last until the change after {change.seconds:g} s, got "
            f"{lasts.sum()} of {len(before)}"
        )
    steady = throughout[lasts, family.horizon // 2 :].mean(1)
    return Recovery(
        family.name,
        before[lasts],
        after[lasts],
        {
            name: Course(rewards[lasts], steady, at, family.dt, until[lasts])
            for name, (rewards, until) in played.items()
        },
        Course(throughout[lasts], steady, 0, family.dt, throughout_until[lasts]),
        {
            "seconds": change.seconds,
            "change": dict(change.task),
            "memory_window": memory_window,
            "smoothed_s": SMOOTHED,
            "recovered": RECOVERED,
            "ended_before_the_change": int((~lasts).sum()),
            "preset": family.preset,
            "horizon": family.horizon,
            "seed": seed,
            "split": split if isinstance(tasks, int | np.integer) else "given",
            "trained_timesteps": learner.num_timesteps,
            "trained_seed": learner.config.seed,
            "versions": versions(),
        },
    )


def check_window(learner: MAML, window: int | None) -> None:
    """Check that a policy can have a window [control steps]: it must remember its task.

    Args:
        learner: whose policy it is.
        window: None for no window.

    Raises:
        ValueError: for a policy without memory, or less than 1.
    """
    if window is None:
        return
    if not learner.state.memory:
        name = learner.config.algorithm
        raise ValueError(f"memory_window requires a policy with a memory; this {name} run has none")
    whole("memory_window", window)


class _Policy(NamedTuple):
    """What is played."""

    parameters: Mapping[str, Tensor]
    """[task, ...] each."""
    memory: Remembered | None = None
    """What it begins with; None for nothing, ever."""
    told: bool = False
    """Whether its memory is cleared at the change."""


def _policies(learner: MAML, tasks: Tasks, window: int | None, key: Key) -> dict[str, _Policy]:
    """Return what is played, by how it remembers; the first is what was asked for."""
    memory = nothing_seen(learner.state.memory, len(tasks))
    if memory is None:
        inner_lrs = learner.recipe.inner_lrs(1)
        *_, adapted = learner.adaptation(tasks, _ROLLOUTS, inner_lrs, key)
        return {"adapted before": _Policy(adapted.parameters)}
    parameters = common(learner.parameters, len(tasks))
    everything = memory.never_forgetting()
    return {
        f"window {window}" if window else NOTICES: _Policy(parameters, memory.forgetting(window)),
        "remembers all": _Policy(parameters, everything),
        "is told of the change": _Policy(parameters, everything, told=True),
        "remembers nothing": _Policy(parameters),
    }


def _played(
    learner: MAML, tasks: Tasks, change: tuple[int, Tasks] | None, key: Key, policy: _Policy
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Play an episode of each task; return rewards, [task, time], and lengths, [task].

    Args:
        learner: whose policy acts.
        tasks: that episodes begin in.
        change: the first step in new tasks, and which they are; None for no change.
        key: decides the start states.
        policy: what acts.
    """
    family, count = learner.family, len(tasks)
    blind = most_likely(learner.policy, policy.parameters)
    unseen = learner.policy.observation_size - family.observation_size

    def act(observation: Array) -> NDArray[np.floating]:
        # what a policy that remembers nothing sees of its task: zeros
        blank = np.zeros((count, 0 if policy.memory else unseen))
        return blind(np.concatenate([observation, blank], axis=1))

    rewards = np.zeros((count, family.horizon + 1))
    lengths = np.zeros(count, dtype=int)
    with closing(family.simulate(count)) as simulator, one_library_thread():
        simulator.set_tasks(tasks)
        starts = streams(key, Purpose.START, [(task, 0) for task in range(count)])
        remembering = Remembering(policy.memory, 1) if policy.memory else None
        for step, moment in enumerate(play(simulator, act, starts, remembering, change)):
            rewards[:, step] = moment.reward
            lengths += moment.active
            if remembering and policy.told and change and step == change[0]:
                remembering.memory[:] = 0.0
    return rewards[:, 1:], lengths
