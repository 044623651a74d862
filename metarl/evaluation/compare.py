"""What meta-learning saves on a new task, against what one would do instead.

Every method works on the same new tasks and is judged by the same 5 rollouts from the same starts,
with the most likely actions. What it costs are environment steps on the new task.
"""

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor
from tqdm import tqdm

from metarl.agents.actor import Actor
from metarl.bridges.sb3 import to_ppo
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.envs.simulator import Simulator
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.evaluate import difference
from metarl.evaluation.interval import Interval, interval
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase, Purpose, stream
from metarl.showing.figures import comparison_figure
from metarl.skills.library import SkillLibrary
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file

SCORED = 5
ROLLOUTS = (1, 2, 5, 10, 20)
"""Rollouts that the first inner step is taken from, one adaptation each."""
ENVIRONMENTS = 20
PPO_SETTINGS: dict[str, Any] = {
    "n_steps": 100,
    "batch_size": 250,
    "n_epochs": 5,
    "learning_rate": 2e-3,
    "gamma": 0.99,
}
"""The best of nine on four tasks each of HalfCheetahVel and HalfCheetahMass within 128,000 steps,
behind `VecNormalize`; Stable-Baselines3's own bring the same with eight times as many updates."""
SCRATCH = "PPO from scratch"


class Model(Protocol):
    """What acts as a Stable-Baselines3 model does."""

    def predict(self, observation: Any, *, deterministic: bool = ...) -> tuple[Any, Any]: ...  # noqa: ANN401, D102


@dataclass(frozen=True, eq=False)
class Curve:
    """Return against environment steps on the new task."""

    steps: NDArray[np.int64]
    """[point], ascending."""
    returns: NDArray[np.float64]
    """[run, task, point]."""
    asked: int = 0
    """The point of a meta-learner at which its savings are asked for; 0 for other methods."""

    def intervals(self) -> list[Interval]:
        """Return the mean over tasks at each point; the interval is over runs if there are some."""
        samples = self.returns.mean(1) if len(self.returns) > 1 else self.returns[0]
        return [interval(column) for column in samples.T]

    def reaches(self, target: float) -> float:
        """Return how many environment steps the mean needs to reach a return; inf if it does not.

        Between points the return is taken to be linear in the logarithm of steps.
        """
        mean = self.returns.mean((0, 1))
        for point in range(len(mean)):
            if mean[point] < target:
                continue
            if point == 0 or self.steps[point - 1] == 0:
                return float(self.steps[point])
            low, high = mean[point - 1], mean[point]
            part = (target - low) / (high - low)
            ends = np.log(self.steps[point - 1 : point + 1])
            return float(np.exp(ends[0] + part * (ends[1] - ends[0])))
        return math.inf


