"""The return by which the methods of a comparison are judged: alike for learners and for models.

Both ways start from the same states: a learner's rollouts and a model's episodes draw them from the
streams of one key, at the same numbers of task and rollout.
"""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from torch import Tensor

from metarl.envs.family import Family
from metarl.envs.robot import Array
from metarl.envs.tasks import Tasks
from metarl.experience.memories import Remembered
from metarl.learner.maml import MAML
from metarl.sampling.episodes import play
from metarl.sampling.streams import Key, Phase, Purpose, streams

SCORED = 5
"""Rollouts of each task that the score is the mean of."""


class Model(Protocol):
    """What acts as a Stable-Baselines3 model does."""

    def predict(self, observation: Any, *, deterministic: bool = ...) -> tuple[Any, Any]:  # noqa: ANN401
        """Return actions, [n, action], for [n, observation], and a state.

        Actions are in the range of its `action_space`, where it has one, and in -1 to 1 otherwise.
        """
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


def model_return(model: Model, family: Family, task: Tasks, index: int, seed: int) -> float:
    """Return the mean return of a model's most likely actions on one task.

    Args:
        model: with `predict`.
        family: of the task.
        task: one.
        index: the task's number among those compared.
        seed: of the start states.
    """

    def act(observation: Array) -> Array:
        action, _ = model.predict(observation, deterministic=True)
        return _of_the_whole_range(model, np.asarray(action)) / family.action_scale

    numbers = [(index, rollout) for rollout in range(SCORED)]
    total = np.zeros(SCORED)
    with closing(family.simulate(SCORED, threads=1)) as simulator:
        simulator.set_tasks(task.repeat(SCORED))
        for moment in play(simulator, act, streams(_key(seed), Purpose.START, numbers)):
            total += moment.reward
    return float(total.mean())


def _of_the_whole_range(model: Model, action: NDArray) -> NDArray:
    """Return a model's actions as parts of the control range, -1 to 1, [n, action].

    A model that was trained in the third-party environment itself acts in its units.
    """
    space = getattr(model, "action_space", None)
    if not isinstance(space, Box) or ((space.low == -1.0).all() and (space.high == 1.0).all()):
        return action
    if not space.is_bounded():
        raise ValueError(f"the actions of a model need bounds to be compared, got {space}")
    return 2.0 * (action - space.low) / (space.high - space.low) - 1.0


def _key(seed: int) -> Key:
    # iteration 2: evaluations draw their start states at 0 and 1
    return Key(seed, Phase.EVALUATE, 2)
