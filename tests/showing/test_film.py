"""What films show: the states of the episode, robot and goal, both sides from one start."""

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.envs.drawing import camera
from metarl.envs.simulator import Simulator
from metarl.sampling.collect import collect, empty_rollouts
from metarl.sampling.streams import Key, Phase
from metarl.showing import film
from metarl.showing.settings import FilmSettings
from tests.conftest import SMALL

FAMILY = envs.make("HalfCheetahDir", horizon=10)


@pytest.fixture
def cheetah() -> metarl.MAML:
    return metarl.MAML(FAMILY, **SMALL)


def test_both_sides_start_alike_and_show_robot_and_goal(cheetah: metarl.MAML):
    task = FAMILY.task({"direction": -1.0})
    key = Key(0, Phase.ADAPT)
    stages = list(cheetah.adaptation(task, 4, [0.5], key))
    takes = [
        film.shoot(FAMILY, cheetah.policy, task, stage.parameters, key, "a title")
        for stage in stages
    ]
    np.testing.assert_array_equal(takes[0].states[0], takes[1].states[0])
    assert not np.array_equal(takes[0].states[-1], takes[1].states[-1])
    assert takes[0].states.shape == (11, FAMILY.model.nq)
    first = next(film.frames(FAMILY, [film.Row(task, takes)]))
    sides = [first[film.HEADER :, :480], first[film.HEADER :, -480:]]
    np.testing.assert_array_equal(sides[0], sides[1])
    red = (sides[0][..., 0] > 150) & (sides[0][..., 1:] < 80).all(-1)
    assert red.sum() > 100, "the goal's arrow is drawn"
    assert sides[0].std() > 10.0, "there is a scene"


def test_the_filmed_states_are_those_of_the_episode(cheetah: metarl.MAML):
    """The reward that was counted is what the filmed positions give."""
    task = FAMILY.task({"direction": -1.0})
    key = Key(3, Phase.ADAPT)
    stage = next(cheetah.adaptation(task, 4, [0.5], key))
    take = film.shoot(FAMILY, cheetah.policy, task, stage.parameters, key, "")
    forward = -np.diff(take.states[:, 0]) / FAMILY.dt
    assert len(forward) == len(take.rewards) == 10
    # what the control cost takes off is at most 6 actuators' worth
    difference = forward - take.rewards
    assert (difference >= -1e-6).all()
    assert (difference <= FAMILY.control_cost * 6 + 1e-6).all()


def test_a_robot_that_falls_is_filmed_until_then():
    """As many steps as the sampler collects without exploration, and the same rewards."""
    family = envs.make("HopperRandParams", horizon=60)
    assert isinstance(family, envs.TaskFamily)
    hopper = metarl.MAML(family, **SMALL)
    task, key = family.sample_tasks(1, seed=0), Key(1, Phase.ADAPT)
    simulator = Simulator(family, 1, threads=1)
    simulator.set_tasks(task)
    one = {name: value[None] for name, value in hopper.parameters.items()}
    rollout = collect(
        simulator, hopper.policy, one, key, empty_rollouts(family, 1, 1), deterministic=True
    )
    take = film.shoot(family, hopper.policy, task, one, key, "")
    length = int(rollout.lengths[0, 0])
    assert 1 < length < 60
    assert len(take.states) == len(take.position) == length + 1
    np.testing.assert_array_equal(
        take.rewards.astype(np.float32), rollout.rewards[0, 0, :length].numpy()
    )


def test_a_row_a_task_and_a_take_a_number_of_steps(cheetah: metarl.MAML):
    tasks = FAMILY.sample_tasks(2, seed=0)
    settings = FilmSettings(rollouts=4, steps=(0, 1, 3), seed=2)
    rows = film.shoot_all(cheetah, FAMILY, tasks, settings)
    assert [row.task for row in rows] == [tasks[:1], tasks[1:]]
    for row in rows:
        titles = [take.title for take in row.takes]
        assert titles == [
            "before adaptation",
            "after 1 step, 4 rollouts",
            "after 3 steps, 12 rollouts",
        ]
        key, inner_lrs = Key(2, Phase.ADAPT), [cheetah.config.inner_lr] * 3
        stages = list(cheetah.adaptation(row.task, 4, inner_lrs, key))
        expected = film.shoot(FAMILY, cheetah.policy, row.task, stages[3].parameters, key, "")
        np.testing.assert_array_equal(row.takes[2].states, expected.states)


def test_the_score_is_the_speed_of_a_quarter_second_and_the_return_so_far():
    """3 m in x and 4 m in y a second; rewards 1, 2, 3, ..."""
    position = 0.1 * np.outer(np.arange(11.0), np.array([3.0, 4.0]))
    take = film.Take("", np.zeros((11, 1)), position, np.arange(1.0, 11.0))
    assert film._score(take, 4, 0.1) == "5.0 m/s   return 10.0"
    assert film._score(take, 0, 0.1) == "0.0 m/s   return 0.0"
    still = take._replace(position=np.zeros((11, 0)))
    assert film._score(still, 10, 0.1) == "return 55.0"


@pytest.mark.parametrize("height", [120, 241, 333, 480, 1080])
def test_sizes_are_even_at_any_height(height: int):
    """H.264 with two-pixel colour cannot have odd ones."""
    for columns, aspect in ((1, film.GHOST_ASPECT), (2, film.ASPECT), (3, film.ASPECT)):
        layout = film.Layout.of(2, columns, height, aspect)
        assert all(size % 2 == 0 for size in (*layout.panel, *layout.page, layout.header))
        # what is rounded away of a row is at most a pixel
        assert height - 1 <= layout.page[1] / 2 <= height
        width = columns * layout.panel[0] + (columns - 1) * layout.gap
        assert width - 1 <= layout.page[0] <= width


def test_no_more_than_fifty_frames_a_second():
    rest = film.Take("", np.zeros((101, 1)), np.zeros((101, 0)), np.zeros(100))
    for dt, expected in ((0.05, 1), (0.02, 1), (0.01, 2), (0.008, 3)):
        # 0.002 s is the time step of many robots: 10 of them are a little more than 0.02
        clock: Any = SimpleNamespace(dt=0.002 * round(dt / 0.002))
        assert film.stride(clock) == expected
        row = film.Row(FAMILY.sample_tasks(1, seed=0), [rest])
        assert list(film.drawn_steps(clock, [row])) == list(range(0, 101, expected))


@pytest.mark.parametrize("far", [0.5, 3.0, 40.0])
def test_robot_and_ghost_stay_in_the_picture(far: float):
    """However far apart they are, what is drawn blue lies within the picture."""
    family = envs.make("AntDir")
    rest = family.model.qpos0.copy()
    there = rest + np.r_[far, np.zeros(len(rest) - 1)]
    with closing(camera(family, (640, 360))) as view:
        both = view.take(rest, {"direction": 1.0}, 0.0, ghost=there).astype(int)
        assert both.std() > 10.0
        blue = (both[..., 2] - both[..., 0] > 60) & (both[..., 1] < 200)
        assert blue.any(), "the ghost is drawn"
        rows, columns = np.nonzero(blue)
        assert columns.min() > 5
        assert columns.max() < 635
        assert rows.min() > 5
        assert rows.max() < 355
