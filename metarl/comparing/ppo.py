"""Stable-Baselines3's PPO on each new task alone, from a new policy or from a pretrained one."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from metarl.agents.actor import Actor
from metarl.bridges.sb3 import to_ppo
from metarl.comparing.comparison import Curve
from metarl.comparing.scoring import model_return
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.sb3_vec_env import vec_env
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.settings import ComparisonSettings
from metarl.system.checkpoint import versions
from metarl.system.cores import cores
from metarl.system.partial_results import PartialResults
from metarl.system.progress import bar
from metarl.system.remote import Remote, spread

ENVIRONMENTS = 20
SETTINGS: dict[str, Any] = {
    "n_steps": 100,
    "batch_size": 250,
    "n_epochs": 5,
    "learning_rate": 2e-3,
    "gamma": 0.99,
}
"""The best of nine on four tasks each of HalfCheetahVel and HalfCheetahMass within 128,000 steps,
behind `VecNormalize`; Stable-Baselines3's defaults reach the same return with eight times as many
updates."""
DESCRIPTION = SETTINGS | {"n_envs": ENVIRONMENTS, "behind": VecNormalize.__name__}
"""The settings as they stand in `comparison.json`."""


class Start(NamedTuple):
    """Where PPO starts from, on every task."""

    method: str
    """The curve's name."""
    seed: int
    """Of PPO's initial network and exploration; the task's number is added."""
    actor: Actor | None
    """The policy that it starts from; None for a new one."""
    origin: str = ""
    """A digest of that policy."""


def points(budget: int) -> list[int]:
    """Return the environment steps at which PPO is judged: one iteration's, then their doubles.

    Args:
        budget: environment steps at most.
    """
    steps = [ENVIRONMENTS * SETTINGS["n_steps"]]
    while 2 * steps[-1] <= budget:
        steps.append(2 * steps[-1])
    return steps


def ppo_curves(
    family: TaskFamily | ForeignFamily,
    tasks: Tasks,
    starts: Sequence[Start],
    settings: ComparisonSettings,
    *,
    partial: PartialResults | None = None,
    progress_bar: bool = False,
) -> Iterator[tuple[str, Curve]]:
    """Train PPO on every task from every start; yield a curve a start, with its method.

    A process trains on one task at a time, with one thread: networks and batches are too small to
    gain from more.

    Args:
        family: of the tasks.
        tasks: a row each.
        starts: where PPO starts from.
        settings: of the comparison.
        partial: keeps the returns on each task as they come; None keeps nothing.
        progress_bar: show one, over tasks.
    """
    partial = partial or PartialResults(None)
    steps = points(settings.budget)
    jobs = [
        _Job(number, start, tasks[row : row + 1], row)
        for number, start in enumerate(starts)
        for row in range(len(tasks))
    ]
    decided = {"family": family.describe(), "points": steps, "seed": settings.seed}
    decided |= {"ppo": DESCRIPTION, "versions": versions()}
    of = {job.name: decided | job.decided_by() for job in jobs}
    returns: dict[str, Any] = {job.name: partial.find(job.name, of[job.name]) for job in jobs}
    left = [job for job in jobs if returns[job.name] is None]
    with ExitStack() as stack:
        trainers = [
            stack.enter_context(
                Remote(f"PPO process {number}", Trainer, family, steps, settings.seed)
            )
            for number in range(min(settings.workers or cores(), len(left)))
        ]
        for trainer in trainers:
            trainer.answer()
        trained = spread(trainers, "returns", [(job.start, job.task, job.row) for job in left])
        shown = bar(trained, total=len(left), unit="task", show=progress_bar)
        for job, result in zip(left, shown, strict=True):
            returns[job.name] = {"returns": np.array(result)}
            partial.add(job.name, of[job.name], {"returns": np.array(result)})
    for number, start in enumerate(starts):
        of_tasks = [returns[job.name]["returns"] for job in jobs if job.number == number]
        judged = [0, *steps] if start.actor else steps
        yield start.method, Curve(np.array(judged), np.stack(of_tasks)[None])


class _Job(NamedTuple):
    """What PPO is trained on: one task, from one start."""

    number: int
    """Of the start."""
    start: Start
    task: Tasks
    row: int
    """The task's number among those compared."""

    @property
    def name(self) -> str:
        """What its returns are kept under."""
        return f"PPO {self.number}, task {self.row}"

    def decided_by(self) -> dict[str, Any]:
        """Return what decides its returns, as plain data."""
        start = {"method": self.start.method, "seed": self.start.seed}
        return {"start": start, "checkpoint": self.start.origin, "tasks": list(self.task)}


class Trainer:
    """What one process trains PPO with, on one task after another."""

    def __init__(
        self, family: TaskFamily | ForeignFamily, points: Sequence[int], seed: int
    ) -> None:
        """Take what all tasks have in common.

        Args:
            family: of the tasks.
            points: environment steps at which PPO is judged.
            seed: of the start states that it is judged from.
        """
        self._family, self._points, self._seed = family, points, seed

    def returns(self, start: Start, task: Tasks, index: int) -> list[float]:
        """Return the mean return of PPO's policy on one task at each point of its training.

        Args:
            start: where it starts from; a policy that is handed on is judged too.
            task: one.
            index: the task's number among those compared.
        """
        # a policy that is handed on normalises observations itself
        env = VecNormalize(
            vec_env(self._family, ENVIRONMENTS, task),
            norm_obs=start.actor is None,
            gamma=SETTINGS["gamma"],
        )
        settings = {**SETTINGS, "seed": 1000 * start.seed + index, "device": "cpu"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if start.actor:
                model = to_ppo(start.actor, env, **settings)
            else:
                model = PPO("MlpPolicy", env, **settings)
        judged = _Normalised(model, env)
        returns = (
            [model_return(judged, self._family, task, index, self._seed)] if start.actor else []
        )
        for point in self._points:
            model.learn(point - model.num_timesteps, reset_num_timesteps=False)
            returns.append(model_return(judged, self._family, task, index, self._seed))
        env.close()
        return returns


class _Normalised(NamedTuple):
    """A model that was trained behind `VecNormalize`, on observations as they are."""

    model: PPO
    env: VecNormalize

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[Any, Any]:  # noqa: ANN401
        normalised = self.env.normalize_obs(observation)
        return self.model.predict(normalised, deterministic=deterministic)
