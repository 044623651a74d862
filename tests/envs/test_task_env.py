"""Environments in the manners of other libraries: their own tasks arrive where they are stepped."""

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest

import metarl
from metarl.envs import task_env_family
from metarl.envs.distributions import Uniform


class Line(gymnasium.Env):
    """A point on a line: the reward is minus the distance to a goal."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    goal = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = 0.0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.x += 0.1 * float(action[0])
        return np.full(1, self.x, np.float32), -abs(self.x - self.goal), False, False, {}


class Learn2learn(Line):
    """As learn2learn, garage and ProMP have it."""

    def sample_tasks(self, count):
        return [{"goal": goal} for goal in self.np_random.uniform(-1.0, 1.0, count)]

    def set_task(self, task):
        self.goal = task["goal"]


class PytorchMamlRl(Line):
    """As pytorch-maml-rl has it; the task is an array, and global NumPy draws it."""

    def sample_tasks(self, count):
        return np.random.uniform(-1.0, 1.0, (count, 1))  # noqa: NPY002

    def reset_task(self, task):
        self.goal = float(task[0])


class Pearl(Line):
    """As PEARL has it: goals that are made once, and told by their number."""

    goals = np.linspace(-1.0, 1.0, 6)

    def get_all_task_idx(self):
        return range(len(self.goals))

    def reset_task(self, idx):
        self.goal = self.goals[idx]


def rewards(family: metarl.envs.ForeignFamily, tasks: list[dict[str, float]]) -> list[float]:
    """The reward of a step in which nothing moves: minus the distance of each task's goal."""
    simulator = family.simulate(len(tasks))
    simulator.set_tasks(family.task(metarl.envs.Tasks.from_dicts(tasks)))
    simulator.reset([np.random.default_rng(0) for _ in tasks])
    earned = simulator.step(np.zeros((len(tasks), 1))).reward
    simulator.close()
    return earned.tolist()


def test_tasks_with_distributions_are_told_by_their_parameters():
    family = task_env_family("Line", Learn2learn, 5, distributions=(Uniform("goal", -1.0, 1.0),))
    assert rewards(family, [{"goal": 0.5}, {"goal": -0.25}]) == [-0.5, -0.25]
    assert family.parameters == ("goal",)


@pytest.mark.parametrize("kind", [Learn2learn, PytorchMamlRl])
def test_drawn_tasks_are_told_by_their_number(kind: type[Line]):
    family = task_env_family("Line", kind, 5, tasks=6, held_out=2, action_scale=0.7)
    told = rewards(family, [{"index": float(number)} for number in range(6)])
    assert len({*told}) == 6, "six goals"
    again = task_env_family("Line", kind, 5, tasks=6, held_out=2, seed=0)
    assert rewards(pickle.loads(pickle.dumps(again)), [{"index": 4.0}]) == told[4:5]
    other = task_env_family("Line", kind, 5, tasks=6, held_out=2, seed=1)
    assert rewards(other, [{"index": 4.0}]) != told[4:5]
    assert family.action_scale == 0.7


def test_pearls_tasks_are_its_own():
    family = task_env_family("Line", Pearl, 5, tasks=6, held_out=2)
    tasks = [{"index": float(number)} for number in range(6)]
    assert np.allclose(rewards(family, tasks), -np.abs(Pearl.goals))


def test_training_leaves_the_held_out_tasks_alone():
    family = task_env_family("Line", PytorchMamlRl, 5, tasks=6, held_out=2)
    trained = family.sample_tasks(60, seed=0, split="train")
    held_out = family.sample_tasks(60, seed=0, split="extrapolate")
    assert {int(task["index"]) for task in trained} == {0, 1, 2, 3}
    assert {int(task["index"]) for task in held_out} == {4, 5}
    learner = metarl.MAML(family, tasks=4, rollouts=2, hidden=(4,), workers=1, threads=1)
    learner.learn(4 * 2 * 5 * 2)
    assert learner.adapt({"index": 5.0}, rollouts=2).returns.shape == (2, 2)


def test_drawing_leaves_the_global_generator_alone():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    task_env_family("Line", PytorchMamlRl, 5)
    assert np.random.random() == expected  # noqa: NPY002


class Mute(Line):
    def set_task(self, task): ...


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Line, {}, "Line, the environment of L, has neither set_task nor reset_task: give Foreign"),
        (Mute, {}, "neither sample_tasks nor get_all_task_idx: tell the distributions"),
        (Pearl, {}, "L has 6 tasks, not 50: pass tasks=6"),
        (Pearl, {"tasks": 6, "held_out": 6}, "held_out must be at least 0 and below the 6 tasks"),
    ],
)
def test_what_is_missing_is_said(kind: type[Line], settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        task_env_family("L", kind, 5, **settings)
