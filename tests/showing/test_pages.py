"""Pages of films: sizes, times, words above the panels, maps of tasks in them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.envs.tasks import Tasks
from metarl.sampling.streams import Key, Phase
from metarl.showing import film, pages
from metarl.showing.known_tasks import KnownTasks
from tests.conftest import SMALL

FAMILY = envs.make("HalfCheetahDir", horizon=10)


def rest(family: envs.TaskFamily, steps: int, contexts: int = 0) -> film.Take:
    """A take of a robot that does not move."""
    states = np.tile(family.model.qpos0, (steps + 1, 1))
    seen = np.zeros((steps + 1, contexts), np.float32)
    return film.Take("", states, np.zeros((steps + 1, 1)), np.zeros(steps), seen)


def test_both_sides_show_robot_and_goal():
    learner, task, key = (
        metarl.MAML(FAMILY, **SMALL),
        FAMILY.task({"direction": -1.0}),
        Key(0, Phase.ADAPT),
    )
    takes = [
        film.shoot(FAMILY, learner.policy, task, stage.parameters, key, "a title")
        for stage in learner.adaptation(task, 4, [0.5], key)
    ]
    first = next(pages.frames(FAMILY, [film.Row(task, takes)]))
    sides = [first[pages.HEADER :, :480], first[pages.HEADER :, -480:]]
    np.testing.assert_array_equal(sides[0], sides[1])
    red = (sides[0][..., 0] > 150) & (sides[0][..., 1:] < 80).all(-1)
    assert red.sum() > 100, "the goal's arrow is drawn"
    assert sides[0].std() > 10.0, "there is a scene"


def test_the_score_is_the_speed_of_a_quarter_second_and_the_return_so_far():
    """3 m in x and 4 m in y a second; rewards 1, 2, 3, ..."""
    position = 0.1 * np.outer(np.arange(11.0), np.array([3.0, 4.0]))
    take = film.Take("", np.zeros((11, 1)), position, np.arange(1.0, 11.0), np.zeros((11, 0)))
    assert pages._score(take, 4, 0.1) == "5.0 m/s   return 10.0"
    assert pages._score(take, 0, 0.1) == "0.0 m/s   return 0.0"
    still = take._replace(position=np.zeros((11, 0)))
    assert pages._score(still, 10, 0.1) == "return 55.0"
    near = still._replace(away=np.linspace(1.0, 0.0, 11))
    assert pages._score(near, 4, 0.1) == "0.60 m away   return 10.0"


@pytest.mark.parametrize("height", [120, 241, 333, 480, 1080])
def test_sizes_are_even_at_any_height(height: int):
    """H.264 with two-pixel colour cannot have odd ones."""
    for columns, aspect in ((1, pages.GHOST_ASPECT), (2, pages.ASPECT), (3, pages.ASPECT)):
        layout = pages.Layout.of(2, columns, height, aspect)
        assert all(size % 2 == 0 for size in (*layout.panel, *layout.page, layout.header))
        # what is rounded away of a row is at most a pixel
        assert height - 1 <= layout.page[1] / 2 <= height
        width = columns * layout.panel[0] + (columns - 1) * layout.gap
        assert width - 1 <= layout.page[0] <= width


def test_no_more_than_fifty_frames_a_second():
    still = rest(FAMILY, 100)
    for dt, expected in ((0.05, 1), (0.02, 1), (0.01, 2), (0.008, 3)):
        # 0.002 s is the time step of many robots: 10 of them are a little more than 0.02
        clock: Any = SimpleNamespace(dt=0.002 * round(dt / 0.002))
        assert pages.stride(clock) == expected
        row = film.Row(FAMILY.sample_tasks(1, seed=0), [still])
        assert list(pages.drawn_steps(clock, [row])) == list(range(0, 101, expected))


def test_a_change_of_task_is_marked_above_and_drawn_below():
    """From its step on: red words in the header, and the goal's arrow points the other way."""
    there, back = (FAMILY.task({"direction": sign}) for sign in (1.0, -1.0))
    row = film.Row(there, [rest(FAMILY, 10)], (5, back))
    pictures = list(pages.frames(FAMILY, [row]))
    red = [(picture[..., 0] > 150) & (picture[..., 1:] < 80).all(-1) for picture in pictures]
    words = [mask[: pages.HEADER].sum() for mask in red]
    assert max(words[:5]) == 0
    assert min(words[5:]) > 50
    arrows = [np.nonzero(mask[pages.HEADER :])[1].mean() for mask in red]
    middle = pictures[0].shape[1] / 2
    assert min(arrows[:5]) > middle > max(arrows[5:])


def test_the_line_that_runs_ahead_goes_on_from_where_it_was():
    """It has run 5 s at 1 m/s, and then runs at 2 m/s."""
    family = envs.make("HalfCheetahVel")
    slow, fast = (family.task({"velocity": speed}) for speed in (1.0, 2.0))
    row = film.Row(slow, [], (100, fast))
    mark = family.goal.marker
    assert mark is not None
    for step, expected in ((0, 0.0), (99, 4.95), (100, 5.0), (120, 7.0)):
        time = pages._goal_time(family, row, step, step)
        assert mark(row.phase(step)[0], time).x == pytest.approx(expected)
    arrow = film.Row(FAMILY.task({"direction": 1.0}), [], (2, FAMILY.task({"direction": -1.0})))
    assert pages._goal_time(FAMILY, arrow, 4, 4) == pytest.approx(4 * FAMILY.dt)


def test_a_body_that_changes_is_drawn_as_it_is():
    """A crippled leg is half as long."""
    family = envs.make("AntCrippled", horizon=2)
    first, second = (family.task({"crippled_leg": leg}) for leg in (0.0, 1.0))
    take = rest(family, 2)
    changed = list(pages.frames(family, [film.Row(first, [take], (1, second))], height=240))
    alone = next(pages.frames(family, [film.Row(second, [take])], height=240))
    top = pages.HEADER // 2
    np.testing.assert_array_equal(changed[1][top:], alone[top:])
    assert not np.array_equal(changed[0][top:], changed[1][top:])


@pytest.mark.parametrize("ghost", [False, True])
def test_maps_are_in_the_corner_of_panels_whose_policy_has_a_memory(ghost: bool):
    task = FAMILY.task({"direction": 1.0})
    known = KnownTasks(
        Tasks(("direction",), np.array([[-1.0], [1.0]])), np.eye(2, 3, dtype=np.float32)
    )
    with_memory, without = rest(FAMILY, 1, contexts=3), rest(FAMILY, 1)
    row = film.Row(task, [without, with_memory])
    plain, mapped = (
        next(pages.frames(FAMILY, [row], ghost=ghost, known=each)) for each in (None, known)
    )
    differs = (plain != mapped).any(-1)
    rows, columns = np.nonzero(differs)
    left = 0 if ghost else 480 + pages.GAP
    assert rows.min() > pages.HEADER
    assert rows.max() < pages.HEADER + 200
    assert left < columns.min() < columns.max() < left + 200
