"""`ForeignFamily`: tasks of any Gymnasium environment that can be told its task.

    family = ForeignFamily(
        "PendulumMass",
        lambda: gymnasium.make("Pendulum-v1"),
        lambda env, task: setattr(env.unwrapped, "m", task["mass"]),
        (Uniform("mass", 0.5, 2.0, "kg"),),
        horizon=200,
    )
    metarl.MAML(family).learn(1_000_000)

It goes where a `TaskFamily` goes; its simulations are Gymnasium's vector environments, so they run
at the speed of those.

Actions of `predict` are from -1 to 1 for the whole range, as those of all families, whatever units
the environment has: `family.environment(task)` is one that takes them.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation, RescaleAction, TimeLimit, TransformAction
from numpy.typing import NDArray

from metarl.envs.distributions import Distribution
from metarl.envs.family import Result
from metarl.envs.finite import without_bad_numbers
from metarl.envs.global_randomness import OwnRandomness
from metarl.envs.plain import check_horizon_and_scale, make_plain
from metarl.envs.robot import Array
from metarl.envs.task_space import HasTaskSpace, TaskSpace
from metarl.envs.task_wrapper import OfTasks, SetTask, new_environment
from metarl.envs.tasks import Tasks

SUCCESS = ("is_success", "success")
"""Keys of an info that tell success: of gymnasium-robotics and Stable-Baselines3, of Meta-World."""


def task_through_reset_options(env: gymnasium.Env, task: dict[str, float]) -> dict[str, Any]:
    """Tell an environment its task as `reset(options={"task": {...}})`; for `ForeignFamily`.

    For one whose options are the parameters themselves, as those of Gymnasium's classic control
    are, `set_task` is `lambda env, task: task`.
    """
    return {"task": task}


@dataclass(frozen=True)
class ForeignFamily(HasTaskSpace):
    """A family made of a third-party environment."""

    name: str
    make_env: Callable[[], gymnasium.Env]
    """Makes one environment, with Box observations and bounded Box actions; for films, with
    `render_mode="rgb_array"`."""
    set_task: SetTask
    """Tells an environment its task; called before each reset. A dict that it returns is passed on
    as the reset's options; see `task_through_reset_options`."""
    distributions: tuple[Distribution, ...]
    """Of the task parameters."""
    horizon: int
    """Steps in an episode, unless it terminates before."""
    action_scale: float = 0.3
    """The part of the action range that an action of 1 of the policy asks for."""
    processes: bool = False
    """Run each environment in a process of its own (AsyncVectorEnv)."""
    tells_success: bool = False
    """Whether its info has `is_success` or `success`, as those of gymnasium-robotics and of
    Meta-World do."""
    succeeds_at_any_step: bool = False
    """Whether an episode succeeds when any of its steps does, as in Meta-World, and not when its
    last one does, as in gymnasium-robotics."""
    flatten_observation: bool = False
    """Wrap it in Gymnasium's `FlattenObservation`: for Dict and Tuple observations."""
    preset: str = "default"
    """Always `default`: there are no published variants to choose from."""
    observation_size: int = field(init=False)
    """How many numbers are observed, read off an environment."""
    action_size: int = field(init=False)
    """How many numbers an action has, read off an environment."""
    render_fps: float | None = field(init=False)
    """How many of its pictures are a second, read off an environment; None where it makes none."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_horizon_and_scale(self.horizon, self.action_scale)
        _ = self.space  # raises where two parameters have one name
        env = self._new()
        try:
            self._check_spaces(env)
            limit = env.spec.max_episode_steps if env.spec else None
            if limit is not None and limit < self.horizon:
                raise ValueError(
                    f"the environment of {self.name} ends after {limit} steps, "
                    f"before the horizon of {self.horizon}"
                )
            object.__setattr__(self, "observation_size", _size(env.observation_space))
            object.__setattr__(self, "action_size", _size(env.action_space))
            draws = env.render_mode == "rgb_array"
            # without a rate, RecordVideo of Gymnasium shows 30 pictures a second
            rate = float(env.metadata.get("render_fps") or 30) if draws else None
            object.__setattr__(self, "render_fps", rate)
        finally:
            env.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value, with the functions that it is made of."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return _unpickle, (cloudpickle.dumps(values),)

    @property
    def space(self) -> TaskSpace:
        """How tasks are drawn, checked and compared."""
        return TaskSpace(self.name, self.distributions)

    @property
    def cost_of_actions(self) -> Array:
        """Zeros: what the environment's reward charges for actions is not known."""
        return np.zeros((2, self.action_size))

    @property
    def native(self) -> bool:
        """No: Python steps the environments, one by one unless they have `processes`."""
        return False

    @property
    def reveals_task(self) -> bool:
        """No: the observation is the environment's, which is taken to hide the task."""
        return False

    def describe(self) -> dict[str, Any]:
        """Return the family as plain data."""
        return {
            "name": self.name,
            "preset": self.preset,
            "varies": self.space.describe(),
            "parameters": list(self.parameters),
            "horizon": self.horizon,
            "action_scale": self.action_scale,
            "observation_size": self.observation_size,
            "action_size": self.action_size,
        }

    def environment(self, task: Tasks | Mapping[str, float]) -> gymnasium.Env:
        """Return one environment as the policies know it, for `predict` or to train others in.

        It takes actions from -1 to 1 for the whole range, observes numbers in one row, is told its
        task at each reset and is truncated at the horizon.

            env = family.environment({"mass": 1.2})
            observation, _ = env.reset(seed=0)
            env.step(learner.predict(observation, deterministic=True)[0])

        Args:
            task: one.

        Raises:
            ValueError: for several tasks, or one that the family does not have.
        """
        table = self.task(task)
        if len(table) != 1:
            raise ValueError(f"an environment has one task, got {len(table)}")
        env: gymnasium.Env = OfTasks(self._new(), self.set_task, self.name, 0, table[0])
        if len(env.observation_space.shape or ()) != 1:
            env = FlattenObservation(env)
        space: Any = env.action_space
        flat = Box(space.low.reshape(-1), space.high.reshape(-1), dtype=space.dtype)

        def own(action: NDArray) -> NDArray:
            # rounded to the space's numbers, the end of a range may lie outside it
            return np.clip(np.reshape(action, space.shape), space.low, space.high)

        env = TransformAction(env, own, flat)
        return TimeLimit(RescaleAction(env, np.float32(-1.0), np.float32(1.0)), self.horizon)

    def replace(self, **changes: Any) -> "ForeignFamily":  # noqa: ANN401
        """Return the family with some fields changed."""
        return dataclasses.replace(self, **changes)

    def _new(self) -> gymnasium.Env:
        """Return an environment that has not been told a task."""
        env = new_environment(self.name, self.make_env)
        return FlattenObservation(env) if self.flatten_observation else env

    def _check_spaces(self, env: gymnasium.Env) -> None:
        """Raise ValueError for spaces that a policy cannot observe or act in."""
        if not isinstance(env.observation_space, Box):
            raise ValueError(
                f"{self.name} needs Box observations, got {env.observation_space}; "
                f"flatten_observation=True makes one row of numbers of them"
            )
        if not isinstance(env.action_space, Box):
            raise ValueError(f"{self.name} needs Box actions, got {env.action_space}")
        if not env.action_space.is_bounded():
            raise ValueError(f"the actions of {self.name} need bounds, got {env.action_space}")

    def simulate(self, count: int, *, threads: int = 0) -> "ForeignSimulator":
        """Return copies of the environment, with no tasks yet; close them when done.

        Args:
            count: how many.
            threads: ignored; see `processes`.
        """
        return ForeignSimulator(self, count)


