"""What films show: the states of the episode, both sides from one start, and changes of task."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.envs import goals, robots
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


@pytest.fixture
def siamese() -> metarl.MAML:
    return metarl.MAML(FAMILY, **{**SMALL, "rollouts": 4}, algorithm="siamese", embedding_size=3)


def test_both_sides_start_alike(cheetah: metarl.MAML):
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


def test_a_task_that_changes_is_filmed_in_both(siamese: metarl.MAML):
    """Rewards of the filmed positions: forward until step 4, then back; the memory forgets."""
    family = FAMILY.replace(control_cost=0.0)
    siamese.family = family
    settings = FilmSettings(rollouts=2, change="0.2:direction=-1", memory_window=5)
    (row,) = film.shoot_all(siamese, family, {"direction": 1.0}, settings)
    assert row.change is not None
    assert row.change[0] == 4
    signs = np.where(np.arange(10) < 4, 1.0, -1.0)
    for take in row.takes:
        speeds = np.diff(take.states[:, 0]) / family.dt
        np.testing.assert_allclose(take.rewards, signs * speeds, atol=1e-9)
        assert take.contexts.shape == (11, 3)
    assert not row.takes[0].contexts[0].any(), "nothing seen yet"
    assert row.takes[1].contexts[0].any()
    assert [row.phase(step)[0]["direction"] for step in (0, 3, 4, 10)] == [1.0, 1.0, -1.0, -1.0]
    unchanged = film.shoot_all(siamese, family, {"direction": 1.0}, FilmSettings(rollouts=2))[0]
    assert unchanged.phase(10) is unchanged.task
    assert not np.array_equal(unchanged.takes[0].contexts[4], row.takes[0].contexts[4])
    settings = FilmSettings(rollouts=2, change="0.2:direction=-1", memory_window=None)
    (row,) = film.shoot_all(siamese, family, {"direction": 1.0}, settings)
    for one, other in zip(unchanged.takes, row.takes, strict=True):
        np.testing.assert_array_equal(one.states[:6], other.states[:6])
        np.testing.assert_array_equal(one.contexts[:5], other.contexts[:5])
        assert not np.array_equal(one.contexts[5], other.contexts[5])


def test_without_memory_there_is_nothing_seen(cheetah: metarl.MAML):
    task, key = FAMILY.task({"direction": -1.0}), Key(0, Phase.ADAPT)
    stage = next(cheetah.adaptation(task, 2, [0.5], key))
    take = film.shoot(FAMILY, cheetah.policy, task, stage.parameters, key, "")
    assert take.contexts.shape == (11, 0)


@pytest.mark.parametrize("name", ["Point2D", "ReacherGoal", "PusherGoal", "AntGoal"])
def test_the_way_that_is_left_to_a_point_is_what_the_reward_takes_off(name: str):
    family = envs.make(name, horizon=5, control_cost=0.0, survive_bonus=0.0)
    learner = metarl.MAML(family, **SMALL)
    task, key = family.sample_tasks(1, seed=3), Key(0, Phase.ADAPT)
    stage = next(learner.adaptation(task, 2, [0.5], key))
    take = film.shoot(family, learner.policy, task, stage.parameters, key, "")
    assert len(take.away) == len(take.states)
    if name == "Point2D":
        np.testing.assert_allclose(take.away[1:], -take.rewards, atol=1e-6)
    else:  # the tip's way to the object is taken off too; or the way is |dx| + |dy|
        assert (take.away[1:] <= -take.rewards + 1e-6).all()
        assert (take.away[1:] >= -take.rewards / (2.0 if name != "PusherGoal" else 4.0)).all()


@pytest.mark.parametrize(
    ("tracks", "away"), [(("x",), None), (("x", "y"), 5.0), (("yaw", "x", "y"), 5.0)]
)
def test_the_way_is_that_of_a_place_whatever_else_the_goal_tracks(
    tracks: tuple[str, ...], away: float | None
):
    goal = dataclasses.replace(
        goals.forward(),
        tracks=tracks,
        marker=lambda task, time: goals.Marker("point", 3.0, 4.0),
    )
    family = envs.TaskFamily("mine", robots.Ant(), goal, "", horizon=2)
    with closing(family.simulate(1, threads=1)) as simulator:
        simulator.set_tasks(family.task({}))
        simulator.reset([np.random.default_rng(0)])
        found = film._from_the_point(simulator, family.task({}))
    assert found == (None if away is None else pytest.approx(away, abs=0.3))


def test_where_the_goal_is_no_point_there_is_no_way_left(cheetah: metarl.MAML):
    task, key = FAMILY.task({"direction": 1.0}), Key(0, Phase.ADAPT)
    stage = next(cheetah.adaptation(task, 2, [0.5], key))
    assert not len(film.shoot(FAMILY, cheetah.policy, task, stage.parameters, key, "").away)
