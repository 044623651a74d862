"""The return by which the methods of a comparison are judged: alike for learners and for models.

Both ways start from the same states: a learner's rollouts and a model's episodes draw them from the
streams of one key, at the same numbers of task and rollout.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metarl.envs.robot import Array
from metarl.envs.simulator import Simulator
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.episodes import play
from metarl.experience.memories import Remembered
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase, Purpose, streams

SCORED = 5
"""Rollouts of each task that the score is the mean of."""


class Model(Protocol):
    """What acts as a Stable-Baselines3 model does."""

    def predict(self, observation: Any, *, deterministic: bool = ...) -> tuple[Any, Any]:  # noqa: ANN401
        """Return actions in -1 to 1, [n, action], for [n, observation], and a state."""
        ...


def policy_returns(
    learner: MAML,
    tasks: Tasks,
    parameters: Mapping[str, Tensor],
    seed: int,
    memory: Remembered | None = None,
) -> NDArray[np.float64]:
    """Return the mean return of a policy's most likely actions, [task].

    Args:
        learner: whose policy acts.
        tasks: a row each.
        parameters: common to all tasks, or each with a leading task axis.
        seed: of the start states.
        memory: what the policy remembers of the tasks; None for nothing.
    """
    rollouts = learner.sample(
        tasks, parameters, SCORED, _key(seed), deterministic=True, memory=memory
    )
    return rollouts.returns.double().mean(1).numpy()


def model_return(model: Model, family: TaskFamily, task: Tasks, index: int, seed: int) -> float:
    """Return the mean return of a model's most likely actions on one task.

    Args:
        model: with `predict`, whose actions are in -1 to 1.
        family: of the task.
        task: one.
        index: the task's number among those compared.
        seed: of the start states.
    """

    def act(observation: Array) -> Array:
        action, _ = model.predict(observation, deterministic=True)
        return np.asarray(action) / family.action_scale

    simulator = Simulator(family, SCORED, threads=1)
    simulator.set_tasks(task.repeat(SCORED))
    numbers = [(index, rollout) for rollout in range(SCORED)]
    total = np.zeros(SCORED)
    for moment in play(simulator, act, streams(_key(seed), Purpose.START, numbers)):
        total += moment.reward
    return float(total.mean())


def _key(seed: int) -> Key:
    # iteration 2: evaluations draw their start states at 0 and 1
    return Key(seed, Phase.EVALUATE, 2)