@dataclass(frozen=True, eq=False)
class Comparison:
    """Curves by method."""

    family: str
    curves: dict[str, Curve]
    budget: int
    """The environment steps that the others had for a task."""
    settings: dict[str, Any]

    def factors(self, method: str) -> dict[str, float]:
        """Return how many times the steps of a meta-learner others need for the same return.

        Args:
            method: a key of `curves`, of a meta-learner.
        """
        own = self.curves[method]
        cost, target = own.steps[own.asked], float(own.returns[:, :, own.asked].mean())
        return {
            name: curve.reaches(target) / cost
            for name, curve in self.curves.items()
            if name != method and len(curve.steps) > 1
        }

    def answer(self) -> str:
        """Return what each meta-learner saves, a line each."""
        lines = []
        for name, curve in self.curves.items():
            if not curve.asked:
                continue
            cost, target = int(curve.steps[curve.asked]), curve.returns[:, :, curve.asked].mean()
            parts = []
            for other, factor in self.factors(name).items():
                if self.curves[other].asked:
                    continue
                most = int(self.curves[other].steps[-1])
                if factor == 0.0:
                    parts.append(f"{other} brings as much before its first step")
                elif math.isfinite(factor):
                    parts.append(f"{other} needs {factor:,.1f} times as many")
                else:
                    parts.append(
                        f"{other} does not get there in {most:,}, {most / cost:,.0f} times as many"
                    )
            lines.append(
                f"{name}: a return of {target:.1f} after one step, for {cost:,} environment steps; "
                f"{'; '.join(parts)}."
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        rows = [f"{self.family}: return against environment steps on the new task"]
        for name, curve in self.curves.items():
            rows.append(f"  {name}")
            rows += [
                f"    {steps:>10,}  {value}"
                for steps, value in zip(curve.steps, curve.intervals(), strict=True)
            ]
        return "\n".join([*rows, self.answer()])

    def save(self, folder: str | Path) -> list[Path]:
        """Write `comparison.json` and `comparison.png`; return their paths."""
        numbers, picture = Path(folder) / "comparison.json", Path(folder) / "comparison.png"
        data = {
            "family": self.family,
            "answer": self.answer(),
            "budget": self.budget,
            "curves": {
                name: {"steps": curve.steps.tolist(), "returns": curve.returns.tolist()}
                for name, curve in self.curves.items()
            },
            "settings": self.settings,
        }
        with whole_file(numbers) as temporary:
            temporary.write_text(json.dumps(data) + "\n")
        with whole_file(picture) as temporary:
            drawn = {name: (curve.steps, curve.intervals()) for name, curve in self.curves.items()}
            comparison_figure(drawn, self.family).savefig(temporary, dpi=150)
        return [numbers, picture]


def compare(
    runs: Sequence[MAML],
    *,
    libraries: Sequence[SkillLibrary] = (),
    others: Mapping[str, Model] | None = None,
    tasks: int | Tasks = 40,
    budget: int = 200_000,
    seed: int = 0,
    workers: int | None = None,
    progress_bar: bool = False,
) -> Comparison:
    """Adapt, fine-tune and train from scratch on the same new tasks.

    Args:
        runs: of one family; those that differ in seed alone are taken together. A run of the
            algorithm `pretrain` is fine-tuned by PPO; a run whose family reveals the task is not
            adapted at all.
        libraries: skills of some of the meta-learners.
        others: anything that acts as a Stable-Baselines3 model does, by the name to show.
        tasks: how many new ones to draw, or a table; at least 2.
        budget: environment steps that the others have for each task.
        seed: decides tasks, start states and exploration.
        workers: processes for PPO; None for one a core.
        progress_bar: show one, over PPO's tasks.

    Raises:
        ValueError: for runs of different families, or of one algorithm with other settings, none
            that meta-learns, a library that none of them has, or bad counts.
    """
    meta = [run for run in runs if run.config.algorithm != "pretrain" and not _told(run)]
    if not meta:
        raise ValueError("a comparison needs at least one run that was meta-learned")
    family = meta[0].family
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{family.name} has no environments that PPO could be trained in")
    for run in runs:
        known = {**run.family.describe(), "reveals_task": False, "observation_size": 0}
        if known != {**family.describe(), "reveals_task": False, "observation_size": 0}:
            raise ValueError(f"runs of {family.name} and {run.family.name} cannot be compared")
    if budget < 2 * ENVIRONMENTS * family.horizon:
        raise ValueError(f"budget must be at least {2 * ENVIRONMENTS * family.horizon} steps")
    if isinstance(tasks, int):
        tasks = family.sample_tasks(tasks, seed=seed, split="test")
    if len(tasks) < 2:
        raise ValueError(f"an interval needs at least 2 tasks, got {len(tasks)}")

    for library in libraries:
        if not any(library.fits(run) for run in meta):
            library.check(meta[0])
    for run in meta:
        same = next(each for each in meta if each.config.algorithm == run.config.algorithm)
        if difference(same, run):
            raise ValueError(
                f"runs of one algorithm may differ in seed only: {difference(same, run)}"
            )

    curves: dict[str, list[Curve]] = {}
    for run in meta:
        name = run.config.algorithm
        curves.setdefault(name, []).append(_adapted(run, tasks, seed, None))
        for library in libraries:
            if library.fits(run):
                skilled = _adapted(run, tasks, seed, library)
                curves.setdefault(f"{name} with skills", []).append(skilled)
    for run in runs:
        if _told(run):
            scores = _score(run, tasks, run.parameters, seed)
            curves.setdefault("told the task", []).append(_flat(scores))
    for name, model in (others or {}).items():
        jobs = [(family, tasks[i : i + 1], i, seed) for i in range(len(tasks))]
        scores = np.array([model_return(model, *job) for job in jobs])
        curves[name] = [_flat(scores)]
    for number in sorted({run.config.seed for run in meta}):
        new = MAML(family, seed=number, device=str(meta[0].device))
        count = budget // (ROLLOUTS[-1] * family.horizon)
        curve = _gradient_steps(new, tasks, seed, count)
        curves.setdefault("gradient steps, random start", []).append(curve)

    points = [ENVIRONMENTS * PPO_SETTINGS["n_steps"]]
    while 2 * points[-1] <= budget:
        points.append(2 * points[-1])
    starts: list[tuple[str, int, Actor | None]] = [
        ("PPO from pretraining", run.config.seed, run.actor(run.parameters))
        for run in runs
        if run.config.algorithm == "pretrain" and not _told(run)
    ]
    starts += [(SCRATCH, number, None) for number in sorted({run.config.seed for run in meta})]
    learn = partial(_ppo_returns, family, points, seed)
    jobs = [(tasks[i : i + 1], i, number, a) for _, number, a in starts for i in range(len(tasks))]
    workers = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = list(
            tqdm(
                pool.map(learn, *zip(*jobs, strict=True)),
                total=len(jobs),
                unit="task",
                disable=not progress_bar,
            )
        )
    for index, (name, _, actor) in enumerate(starts):
        part = np.array(results[index * len(tasks) : (index + 1) * len(tasks)])
        steps = np.array([0, *points] if actor else points)
        curves.setdefault(name, []).append(Curve(steps, part[None]))

    joined = {
        name: Curve(
            found[0].steps, np.concatenate([each.returns for each in found]), found[0].asked
        )
        for name, found in curves.items()
    }
    settings = {
        "seed": seed,
        "tasks": list(tasks),
        "scored_rollouts": SCORED,
        "ppo": PPO_SETTINGS | {"n_envs": ENVIRONMENTS, "behind": VecNormalize.__name__},
        "runs": [
            {
                "algorithm": run.config.algorithm,
                "seed": run.config.seed,
                "trained_timesteps": run.num_timesteps,
                "told_the_task": _told(run),
            }
            for run in runs
        ],
        "versions": versions(),
    }
    return Comparison(family.name, joined, points[-1], settings)


def _told(run: MAML) -> bool:
    return run.family.reveals_task


def _flat(scores: NDArray[np.float64]) -> Curve:
    return Curve(np.zeros(1, np.int64), scores[None, :, None])


def _score(
    run: MAML, tasks: Tasks, parameters: Mapping[str, Tensor], seed: int
) -> NDArray[np.float64]:
    """Return the mean return of the most likely actions, [task]."""
    key = Key(seed, Phase.EVALUATE, 2)
    rollouts = run.sample(tasks, parameters, SCORED, key, deterministic=True)
    return rollouts.returns.double().mean(1).numpy()


def _adapted(run: MAML, tasks: Tasks, seed: int, library: SkillLibrary | None) -> Curve:
    """Return a curve of one step from few to many rollouts, then of a second and a third."""
    key = Key(seed, Phase.EVALUATE, 3)
    steps, scores = [0], [_score(run, tasks, run.parameters, seed)]
    for rollouts in ROLLOUTS:
        last = rollouts == ROLLOUTS[-1]
        inner_lrs = [run.config.inner_lr] * (3 if last else 1)
        spent = 0
        for step, stage in enumerate(run.adaptation(tasks, rollouts, inner_lrs, key, library)):
            if step:
                steps.append(round(spent / len(tasks)))
                scores.append(_score(run, tasks, stage.parameters, seed))
            spent += stage.rollouts.steps  # fewer than the horizon's where robots fall
    # skills need no more than one rollout; a gradient step has as many as in training's defaults
    asked = 1 if library else len(ROLLOUTS)
    return Curve(np.array(steps), np.stack(scores, 1)[None], asked)


def _gradient_steps(run: MAML, tasks: Tasks, seed: int, count: int) -> Curve:
    """Return a curve of many inner steps from where the learner is."""
    shown = {0, *(round(count * 0.5**halving) for halving in range(9))}
    steps, scores, spent = [], [], 0
    inner_lrs = [run.config.inner_lr] * count
    key = Key(seed, Phase.EVALUATE, 3)
    for step, stage in enumerate(run.adaptation(tasks, ROLLOUTS[-1], inner_lrs, key)):
        if step in shown:
            steps.append(round(spent / len(tasks)))
            scores.append(_score(run, tasks, stage.parameters, seed))
        spent += stage.rollouts.steps
    return Curve(np.array(steps), np.stack(scores, 1)[None])


def _ppo_returns(
    family: TaskFamily,
    points: Sequence[int],
    seed: int,
    task: Tasks,
    index: int,
    number: int,
    actor: Actor | None,
) -> list[float]:
    """Return what PPO's policy brings on one task at each point of its training.

    Args:
        family: of the task.
        points: environment steps.
        seed: of the start states that it is judged from.
        task: one.
        index: the task's number among those compared.
        number: PPO's own seed.
        actor: where it starts from, judged too; None for a new policy.
    """
    torch.set_num_threads(1)
    # a handed-on policy normalises observations itself
    env = VecNormalize(
        TaskVecEnv(family, ENVIRONMENTS, task=task, threads=1),
        norm_obs=actor is None,
        gamma=PPO_SETTINGS["gamma"],
    )
    settings = {**PPO_SETTINGS, "seed": 1000 * number + index, "device": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = to_ppo(actor, env, **settings) if actor else PPO("MlpPolicy", env, **settings)
    judged = _Normalised(model, env)
    found = [model_return(judged, family, task, index, seed)] if actor else []
    for point in points:
        model.learn(point - model.num_timesteps, reset_num_timesteps=False)
        found.append(model_return(judged, family, task, index, seed))
    return found


class _Normalised(NamedTuple):
    """A model that was trained behind `VecNormalize`, on observations as they are."""

    model: PPO
    env: VecNormalize

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[Any, Any]:  # noqa: ANN401
        normalised = self.env.normalize_obs(observation)
        return self.model.predict(normalised, deterministic=deterministic)


def model_return(model: Model, family: TaskFamily, task: Tasks, index: int, seed: int) -> float:
    """Return the mean return of a model's most likely actions on one task.

    Args:
        model: with `predict`, whose actions are in -1 to 1.
        family: of the task.
        task: one.
        index: the task's number among those compared.
        seed: of the start states.
    """
    simulator = Simulator(family, SCORED, threads=1)
    simulator.set_tasks(task.repeat(SCORED))
    key = Key(seed, Phase.EVALUATE, 2)
    observation = simulator.reset([stream(key, Purpose.START, index, r) for r in range(SCORED)])
    active, total = np.ones(SCORED, dtype=bool), np.zeros(SCORED)
    for _ in range(family.horizon):
        action, _ = model.predict(observation, deterministic=True)
        result = simulator.step(np.asarray(action) / family.action_scale, active)
        total += result.reward
        observation = result.observation
        active = active & ~result.terminated
        if not active.any():
            break
    return float(total.mean())
