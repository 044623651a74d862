"""A stand-in for Meta-World, for tests where it is not installed: two environments of its manner.

The hand is a mass on three slides, welded to a mocap body; a task says where the goal is, in the
numbers that Meta-World calls `rand_vec`. It has Meta-World's fault with MuJoCo 4, too.
"""

import pickle
import sys
from collections import OrderedDict
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box

from metarl.envs import metaworld_environment, metaworld_families

MJCF = """
<mujoco>
  <option timestep="0.0025"/>
  <worldbody>
    <body name="mocap" mocap="true"/>
    <body name="hand">
      <joint type="slide" axis="1 0 0"/>
      <joint type="slide" axis="0 1 0"/>
      <joint type="slide" axis="0 0 1"/>
      <geom size="0.02" mass="1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <equality><weld body1="mocap" body2="hand"/></equality>
</mujoco>
"""
LOW, HIGH = np.array([-0.1, 0.0, 0.05]), np.array([0.1, 0.0, 0.3])


class Task(NamedTuple):
    env_name: str
    data: bytes


class Sawyer(MujocoEnv):
    """What the two have in common, with the attributes that Meta-World's have."""

    metadata = {  # noqa: RUF012, as Gymnasium has it
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": 80,
    }
    path: ClassVar[str]
    sign: ClassVar[float]
    made: ClassVar[list[str]] = []

    def __init__(self) -> None:
        Sawyer.made.append(type(self).__name__)
        self._freeze_rand_vec, self._set_task_called = True, False
        self._last_rand_vec = np.zeros(3)
        self._random_reset_space = Box(LOW, HIGH, dtype=np.float64)
        super().__init__(self.path, 5, Box(-np.inf, np.inf, (39,), np.float64))
        self.reset_mocap_welds()

    @property
    def tcp_center(self):
        return self.data.body("hand").xpos

    def reset_mocap_welds(self) -> None:
        weld = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0]
        self.model.eq_data[0] = np.array(weld)

    def _set_action_space(self) -> Box:  # type: ignore[override]
        """There are no actuators."""
        space: Box = Box(-1.0, 1.0, (4,), np.float32)
        self.action_space = space
        return space

    def set_task(self, task: Task) -> None:
        data = pickle.loads(task.data)
        assert isinstance(self, data["env_cls"])
        assert data["partially_observable"]
        self._last_rand_vec, self._freeze_rand_vec = data["rand_vec"], True
        self._set_task_called = True

    def _reset_hand(self, steps: int = 3) -> None:
        for _ in range(steps):
            self.do_simulation([], self.frame_skip)
        self.init_tcp = self.tcp_center

    def reset_model(self):
        self._reset_hand()
        if not self._freeze_rand_vec:
            self._last_rand_vec = np.random.uniform(LOW, HIGH, 3)  # noqa: NPY002
        return self._observation()

    def reset(self, *, seed=None, options=None):
        self.reset_model()  # twice, as Meta-World does
        return super().reset()

    def step(self, action) -> Any:
        assert self._set_task_called
        self.data.mocap_pos[0] += 0.01 * np.clip(action[:3], -1.0, 1.0)
        self.do_simulation([], self.frame_skip)
        mujoco.mj_forward(self.model, self.data)
        distance = float(np.linalg.norm(self.tcp_center - self.sign * self._last_rand_vec))
        info = {"success": float(distance < 0.05), "near_object": 1.0}
        return self._observation(), 10.0 - distance, False, False, info

    def _observation(self):
        return np.concatenate([self.tcp_center, np.zeros(36)])


class SawyerReach(Sawyer):
    sign = 1.0


class SawyerPush(Sawyer):
    sign = -1.0


class SawyerShelf(Sawyer):
    sign = -1.0


def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put the stand-in where Meta-World is looked for, and forget what was made of another one."""
    path = folder / "sawyer.xml"
    path.write_text(MJCF)
    monkeypatch.setattr(Sawyer, "path", str(path), raising=False)
    monkeypatch.setattr(Sawyer, "made", [])
    classes = {"reach": SawyerReach, "push": SawyerPush, "shelf-place": SawyerShelf}
    every = OrderedDict((f"{kind}-v3", cls) for kind, cls in classes.items())
    benchmark = {"train": ["reach-v3", "push-v3"], "test": ["shelf-place-v3"]}
    modules: dict[str, dict[str, Any]] = {
        "metaworld": {},
        "metaworld.env_dict": {
            "ALL_V3_ENVIRONMENTS": every,
            "ML10_V3": benchmark,
            "ML45_V3": benchmark,
        },
        "metaworld.types": {"Task": Task},
    }
    for name, attributes in modules.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    forget()


def forget() -> None:
    """Forget the families, classes and models that were made so far."""
    for kept in (
        metaworld_environment._class_of,
        metaworld_environment._compiled,
        metaworld_families._family,
        metaworld_families._listed,
    ):
        kept.cache_clear()
