"""Drawing tasks by split and seed, checking them, and how far apart they are."""

from typing import Any

import numpy as np
import pytest

from metarl import envs
from metarl.envs import Tasks
from metarl.envs.distributions import Choice, Disc, Uniform
from metarl.envs.task_space import TaskSpace

SPACE = TaskSpace(
    "test",
    (
        Uniform("speed", 0.0, 2.0, "m/s", extrapolate=(2.0, 3.0)),
        Choice("side", (-1.0, 1.0)),
        Disc(2.0),
    ),
)


def test_names_and_descriptions_are_in_column_order():
    assert SPACE.names == ("speed", "side", "x", "y")
    assert SPACE.describe() == [
        "speed in 0 to 2 m/s (extrapolate: 2 to 3)",
        "side one of -1, 1",
        "x, y within 2 m of the origin",
    ]
    assert SPACE.extrapolates
    assert not TaskSpace("test", SPACE.distributions[1:]).extrapolates


def test_draws_are_those_of_a_generator_seeded_with_split_and_seed():
    """Column by column, from the stream that the docstring names."""
    for number, split in enumerate(("train", "test")):
        generator = np.random.default_rng([number, 7, 3])
        speed = generator.uniform(0.0, 2.0, (5, 1))
        side = generator.choice((-1.0, 1.0), (5, 1))
        radius = np.sqrt(generator.uniform(0.0, 4.0, 5))
        angle = generator.uniform(0.0, 2.0 * np.pi, 5)
        place = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        tasks = SPACE.sample(5, seed=(7, 3), split=split)
        np.testing.assert_array_equal(tasks.values, np.concatenate([speed, side, place], axis=1))


def test_only_parameters_with_a_range_outside_extrapolate():
    tasks = SPACE.sample(200, seed=0, split="extrapolate")
    assert tasks["speed"].min() >= 2.0
    assert set(tasks["side"]) == {-1.0, 1.0}
    assert np.hypot(tasks["x"], tasks["y"]).max() <= 2.0


def test_checking_orders_the_columns_and_takes_a_mapping():
    task = {"y": 0.5, "x": 1.0, "speed": 2.5, "side": -1}
    expected = Tasks(SPACE.names, np.array([[2.5, -1.0, 1.0, 0.5]]))
    assert SPACE.check(task) == expected
    assert SPACE.check(Tasks.from_dicts([task])) == expected


def test_coordinates_are_those_of_each_distribution_side_by_side():
    task = {"speed": 1.0, "side": -1, "x": 1.0, "y": -2.0 * np.sin(np.pi / 3)}
    half = np.sqrt(0.5)
    expected = [[0.5, half, 0.0, 0.25, -np.sin(np.pi / 3) / 2.0]]
    np.testing.assert_allclose(SPACE.coordinates(task), expected, atol=1e-15)


