"""A task that changes in an episode: the same episodes played by an actor."""

import json
from pathlib import Path

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.envs.gymnasium_env import TaskEnv
from metarl.evaluation.recovery import Recovery, recovery
from metarl.evaluation.tasks import TaskChange
from metarl.sampling.streams import Key, Phase
from metarl.showing import figures
from tests.conftest import SMALL

FAMILY = envs.make("HalfCheetahDir", horizon=24)
CHANGE = "0.5:direction=-1"


@pytest.fixture(scope="module")
def siamese() -> metarl.MAML:
    settings = {**SMALL, "tasks": 8, "rollouts": 2, "encoder_steps": 2, "embedding_size": 3}
    return metarl.MAML(FAMILY, algorithm="siamese", seed=1, **settings).learn(400)


@pytest.fixture(scope="module")
def measured(siamese: metarl.MAML) -> Recovery:
    return recovery(siamese, CHANGE, tasks=8, memory_window=7, seed=2)


def test_what_is_measured_is_what_an_actor_does(siamese: metarl.MAML, measured: Recovery):
    """Most likely actions in Gymnasium's environment, whose task is set now, told by hand."""
    assert list(measured.courses) == [
        "window 7",
        "remembers all",
        "is told of the change",
        "remembers nothing",
    ]
    assert (measured.before["direction"] == 1.0).all(), "those that are so already do not change"
    assert 2 <= len(measured.before) < 8
    env = TaskEnv(FAMILY)
    for way, window in (("window 7", 7), ("remembers all", None), ("is told of the change", None)):
        course, actor = measured.courses[way], siamese.actor()
        actor.memory_window = window
        assert course.change == 10
        env.reset(options={"task": measured.before[0]})
        observation = env.set_state(*_start(siamese, measured))
        for step in range(FAMILY.horizon):
            if step == course.change:
                env.set_task(measured.after[0], now=True)
                if way == "is told of the change":
                    actor.forget()
            action, _ = actor.predict(observation, deterministic=True)
            following, reward, *_ = env.step(action)
            actor.remember(observation, action, float(reward), following)
            assert course.rewards[0, step] == pytest.approx(reward, abs=2e-2), (way, step)
            observation = following


def _start(siamese: metarl.MAML, measured: Recovery) -> tuple[np.ndarray, np.ndarray]:
    """The first task's start state, from the stream that belongs to it."""
    from metarl.sampling.streams import Key, Phase, Purpose, stream

    generator = stream(Key(measured.settings["seed"], Phase.EVALUATE, 3), Purpose.START, 0, 0)
    return FAMILY.robot.start(FAMILY.model, generator)


def test_ways_to_remember_differ_after_the_change_only_where_they_should(measured: Recovery):
    courses = measured.courses
    all_of_it, told = courses["remembers all"].rewards, courses["is told of the change"].rewards
    np.testing.assert_array_equal(all_of_it[:, :10], told[:, :10])
    assert not np.array_equal(all_of_it[:, 11:], told[:, 11:])
    assert not np.array_equal(courses["window 7"].rewards[:, :10], all_of_it[:, :10])
    for other in courses.values():
        np.testing.assert_array_equal(other.steady, measured.first.steady)


def test_the_new_task_from_the_start_is_what_there_is_to_recover(measured: Recovery):
    fresh = measured.unchanged
    np.testing.assert_array_equal(fresh.steady, fresh.rewards[:, 12:].mean(1))
    np.testing.assert_array_equal(fresh.steady, measured.first.steady)
    assert fresh.change == 0, "in it from the first step on"
    # the window of half a second ends with the step whose time is given
    rates = np.stack([np.convolve(row, np.full(10, 0.1), "valid") for row in fresh.rewards])
    for task, (rate, steady) in enumerate(zip(rates, fresh.steady, strict=True)):
        there = np.flatnonzero(rate >= rate[:31].min() + 0.9 * (steady - rate[:31].min()))
        time = FAMILY.dt * (there[0] + 10) if len(there) else np.inf
        assert fresh.seconds()[task] == pytest.approx(time)


def test_a_policy_without_memory_is_adapted_to_the_task_before(tmp_path: Path):
    learner = metarl.MAML(FAMILY, **SMALL)
    measured = metarl.recovery(learner, "0.5", tasks=3, seed=4)
    assert list(measured.courses) == ["adapted before"]
    assert len(measured.before) == 3
    np.testing.assert_array_equal(measured.before["direction"], -measured.after["direction"])
    assert measured.settings["memory_window"] is None
    assert np.isfinite(measured.first.rewards).all()