class ForeignSimulator:
    """Many copies of an environment, stepped as `Simulator` steps its simulations."""

    def __init__(self, family: ForeignFamily, count: int) -> None:
        """Make `count` environments."""
        self.family = family
        self.count = count

        def make(index: int) -> Callable[[], gymnasium.Env]:
            return lambda: OfTasks(family._new(), family.set_task, family.name, index)

        kind = AsyncVectorEnv if family.processes else SyncVectorEnv
        self._randomness = OwnRandomness()
        with self._randomness:
            self._envs = kind([make(index) for index in range(count)])
        space: Any = self._envs.single_action_space
        self._low, self._high = space.low.ravel(), space.high.ravel()
        self._success_told = False
        self._tasks: Tasks | None = None
        self._time = 0
        self._observation: Array = np.zeros((count, family.observation_size))
        self.failed = np.zeros(count, dtype=bool)
        """Whether the last step returned numbers that are not finite, [sim]."""

    def set_tasks(self, tasks: Tasks, *, now: bool = False) -> None:
        """Give each environment its task; takes effect at the next reset, and never `now`."""
        if now:
            raise ValueError(
                f"the task of {self.family.name} cannot change in the middle of an episode: a "
                f"third-party environment is told its task only before a reset. The task of a "
                f"TaskFamily (a robot, a goal and dynamics) can"
            )
        if len(tasks) != self.count:
            raise ValueError(f"{self.count} simulations need as many tasks, got {len(tasks)}")
        self._tasks = self.family.task(tasks)

    def reset(
        self, generators: Iterable[np.random.Generator], sims: NDArray[np.integer] | None = None
    ) -> Array:
        """Start every environment with a seed drawn from its generator; [sim, observation]."""
        if sims is not None:
            raise ValueError("third-party environments can only be reset all at once")
        if self._tasks is None:
            raise RuntimeError("give the simulations their tasks first: set_tasks(tasks)")
        seeds: list[int | None] = [int(generator.integers(2**31)) for generator in generators]
        self._time = 0
        with self._randomness:
            observation, _ = self._envs.reset(seed=seeds, options={"tasks": list(self._tasks)})
        self._observation = self._flat(observation)
        return self._observation.copy()

    def step(self, action: NDArray[np.floating], active: NDArray[np.bool_] | None = None) -> Result:
        """Advance by one step; see `Simulator.step`.

        Gymnasium's vectors have no mask: environments that are not active are stepped too, but
        their observation stays as it was and they earn nothing. Numbers that are not finite end the
        episode; see `failed`.
        """
        if np.shape(action) != (self.count, self.family.action_size):
            raise ValueError(
                f"action must be {[self.count, self.family.action_size]}, "
                f"got {list(np.shape(action))}"
            )
        live = np.ones(self.count, dtype=bool) if active is None else active
        if not np.isfinite(action[live]).all():
            raise ValueError("an action is not finite")
        part = np.clip(self.family.action_scale * np.nan_to_num(action), -1.0, 1.0)
        control = self._low + (self._high - self._low) * (part + 1.0) / 2.0
        space: Any = self._envs.action_space
        with self._randomness:
            observation, reward, terminated, truncated, info = self._envs.step(
                # rounded to the space's numbers, the end of a range may lie outside it
                np.clip(control.reshape(space.shape).astype(space.dtype), space.low, space.high)
            )
        self._time += 1
        if self._time < self.family.horizon and (truncated & ~terminated & live).any():
            raise ValueError(
                f"the environment of {self.family.name} was truncated after {self._time} steps, "
                f"before the horizon of {self.family.horizon}; make the horizon at most that"
            )
        succeeded = self._succeeded(info)
        if self._time >= self.family.horizon or not (live & ~terminated).any():
            self._require_success()
        reward = np.where(live, reward, 0.0)
        # Gymnasium resets an ended environment in the next step: what it then observes is not told
        observed = np.where(live[:, None], self._flat(observation), self._observation)
        result = Result(observed, reward, terminated & live, succeeded)
        result, self.failed = without_bad_numbers(result, self._observation, live)
        self._observation = result.observation
        return result._replace(observation=self._observation.copy())

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()

    def pictures(self) -> tuple[NDArray[np.uint8], ...]:
        """Return each environment's own picture of its state, [height, width, 3]."""
        return self._envs.render()  # type: ignore[return-value]

    def _succeeded(self, info: dict[str, Any]) -> NDArray[np.bool_]:
        """Return what an info tells of success, [sim]; False where it does not."""
        for key in SUCCESS:
            if key in info:
                self._success_told = True
                told = np.asarray(info[key], dtype=bool)
                return np.asarray(told.reshape(self.count, -1).any(axis=1))
        return np.zeros(self.count, dtype=bool)

    def _require_success(self) -> None:
        """Warn when a family `tells_success`, but no info of a whole episode had a key for it.

        No error: an environment may have the key only in episodes that succeed.
        """
        if self.family.tells_success and not self._success_told:
            warnings.warn(
                f"{self.family.name} tells_success, but in a whole episode its info had neither "
                f"{' nor '.join(SUCCESS)}: success counts as 0. Let its step return "
                f"info['is_success'], or set tells_success=False",
                stacklevel=3,
            )

    def _flat(self, observation: Any) -> Array:  # noqa: ANN401
        return np.asarray(observation, dtype=np.float64).reshape(self.count, -1)


def _size(space: gymnasium.Space) -> int:
    return int(np.prod(space.shape or ()))


def _unpickle(values: bytes) -> ForeignFamily:
    return ForeignFamily(**cloudpickle.loads(values))