def test_a_space_without_parameters_has_equal_tasks():
    space = TaskSpace("test", ())
    tasks = space.sample(3, seed=0)
    assert tasks.values.shape == (3, 0)
    assert space.check({}).names == ()
    assert space.coordinates(tasks).shape == (3, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SPACE.sample(0, seed=0), "at least 1 task is needed, got 0"),
        (
            lambda: TaskSpace("test", (Disc(1.0), Uniform("x", 0.0, 1.0))),
            "task parameters must have different names, got x, y, x",
        ),
        (
            lambda: SPACE.check({"speed": 1.0, "side": 0.0, "x": 0.0, "y": 0.0}),
            "side 0 is outside the range: side one of -1, 1",
        ),
        (
            lambda: SPACE.check({"speed": 1.0, "side": 1.0, "x": 2.0, "y": 1.0}),
            "x 2, y 1 is outside the range: x, y within 2 m of the origin",
        ),
        (
            lambda: TaskSpace("test", ()).check({"x": 1.0}),
            r"test has the task parameters \(none\); got x",
        ),
        (
            lambda: envs.make("HalfCheetahVel").task({"velocity": 9.0}),
            r"velocity 9 is outside the range: velocity in 0 to 3 m/s \(extrapolate: 3 to 4\)",
        ),
        (
            lambda: envs.make("HalfCheetahVel").task({"speed": 1.0}),
            "HalfCheetahVel has the task parameters velocity; got speed",
        ),
        (lambda: envs.make("HalfCheetahVel").task({"velocity": float("nan")}), "must be a finite"),
        (
            lambda: SPACE.check(Tasks(SPACE.names, np.array([[1.0] * 4, [9.0, 1.0, 0.0, 0.0]]))),
            r"speed 9 is outside the range: speed in .* \(task 2 of 2\)$",
        ),
        (
            lambda: envs.make("AntDir").sample_tasks(2, seed=0, split="extrapolate"),
            "declares no range outside",
        ),
        (
            lambda: envs.make("AntDir").sample_tasks(2, seed=0, split="tset"),  # type: ignore[arg-type]
            "split must be one of",
        ),
    ],
)
def test_bad_input_is_named(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_tasks_depend_on_seed_and_split_only():
    family = envs.make("HalfCheetahVel")
    train = family.sample_tasks(5, seed=1)
    assert train == family.sample_tasks(5, seed=1)
    assert train != family.sample_tasks(5, seed=2)
    assert train != family.sample_tasks(5, seed=1, split="test")


def test_extrapolation_lies_outside_the_training_range():
    for name, parameter in (("HalfCheetahVel", "velocity"), ("HalfCheetahMass", "mass_scale")):
        family = envs.make(name)
        outside = family.sample_tasks(100, seed=0, split="extrapolate")[parameter]
        assert outside.min() > family.sample_tasks(100, seed=0)[parameter].max()
    outside = envs.make("AntGoal").sample_tasks(100, seed=0, split="extrapolate")
    assert (np.hypot(outside["x"], outside["y"]) >= 3.0).all()


@pytest.mark.parametrize("name", envs.families())
def test_the_training_range_has_diameter_one_in_every_coordinate(name: str):
    family = envs.make(name)
    points = family.coordinates(family.sample_tasks(400, seed=3))
    assert points.shape[0] == 400
    span = np.ptp(points, axis=0)
    assert span.max() > 0.55  # three signs are the corners of a cube of diameter 1
    assert span.max() <= 1.0 + 1e-9


def distance(name: str, first: dict[str, float], second: dict[str, float]) -> float:
    family = envs.make(name)
    a, b = family.coordinates(Tasks.from_dicts([first, second]))
    return float(np.linalg.norm(a - b))


def test_distances_between_tasks_by_hand():
    assert distance("HalfCheetahVel", {"velocity": 1.0}, {"velocity": 2.5}) == pytest.approx(0.5)
    assert distance("HalfCheetahDir", {"direction": 1}, {"direction": -1}) == pytest.approx(1.0)
    half = distance("HalfCheetahMass", {"mass_scale": 0.5}, {"mass_scale": 1.0})
    assert half == pytest.approx(distance("HalfCheetahMass", {"mass_scale": 1}, {"mass_scale": 2}))
    near = distance("AntDir2D", {"heading": 0.01}, {"heading": 2 * np.pi - 0.01})
    assert near == pytest.approx(0.01, rel=1e-3)
    opposite = distance("AntDir2D", {"heading": 0.0}, {"heading": np.pi})
    assert opposite == pytest.approx(1.0)
    apart = distance("AntGoal", {"x": 3.0, "y": 0.0}, {"x": -3.0, "y": 0.0})
    assert apart == pytest.approx(1.0)


@pytest.mark.parametrize(
    "distributions", [Uniform("v", 0.0, 1.0), (0.0, 1.0), (Uniform("v", 0.0, 1.0), "w")]
)
def test_distributions_are_a_tuple_of_them(distributions: Any):
    with pytest.raises(
        TypeError, match="the distributions of test must be a tuple of Distribution"
    ):
        TaskSpace("test", distributions)


def test_a_draw_of_another_shape_is_refused():
    class Flat(Uniform):
        def sample(self, generator, count, split):
            return super().sample(generator, count, split)[:, 0]

    with pytest.raises(
        ValueError, match=r"Flat.sample must return \[4, 1\], a row of v .*got \[4\]"
    ):
        TaskSpace("test", (Flat("v", 0.0, 1.0),)).sample(4, seed=0)
