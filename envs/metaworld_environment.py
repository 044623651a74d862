"""Meta-World's environments, made fit to be told one task after another; and their goals.

Meta-World 3.1.1 asks for MuJoCo 3.3.0 exactly. One line fails with later ones: `reset_mocap_welds`
assigns 11 numbers to a row of `eq_data`, which has 12 since. It is corrected here in subclasses,
and only where it fails: Meta-World itself stays as it is.

An environment takes 18 MB, nearly all of it its model. So a `SawyerArm` has one of them at a time,
and that of another task takes its place; a model is compiled once and copied for the others.
"""

import copy
import pickle
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from numpy.typing import NDArray

from metarl.envs.robot import Array

HORIZON = 500
"""Steps in an episode, after which Meta-World refuses to continue."""

GOALS = 50
"""Of each environment, in training and again in tests."""

_SIZE = 39
_WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
"""What Meta-World asks of the weld of hand and mocap body: anchor, relative pose (of which a
quaternion that starts with -1 and is 0 otherwise), torque scale."""


def available() -> bool:
    """Return whether Meta-World is installed."""
    return find_spec("metaworld") is not None


class SawyerArm(gymnasium.Env):
    """The arm in the environment of its task, with the goal hidden.

    Observes what Meta-World's meta-learning benchmarks do: hand, gripper and objects, the same of
    the step before, and three zeros in the place of the goal, [39]; behind them, where the kind of
    the task is told, a one-hot vector of it.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012, as Gymnasium has it
    render_mode = "rgb_array"

    def __init__(self, kinds: Sequence[str], *, tells_kind: bool = False) -> None:
        """Prepare; an environment is made when a task is set.

        Args:
            kinds: the environments that a task may name, such as `reach`.
            tells_kind: whether the observation ends with which of them it is.
        """
        self._kinds = tuple(kinds)
        self._one_hot = np.eye(len(kinds)) if tells_kind else np.zeros((len(kinds), 0))
        size = _SIZE + self._one_hot.shape[1]
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = Box(-1.0, 1.0, (4,), np.float32)
        self.spec = EnvSpec("Meta-World", max_episode_steps=HORIZON)
        self._env: Any = None
        self._kind = -1

    def set_task(self, kind: int, goal: Array) -> None:
        """Take a task from the next reset on.

        Args:
            kind: its environment, as an index of `kinds`.
            goal: the numbers that Meta-World draws at random: where objects and goal are.
        """
        name = self._kinds[kind]
        if kind != self._kind:
            self.close()
            self._env, self._kind = _class_of(name)(), kind
        told = {
            "rand_vec": np.array(goal),
            "env_cls": type(self._env).__bases__[0],  # Meta-World's own: pickle finds no subclass
            "partially_observable": True,
        }
        task = import_module("metaworld.types").Task(f"{name}-v3", pickle.dumps(told))
        self._env.set_task(task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start; a task has one start, whatever the seed."""
        super().reset(seed=seed)
        observation, _ = self._env.reset()
        return self._seen(observation), {}

    def step(self, action: NDArray) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Step; of Meta-World's info the success alone is kept."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        success = {"success": bool(info["success"])}
        return self._seen(observation), float(reward), terminated, truncated, success

    def render(self) -> Any:  # noqa: ANN401, as Gymnasium has it
        """Return a picture."""
        self._env.render_mode = self.render_mode
        return self._env.render()

    def close(self) -> None:
        """Let the environment go."""
        if self._env is not None:
            self._env.close()
        self._env, self._kind = None, -1

    def _seen(self, observation: Array) -> Array:
        return np.concatenate([observation, self._one_hot[self._kind]])


class Goals(NamedTuple):
    """What Meta-World draws at random in one of its environments."""

    drawn: Array
    """[goal, number]: where objects and goal are [m], whatever that is in the environment."""
    low: Array
    """The lowest that there may be, [number]."""
    high: Array
    """The highest, [number]."""


def draw_goals(kinds: Sequence[str], seeds: Sequence[int]) -> list[Goals]:
    """Return 50 goals of each environment for each seed, seed by seed.

    They are those of `metaworld.ML1`, `ML10` and `ML45` with that seed, which draw one environment
    after the other; but without the 250 steps of physics by which each reset moves the hand, and
    on which no draw depends.
    """
    before = np.random.get_state()  # noqa: NPY002, Meta-World draws from the global generator
    # of each seed, as an environment is made only once for all of them
    states = [np.random.RandomState(seed).get_state() for seed in seeds]
    goals = []
    try:
        for kind in kinds:
            env = _without_physics(_class_of(kind)())
            drawn = []
            for number, state in enumerate(states):
                np.random.set_state(state)  # noqa: NPY002
                for _ in range(GOALS):
                    env.reset()
                    drawn.append(np.array(env._last_rand_vec))
                states[number] = np.random.get_state()  # noqa: NPY002
            space = env._random_reset_space
            goals.append(Goals(np.stack(drawn), space.low, space.high))
            env.close()
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return goals


def _without_physics(env: Any) -> Any:  # noqa: ANN401
    """Return an environment that draws a goal at each reset, and whose time stands still."""

    def place(*_: Any, **__: Any) -> None:  # noqa: ANN401
        mujoco.mj_kinematics(env.model, env.data)

    def place_hand(*_: Any) -> None:  # noqa: ANN401
        place()
        env.init_tcp = env.tcp_center

    env.do_simulation, env._reset_hand = place, place_hand
    env._freeze_rand_vec, env._set_task_called = False, True
    return env


@cache
def _class_of(kind: str) -> Any:  # noqa: ANN401
    """Return Meta-World's class of an environment, with its one line corrected."""
    original = import_module("metaworld.env_dict").ALL_V3_ENVIRONMENTS[f"{kind}-v3"]

    def reset_mocap_welds(self: Any) -> None:  # noqa: ANN401
        try:
            original.reset_mocap_welds(self)
        except ValueError:  # 11 numbers for 12: not needed any more once Meta-World is mended
            welds = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD.value
            self.model.eq_data[welds, : len(_WELD)] = _WELD

    def _initialize_simulation(self: Any) -> tuple[mujoco.MjModel, mujoco.MjData]:  # noqa: ANN401
        model = copy.copy(_compiled(self.fullpath))
        return model, mujoco.MjData(model)

    mended = {f.__name__: f for f in (reset_mocap_welds, _initialize_simulation)}
    return type(original.__name__, (original,), mended)


@lru_cache(maxsize=10)  # of ML10 all that are trained on; 18 MB each
def _compiled(path: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(path)
