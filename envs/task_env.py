"""Families of environments that have tasks already, in the manners of other libraries.

learn2learn, garage, Meta-World    sample_tasks(count), set_task(task)
ProMP, pytorch-maml-rl             sample_tasks(count), set_task(task) or reset_task(task)
PEARL                              get_all_task_idx(), reset_task(index)
"""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium

from metarl.envs.distributions import Choice, Distribution
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.global_randomness import OwnRandomness, seed_globals
from metarl.envs.task_wrapper import new_environment


def task_env_family(
    name: str,
    make_env: Callable[[], gymnasium.Env],
    horizon: int,
    *,
    distributions: tuple[Distribution, ...] = (),
    tasks: int = 50,
    held_out: int = 10,
    seed: int = 0,
    **fields: Any,  # noqa: ANN401
) -> ForeignFamily:
    """Return the family of an environment that has `set_task` or `reset_task`.

    Where its tasks are dicts of numbers, tell their distributions: tasks are then drawn as in any
    family, and known by their parameters. Tasks of other kinds are drawn once, by the environment,
    and known by their number, `{"index": 3}`; the last ones are never trained on and make the split
    `extrapolate`.

    Args:
        name: of the family.
        make_env: makes one environment; see `ForeignFamily`.
        horizon: steps in an episode.
        distributions: of the numbers in a task.
        tasks: how many to draw of the environment, where there are no distributions.
        held_out: how many of them training does not draw.
        seed: of this draw.
        fields: further ones of `ForeignFamily`, such as `action_scale`.

    Raises:
        ValueError: for an environment without these methods, or with too few tasks.
    """
    env = new_environment(name, make_env)
    try:
        tell = _telling(name, env.unwrapped)
        known = [] if distributions else _drawn(name, env, tasks, seed)
    finally:
        env.close()
    if not distributions:
        if not 0 <= held_out < tasks:
            raise ValueError(f"held_out must be at least 0 and below the {tasks} tasks")
        numbers = tuple(float(number) for number in range(tasks))
        trained = tasks - held_out
        distributions = (Choice("index", numbers[:trained], numbers[trained:]),)

    def set_task(env: gymnasium.Env, task: dict[str, float]) -> None:
        getattr(env.unwrapped, tell)(known[int(task["index"])] if known else task)

    return ForeignFamily(name, make_env, set_task, distributions, horizon, **fields)


def _telling(name: str, env: gymnasium.Env) -> str:
    """Return the method that tells an environment its task."""
    for method in ("set_task", "reset_task"):
        if callable(getattr(env, method, None)):
            return method
    raise ValueError(
        f"{type(env).__name__}, the environment of {name}, has neither set_task nor reset_task: "
        f"give ForeignFamily a function that tells it its task"
    )


def _drawn(name: str, env: gymnasium.Env, count: int, seed: int) -> Sequence[Any]:
    """Return tasks that an environment draws, whichever generator it draws them with."""
    inside: Any = env.unwrapped
    with OwnRandomness():
        seed_globals(seed)
        env.reset(seed=seed)
        if callable(getattr(inside, "sample_tasks", None)):
            known = list(inside.sample_tasks(count))
        elif callable(getattr(inside, "get_all_task_idx", None)):
            known = list(inside.get_all_task_idx())[:count]
        else:
            raise ValueError(
                f"{type(inside).__name__}, the environment of {name}, has neither sample_tasks nor "
                f"get_all_task_idx: tell the distributions of its tasks"
            )
    if len(known) < count:
        raise ValueError(f"{name} has {len(known)} tasks, not {count}: pass tasks={len(known)}")
    return known
