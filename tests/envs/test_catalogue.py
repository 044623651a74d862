"""The named families: what their sources state, and what `make` refuses."""

import numpy as np
import pytest

from metarl import envs
from metarl.envs import Simulator, menagerie_families
from metarl.envs.catalogue import made
from tests.envs.published import TABLE, Row

every_row = pytest.mark.parametrize(("name", "preset"), TABLE)


def test_the_table_is_complete():
    # those on Menagerie's robots are ours, without a source to compare with: see test_menagerie
    names = [name for name in envs.families() if name not in menagerie_families.ENTRIES]
    known = {(name, preset) for name in names for preset in envs.presets(name)}
    assert set(TABLE) == known | {(name, "default") for name in names}


@every_row
def test_numbers_are_the_stated_ones(name: str, preset: str):
    family, row = envs.make(name, preset=preset), TABLE[name, preset]
    numbers = Row._fields[2:8]
    assert {n: getattr(family, n) for n in numbers} == {n: getattr(row, n) for n in numbers}


@every_row
def test_tasks_fill_their_ranges_evenly(name: str, preset: str):
    tasks, row = envs.make(name, preset=preset).sample_tasks(4000, seed=0), TABLE[name, preset]
    columns = {parameter: tasks[parameter] for parameter in tasks.names}
    if "radius" in row.tasks:
        x, y = columns.pop("x"), columns.pop("y")
        columns["radius"] = np.hypot(x, y)
        eighths, _ = np.histogram(np.arctan2(y, x), 8, (-np.pi, np.pi))
        np.testing.assert_allclose(eighths / 4000, 1 / 8, atol=0.03)
    kinds = {p: next(kind for kind in row.tasks if p.startswith(kind)) for p in columns}
    assert set(kinds.values()) == set(row.tasks)
    for parameter, values in columns.items():
        span = row.tasks[kinds[parameter]]
        if isinstance(span, set):
            span = dict.fromkeys(span, 1 / len(span))
        if isinstance(span, dict):
            drawn, counts = np.unique(values, return_counts=True)
            assert set(drawn) == set(span)
            shares = [span[value] for value in drawn]
            np.testing.assert_allclose(counts / 4000, shares, atol=0.04)
        else:
            low, high = span.even(span.low), span.even(span.high)
            tenths = np.quantile((span.even(values) - low) / (high - low), np.linspace(0, 1, 11))
            np.testing.assert_allclose(tenths, np.linspace(0, 1, 11), atol=0.04)
            assert tenths[0] > -1e-3  # Fetch's ranges are stated to a tenth of a millimetre
            assert tenths[-1] < 1.001


@pytest.mark.parametrize(("name", "left_out"), [("HalfCheetahCrippled", 0.0), ("AntCrippled", 3.0)])
def test_one_injury_is_left_out_of_training(name: str, left_out: float):
    outside = envs.make(name).sample_tasks(50, seed=0, split="extrapolate")
    assert set(outside.values.flat) == {left_out}


def test_one_combination_of_reversed_motors_is_left_out_of_training():
    family = envs.make("HalfCheetahReversed")
    outside = family.sample_tasks(50, seed=0, split="extrapolate")
    assert set(outside.values.flat) == {-1.0}
    inside = np.unique(family.sample_tasks(500, seed=0).values, axis=0)
    assert len(inside) == 7
    assert (inside.sum(axis=1) > -3).all()


@pytest.mark.parametrize(("name", "preset"), [key for key in TABLE if key[0].startswith("Point")])
def test_points_start_anywhere_in_their_square(name: str, preset: str):
    family, spread = envs.make(name, preset=preset), TABLE[name, preset].spread
    simulator = Simulator(family, 2000)
    simulator.set_tasks(family.sample_tasks(2000, seed=0))
    starts = simulator.reset([np.random.default_rng([2, sim]) for sim in range(2000)])
    even = spread * np.linspace(-1.0, 1.0, 5)
    quarters = np.quantile(starts, np.linspace(0.0, 1.0, 5), axis=0)
    np.testing.assert_allclose(quarters, np.stack([even, even], axis=1), atol=0.1 * spread)
    assert np.abs(starts).max() <= spread


@pytest.mark.parametrize("name", envs.families())
def test_every_family_samples_tasks_in_its_range(name: str):
    family = envs.make(name)
    for split in ("train", "test"):
        tasks = family.sample_tasks(200, seed=3, split=split)
        assert family.task(tasks) == tasks
    assert family.observation_size > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: envs.make("HalfCheetaVel"),
            "no family 'HalfCheetaVel'; did you mean HalfCheetahVel",
        ),
        (
            lambda: envs.make("Point2D", preset="maml"),
            "Point2D has no preset 'maml'; did you mean maml2017",
        ),
        (lambda: envs.make("AntDir", horizont=5), "no field 'horizont'; did you mean horizon"),
        (lambda: envs.make("AntDir", horizon=0), "horizon must be at least 1 step, got 0"),
    ],
)
def test_unknown_names_and_impossible_numbers_are_refused(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_family_is_made_once_and_changed_in_copies():
    plain = envs.make("HalfCheetahVel")
    assert envs.make("HalfCheetahVel") == plain
    changed = envs.make("HalfCheetahVel", horizon=7)
    assert (changed.horizon, plain.horizon) == (7, 100)
    assert envs.make("HalfCheetahVel", preset="default") == plain
    assert envs.make("HalfCheetahVel", preset="maml2017").preset == "maml2017"


def test_a_preset_of_a_family_that_is_given_is_its_own_or_none():
    family = envs.make("HalfCheetahVel", preset="maml2017")
    for preset in (None, "default", "maml2017"):
        assert made(family, preset) is family
    for preset in ("pearl2019", "nonsense"):
        with pytest.raises(ValueError, match=f"preset='{preset}' is of a family that is named"):
            made(family, preset)
    assert made("HalfCheetahVel", "maml2017") == family
