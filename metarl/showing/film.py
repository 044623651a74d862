"""What a film shows: episodes before and after adaptation, with all that pages are drawn from."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.agents.policy import Parameters
from metarl.envs.foreign_family import ForeignFamily, ForeignSimulator
from metarl.envs.opengl_camera import draw_headless
from metarl.envs.robot import Array
from metarl.envs.simulator import Simulator
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.recovery import check_window
from metarl.evaluation.tasks import TaskChange
from metarl.experience.memories import Remembered
from metarl.learner.maml import MAML
from metarl.sampling.collect import Acting
from metarl.sampling.episodes import most_likely, play
from metarl.sampling.remembering import Remembering
from metarl.sampling.streams import Key, Phase, Purpose, streams
from metarl.showing.pictures import packed
from metarl.showing.settings import FilmSettings
from metarl.skills.library import SkillLibrary
from metarl.system.library_threads import one_library_thread

Filmed = TaskFamily | ForeignFamily
"""Families that can be filmed: metarl's, and third-party ones that render themselves."""


class Take(NamedTuple):
    """One filmed episode."""

    title: str
    states: Any
    """What is drawn of the start and of each step, [time + 1]: positions, [nq] each; of a
    third-party environment the pictures that it renders, as PNG files."""
    position: NDArray[np.float64]
    """Where the robot is on the ground, [time + 1, 1 or 2] in m; no columns for a robot with
    a fixed base, or for third-party environments."""
    rewards: NDArray[np.float64]
    """[time]."""
    contexts: NDArray[np.floating]
    """What the policy saw of its task, [time + 1, context]; no columns for one without memory."""
    away: NDArray[np.float64] = np.zeros(0)
    """How far what should be at the goal's point is from it, [time + 1] in m; empty where the goal
    is no point."""


class Row(NamedTuple):
    """What is filmed of one task."""

    task: Tasks
    """One."""
    takes: list[Take]
    """As many as there are panels, or the later one and its ghost."""
    change: tuple[int, Tasks] | None = None
    """The first control step in another task, and which one; None where the task stays."""

    def phase(self, index: int) -> Tasks:
        """Return the task at a control step."""
        return self.change[1] if self.change and index >= self.change[0] else self.task


def shoot_all(
    learner: MAML,
    family: Filmed,
    task: Tasks | Mapping[str, float],
    settings: FilmSettings,
    library: SkillLibrary | None = None,
) -> list[Row]:
    """Adapt to tasks and play an episode after each number of inner steps.

    Args:
        learner: the learner; it is not changed.
        family: its family.
        task: a task's parameters, or a table with a row a task.
        settings: of the film.
        library: skills to take the first step from; see `MAML.adapt`.

    Raises:
        ValueError: for a task or a change that the family does not have, or a window of a policy
            without memory.
    """
    check_window(learner, settings.memory_window)
    table, key = family.task(task), Key(settings.seed, Phase.ADAPT)
    inner_lrs = learner.recipe.inner_lrs(max(settings.steps))
    change = TaskChange.parse(settings.change) if settings.change else None
    changed = change.after(family, table, settings.seed, "test") if change else table
    rows = []
    for index in range(len(table)):
        one, other = table[index : index + 1], changed[index : index + 1]
        to = (change.step(family), other) if change else None
        stages = list(learner.adaptation(one, settings.rollouts, inner_lrs, key, library))
        takes = [
            shoot(
                family,
                learner.policy,
                one,
                stages[step].parameters,
                key,
                _title(learner, step, settings.rollouts),
                _forgetting(stages[step].memory, settings) if change else stages[step].memory,
                to,
            )
            for step in settings.steps
        ]
        rows.append(Row(one, takes, to))
    return rows


def _forgetting(memory: Remembered | None, settings: FilmSettings) -> Remembered | None:
    return memory.forgetting(settings.memory_window) if memory else None


def _title(learner: MAML, step: int, rollouts: int) -> str:
    """Return in words what a policy has behind it after a step of adaptation."""
    if step == 0:
        return "nothing seen of the task" if learner.state.memory else "before adaptation"
    gradients = sum(lr > 0.0 for lr in learner.recipe.inner_lrs(step))
    spent = f"{rollouts * step} rollout{'s' * (rollouts * step > 1)}"
    if not gradients:
        return f"after {spent}"
    return f"after {gradients} step{'s' * (gradients > 1)}, {spent}"


def shoot(
    family: Filmed,
    policy: Acting,
    task: Tasks,
    parameters: Parameters,
    key: Key,
    title: str,
    memory: Remembered | None = None,
    change: tuple[int, Tasks] | None = None,
) -> Take:
    """Play one episode with the most likely actions and keep its states.

    Args:
        family: of the task.
        policy: the policy.
        task: one.
        parameters: with a leading task axis of 1.
        key: decides the start state.
        title: written above the film.
        memory: what the policy remembers of the task; None for a policy without memory.
        change: the first control step in another task, and which one; None where the task stays.
    """
    act = most_likely(policy, parameters)
    states, places, rewards, contexts, away = [], [], [], [], []
    draw_headless()  # before a third-party environment makes its own renderer
    with closing(family.simulate(1, threads=1)) as simulator, one_library_thread():
        simulator.set_tasks(task)
        starts = streams(key, Purpose.START, [(0, 0)])
        remembering = Remembering(memory, 1) if memory else None
        for moment in play(simulator, act, starts, remembering, change):
            state, place = _look(simulator)
            states.append(state)
            places.append(place)
            rewards.append(moment.reward[0])
            now = change[1] if change and len(states) > change[0] else task
            away.append(_from_the_point(simulator, now))
            contexts.append(remembering.context()[0] if remembering else np.zeros(0, np.float32))
    drawn = states if isinstance(family, ForeignFamily) else np.stack(states)
    known = np.array([distance for distance in away if distance is not None])
    return Take(title, drawn, np.stack(places), np.array(rewards[1:]), np.stack(contexts), known)


def _from_the_point(simulator: Simulator | ForeignSimulator, task: Tasks) -> float | None:
    """Return how far the tip, or the object, is from the goal's point [m]; None without one.

    An object where the goal's tracks have one; at its height too where they have that.
    """
    if isinstance(simulator, ForeignSimulator):
        return None
    robot, goal = simulator.family.robot, simulator.family.goal
    if goal.marker is None:
        return None
    mark = goal.marker(task[0], 0.0)
    if mark.kind != "point":
        return None
    what = "object_" if "object_x" in goal.tracks else ""
    names = [f"{what}{axis}" for axis in "xyz" if f"{what}{axis}" in goal.tracks]
    if names[:2] != [f"{what}x", f"{what}y"]:
        return None
    place = robot.position(simulator.fields)[0, [robot.tracks.index(name) for name in names]]
    point = np.array([mark.x, mark.y, mark.z])[: len(names)]
    return float(np.linalg.norm(place - point))


def _look(simulator: Simulator | ForeignSimulator) -> tuple[Any, Array]:
    """Return what is drawn of the simulation, and where its robot is on the ground, [0 to 2]."""
    if isinstance(simulator, ForeignSimulator):
        return packed(simulator.pictures()[0]), np.zeros(0)
    robot = simulator.family.robot
    names = ("x", "y") if robot.lookat is None else ()
    ground = [robot.tracks.index(name) for name in names if name in robot.tracks]
    place = robot.position(simulator.fields)[0, ground]
    return simulator.fields["qpos"][0].copy(), place
