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
from metarl.envs.robot import Array
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.interval import Interval, interval
from metarl.evaluation.settings import EvaluationSettings, TaskSettings
from metarl.evaluation.tasks import TaskChange, TaskChoice, new_tasks
from metarl.experience.memories import Remembered, nothing_seen
from metarl.learner.inner_loop import common
from metarl.learner.maml import MAML
from metarl.sampling.collect import Remembering
from metarl.sampling.episodes import most_likely, play
from metarl.sampling.streams import Key, Phase, Purpose, streams
from metarl.system.checkpoint import versions
from metarl.system.files import write_json
from metarl.system.library_threads import one_library_thread

SMOOTHED = 0.5
"""What rates are means over [s]: about two strides of a running robot."""
WITHIN = 2.0
"""Time after the change in which the dip is looked for, and recovery counts [s]."""
RECOVERED = 0.9
"""The part of the way from the dip to the new task's steady rate that counts as recovered. A part
of the rate itself would say nothing where rewards have another zero: those of HalfCheetahVel are
negative, and a bonus for not falling is most of Hopper's."""
NOTICES = "notices changes"
"""How a policy remembers whose memory is left as it is."""
_ROLLOUTS = 20


@dataclass(frozen=True, eq=False)
class Trials:
    """One policy's episodes, in each of which the task changes once."""

    rewards: NDArray[np.float64]
    """Of every step, [task, time]; 0 once an episode has ended."""
    steady: NDArray[np.float64]
    """Reward of a step in the last half of an episode that was in the new task throughout, [task]:
    what there is to recover."""
    change: int
    """The first step in the new task."""
    dt: float
    """Length of a step [s]."""

    @property
    def before(self) -> NDArray[np.float64]:
        """Reward of a step in the second before the change, [task]."""
        first = max(0, self.change - self._steps(1.0))
        return self.rewards[:, first : self.change].mean(1)

    @property
    def rates(self) -> NDArray[np.float64]:
        """The smooth rewards after the change, each of a whole half second, [task, time]."""
        return self.smooth[:, self.change + self._window - 1 :]

    @property
    def smooth(self) -> NDArray[np.float64]:
        """Rewards as means of the half second before, but never across the change, [task, time]."""
        sums = np.pad(self.rewards.cumsum(1), ((0, 0), (1, 0)))
        ends = np.arange(1, sums.shape[1])
        begins = np.where(ends > self.change, self.change, 0)
        starts = np.maximum(ends - self._steps(SMOOTHED), begins)
        return (sums[:, ends] - sums[:, starts]) / (ends - starts)

    @property
    def soon(self) -> NDArray[np.float64]:
        """The rates within 2 s after the change, or until the episode's end, [task, time]."""
        return self.rates[:, : max(1, self._steps(WITHIN) - self._window + 1)]

    @property
    def dip(self) -> NDArray[np.float64]:
        """The lowest rate within 2 s after the change, [task]."""
        return self.soon.min(1)

    def seconds(self, part: float = RECOVERED) -> NDArray[np.float64]:
        """Return the time from the change until a part of the way up to the steady rate, [task].

        Infinite for one that does not get there in its episode. The end of the smoothing window
        counts, so that no time is shorter than that.

        Args:
            part: of the way from the dip.
        """
        threshold = self.dip + part * (self.steady - self.dip)
        there = self.rates >= threshold[:, None]
        first = self.dt * (there.argmax(1) + self._window)
        return np.where(there.any(1), first, np.inf)

    @property
    def recovered(self) -> float:
        """The share of tasks that recovered within 2 s."""
        return float((self.seconds() <= WITHIN + 1e-9).mean())

    def means(self) -> dict[str, Interval]:
        """Return the mean rewards of a step before the change, in the dip and 2 s later."""
        values = {"before": self.before, "dip": self.dip, "2 s later": self.soon[:, -1]}
        return {name: interval(each) for name, each in values.items()}

    def columns(self) -> dict[str, str]:
        """Return the cells of the table."""
        return {
            **{f"{name} [95 %]": _words(mean) for name, mean in self.means().items()},
            "half-way": _middle(self.seconds(0.5)),
            "90 %": _middle(self.seconds()),
            "90 % in 2 s": f"{self.recovered:.0%}",
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data; a time is null where there is no recovery."""
        return {
            "recovered_within_2_s": self.recovered,
            **{name.replace(" ", "_"): mean.to_dict() for name, mean in self.means().items()},
            "seconds": [time if np.isfinite(time) else None for time in self.seconds().tolist()],
            "rewards": self.rewards.mean(0).tolist(),
        }

    @property
    def _window(self) -> int:
        return min(self._steps(SMOOTHED), self.rewards.shape[1] - self.change)

    def _steps(self, seconds: float) -> int:
        return max(1, round(seconds / self.dt))


@dataclass(frozen=True, eq=False)
class Recovery:
    """What a change of the task in the middle of an episode does to a policy's reward."""

    family: str
    before: Tasks
    """The tasks that episodes begin in."""
    after: Tasks
    """What each changes to."""
    trials: dict[str, Trials]
    """By how the policy remembers, in words; the first is what was asked for."""
    settings: dict[str, Any]
    """The change, the window, seed, split, training so far and versions."""

    @property
    def first(self) -> Trials:
        """The trials of the policy as it was asked for."""
        return next(iter(self.trials.values()))

    @property
    def title(self) -> str:
        """What was measured, in a line."""
        named = [f"{name} {value:g}" for name, value in self.settings["change"].items()]
        when = f"after {self.settings['seconds']:g} s"
        what = ", ".join(named) or "another task"
        return f"{self.family}: {what} {when}, {len(self.before)} tasks"

    def __str__(self) -> str:
        rows = [["", *self.first.columns()]]
        rows += [[name, *trials.columns().values()] for name, trials in self.trials.items()]
        names, *columns = ([len(cell) for cell in column] for column in zip(*rows, strict=True))
        lines = [
            "  ".join(
                [f"{row[0]:<{max(names)}}"]
                + [f"{c:>{max(w)}}" for c, w in zip(row[1:], columns, strict=True)]
            )
            for row in rows
        ]
        steady = _words(interval(self.first.steady))
        lines.append(f"Rewards of a step; 100 % is that of the new task from the start: {steady}.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as in `change.json`."""
        return {
            "family": self.family,
            "before": list(self.before),
            "after": list(self.after),
            "steady": interval(self.first.steady).to_dict(),
            "trials": {name: trials.to_dict() for name, trials in self.trials.items()},
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
        memory_window: control steps after which a transition counts e times less in the policy's
            memory, besides what it forgets when it notices the change; None for no window.
        seed: decides tasks and start states.
        split: where tasks are drawn from.

    Raises:
        ValueError: for a change that the family does not allow, or that is outside the episode, or
            for fewer than 2 tasks that change and whose episodes last until then.
    """
    family = learner.family
    change = TaskChange.parse(change) if isinstance(change, str) else change
    at = change.step(family)
    assert isinstance(family, TaskFamily), "others are refused above"
    drawn = new_tasks(family, tasks, seed, split, least=2)
    before, after = change.pairs(family, drawn, seed, split)
    # iteration 3: evaluations and comparisons draw their start states at 0 to 2
    key = Key(seed, Phase.EVALUATE, 3)
    policies = _policies(learner, before, memory_window, key)
    known = next(iter(_policies(learner, after, None, key).values()))
    steady = _played(learner, after, None, key, known)[0][:, family.horizon // 2 :].mean(1)
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
    return Recovery(
        family.name,
        before[lasts],
        after[lasts],
        {
            name: Trials(rewards[lasts], steady[lasts], at, family.dt)
            for name, (rewards, _) in played.items()
        },
        {
            "seconds": change.seconds,
            "change": dict(change.task),
            "memory_window": memory_window if learner.state.memory else None,
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


def _words(mean: Interval) -> str:
    return f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"


def _middle(seconds: NDArray[np.float64]) -> str:
    """Return the median of times in words."""
    middle = float(np.median(seconds))
    return f"{middle:.2f} s" if np.isfinite(middle) else "never"


class _Policy(NamedTuple):
    """What is played."""

    parameters: Mapping[str, Tensor]
    """[task, ...] each, on the CPU."""
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
        on_cpu = {name: value.cpu() for name, value in adapted.parameters.items()}
        return {"adapted before": _Policy(on_cpu)}
    on_cpu = {name: value.cpu() for name, value in learner.parameters.items()}
    parameters = common(on_cpu, len(tasks))
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