def test_is_printed_and_written(measured: Recovery, tmp_path: Path):
    head, *rows, last, words, start = str(measured).splitlines()
    assert "90 % in 2 s" in head
    assert len({len(row) for row in (head, *rows)}) == 1, "a table"
    assert last.startswith("Rewards of a step; ")
    assert words.startswith("Times and 90 %: of the way there from the dip. Of the rate: ")
    assert start.startswith("Episodes in it from the start: 90 % after ")
    assert measured.title.startswith("HalfCheetahDir: direction -1 after 0.5 s, ")
    numbers, figure = figures.save(measured, tmp_path)
    assert (numbers.name, figure.name) == ("change.json", "change.png")
    written = json.loads(numbers.read_text())
    assert written == measured.to_dict()
    assert written["settings"]["change"] == {"direction": -1.0}
    assert figure.stat().st_size > 10_000


def test_episodes_that_end_before_the_change_are_left_out(monkeypatch: pytest.MonkeyPatch):
    """Hoppers of an untrained policy fall; those that do not are fewer than there were."""
    monkeypatch.setattr("metarl.evaluation.recovery._ROLLOUTS", 2)
    learner = metarl.MAML(envs.make("HopperRandParams", horizon=200), **SMALL)
    late = recovery(learner, "0.5", tasks=6, seed=1)
    assert 2 <= len(late.before) < 6
    assert late.settings["ended_before_the_change"] == 6 - len(late.before)
    assert (late.first.rewards[:, late.first.change] != 0.0).all()
    with pytest.raises(ValueError, match="at least 2 episodes must last until the change"):
        recovery(learner, "1.5", tasks=6, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("1.2", r"lasts 1.2 s in steps of 0.05 s: the task must change between them, got 1.2 s"),
        ("0", "must change between them"),
        ("nan", "must change between them"),
        ("0.5:direktion=1", "no task parameter 'direktion'; did you mean direction"),
        ("0.5:direction=3", "outside the range"),
        ("0.5:direction", "NAME=NUMBER"),
        ("soon", "a change is SECONDS or SECONDS:NAME=NUMBER"),
    ],
)
def test_bad_changes_are_refused(siamese: metarl.MAML, change: str, message: str):
    with pytest.raises(ValueError, match=message):
        recovery(siamese, change, tasks=4)


@pytest.mark.parametrize("window", [3, 0, -4])
def test_a_window_is_of_a_policy_with_a_memory(siamese: metarl.MAML, window: int):
    without = metarl.MAML(FAMILY, **SMALL)
    with pytest.raises(ValueError, match="requires a policy with a memory; this maml-trpo run"):
        recovery(without, CHANGE, memory_window=window)
    if window < 1:
        with pytest.raises(ValueError, match="memory_window must be a whole number of at least 1"):
            recovery(siamese, CHANGE, memory_window=window)


def test_at_least_two_tasks_must_change(siamese: metarl.MAML):
    rows = [{"direction": 1.0}, {"direction": -1.0}, {"direction": -1.0}]
    with pytest.raises(ValueError, match="at least 2 tasks must change, got 1 of 3"):
        recovery(siamese, CHANGE, tasks=rows)


def test_another_task_is_drawn_for_each():
    change = TaskChange.parse("0.5")
    before = FAMILY.sample_tasks(30, seed=0, split="test")
    after = change.after(FAMILY, before, 0, "test")
    np.testing.assert_array_equal(after["direction"], -before["direction"])
    point = envs.make("Point2D")
    corner = TaskChange.parse("3:x=0.25").after(point, point.sample_tasks(4, seed=0), 0, "test")
    assert (corner["x"] == 0.25).all()
    np.testing.assert_array_equal(corner["y"], point.sample_tasks(4, seed=0)["y"])
    alone = FAMILY.task({"direction": 1.0})
    single = envs.TaskFamily("one", FAMILY.robot, envs.goals.forward(), "", ())
    with pytest.raises(ValueError, match="one has no other task to change to"):
        change.after(single, single.sample_tasks(2, seed=0), 0, "test")
    assert change.after(FAMILY, alone, 0, "test")["direction"] == -1.0


def test_without_memory_it_is_adapted_to_the_task_before():
    """And the reference, to the new one."""
    learner = metarl.MAML(envs.make("HalfCheetahDir", horizon=24), **SMALL)
    measured, key = recovery(learner, "0.5", tasks=3, seed=4), Key(4, Phase.EVALUATE, 3)
    parts = (
        (measured.before, measured.first.rewards, 10),
        (measured.after, measured.unchanged.rewards, 24),
    )
    for tasks, rewards, steps in parts:
        *_, stage = learner.adaptation(tasks, 20, [0.5], key)
        alone = learner.sample(tasks, stage.parameters, 1, key, deterministic=True)
        expected = alone.rewards[:, 0, :steps]
        np.testing.assert_allclose(rewards[:, :steps], expected, atol=1e-3)
