"""Stable-Baselines3's PPO on each new task alone, from a new policy or from a pretrained one."""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from metarl.agents.actor import Actor
from metarl.bridges.sb3 import to_ppo
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.sb3_vec_env import vec_env
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.comparison import Curve
from metarl.evaluation.scoring import model_return
from metarl.evaluation.settings import ComparisonSettings

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
    """The policy that it goes on from; None for a new one."""


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
        progress_bar: show one, over tasks.
    """
    steps = points(settings.budget)
    jobs = [(start, tasks[i : i + 1], i) for start in starts for i in range(len(tasks))]
    workers = settings.workers or os.cpu_count() or 1
    # spawned, since forking a process that has torch's threads may deadlock
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        trained = pool.map(
            partial(_returns, family, steps, settings.seed), *zip(*jobs, strict=True)
        )
        bar = tqdm(trained, total=len(jobs), unit="task", disable=not progress_bar)
        returns = iter(list(bar))
    for start in starts:
        of_tasks = np.array([next(returns) for _ in range(len(tasks))])
        judged = [0, *steps] if start.actor else steps
        yield start.method, Curve(np.array(judged), of_tasks[None])


def _returns(
    family: TaskFamily | ForeignFamily,
    points: Sequence[int],
    seed: int,
    start: Start,
    task: Tasks,
    index: int,
) -> list[float]:
    """Return the mean return of PPO's policy on one task at each point of its training.

    Args:
        family: of the task.
        points: environment steps.
        seed: of the start states that it is judged from.
        start: where it starts from; a policy that is handed on is judged too.
        task: one.
        index: the task's number among those compared.
    """
    torch.set_num_threads(1)
    # a policy that is handed on normalises observations itself
    env = VecNormalize(
        vec_env(family, ENVIRONMENTS, task),
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
    returns = [model_return(judged, family, task, index, seed)] if start.actor else []
    for point in points:
        model.learn(point - model.num_timesteps, reset_num_timesteps=False)
        returns.append(model_return(judged, family, task, index, seed))
    env.close()
    return returns


class _Normalised(NamedTuple):
    """A model that was trained behind `VecNormalize`, on observations as they are."""

    model: PPO
    env: VecNormalize

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[Any, Any]:  # noqa: ANN401
        normalised = self.env.normalize_obs(observation)
        return self.model.predict(normalised, deterministic=deterministic)
