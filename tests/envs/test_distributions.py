"""Distributions against their cumulative distribution functions, and coordinates by brute force."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kstest

from metarl.envs.distributions import Choice, Disc, Distribution, LogUniforms, Signs, Uniform

COUNT = 4000
MASS = Uniform("mass", 0.5, 2.0, "kg", extrapolate=(2.0, 3.0), log=True)
SPEED = Uniform("speed", -1.0, 3.0, "m/s", extrapolate=(3.0, 4.0))
ANGLE = Uniform("heading", 0.0, 2.0 * np.pi, "rad")
SCALES = LogUniforms("mass", ("mass_torso", "mass_foot"), 0.25, 4.0)
LEG = Choice("leg", (0.0, 1.0, 2.0), extrapolate=(3.0,))
SIGNS = Signs(("front_sign", "back_sign"), extrapolate=((-1.0, -1.0),))
DISC = Disc(3.0, extrapolate=(3.0, 4.0))
EVERY: list[Distribution] = [MASS, SPEED, ANGLE, SCALES, LEG, SIGNS, DISC]


def draw(distribution: Distribution, outside: bool = False) -> np.ndarray:
    split = "extrapolate" if outside else "train"
    return distribution.sample(np.random.default_rng(0), COUNT, split)


def assert_follows(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> None:
    """Kolmogorov and Smirnov: far below what a wrong distribution gives, with this fixed seed."""
    assert kstest(values, cdf).statistic < 0.03


def test_uniform_numbers():
    assert_follows(draw(SPEED)[:, 0], lambda x: (x + 1.0) / 4.0)
    assert_follows(draw(SPEED, outside=True)[:, 0], lambda x: x - 3.0)


def test_log_uniform_numbers_have_uniform_ratios():
    """As many are doubled as halved."""
    assert_follows(draw(MASS)[:, 0], lambda x: np.log(x / 0.5) / np.log(4.0))
    assert_follows(draw(MASS, outside=True)[:, 0], lambda x: np.log(x / 2.0) / np.log(1.5))
    scales = draw(SCALES)
    for column in scales.T:
        assert_follows(column, lambda x: np.log(x / 0.25) / np.log(16.0))
    assert abs(np.corrcoef(np.log(scales.T))[0, 1]) < 0.05


def test_choices_are_equally_likely():
    values, counts = np.unique(draw(LEG), return_counts=True)
    assert values.tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_allclose(counts / COUNT, 1.0 / 3.0, atol=0.03)
    assert np.unique(draw(LEG, outside=True)).tolist() == [3.0]


def test_combinations_of_signs_are_equally_likely():
    combinations, counts = np.unique(draw(SIGNS), axis=0, return_counts=True)
    assert combinations.tolist() == [[-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    np.testing.assert_allclose(counts / COUNT, 1.0 / 3.0, atol=0.03)
    assert np.unique(draw(SIGNS, outside=True), axis=0).tolist() == [[-1.0, -1.0]]


def test_points_fill_a_disc_evenly():
    """The area within r is pi r^2, so r^2 is uniform, and so is the angle."""
    x, y = draw(DISC).T
    assert_follows(np.hypot(x, y), lambda r: r**2 / 9.0)
    assert_follows(np.arctan2(y, x), lambda angle: (angle + np.pi) / (2.0 * np.pi))
    x, y = draw(DISC, outside=True).T
    assert_follows(np.hypot(x, y), lambda r: (r**2 - 9.0) / 7.0)


@pytest.mark.parametrize("distribution", EVERY, ids=lambda d: d.names[0])
def test_what_is_drawn_is_contained_and_what_lies_beyond_is_not(distribution: Distribution):
    assert distribution.contains(draw(distribution)).all()
    if distribution.extrapolates:
        assert distribution.contains(draw(distribution, outside=True)).all()
    beyond = np.full((1, len(distribution.names)), 100.0)
    assert distribution.contains(np.concatenate([beyond, -beyond])).tolist() == [False, False]


def test_ranges_contain_their_ends():
    assert SPEED.contains(np.array([[-1.0], [3.0], [4.0], [-1.01], [4.01]])).tolist() == [
        *[True] * 3,
        *[False] * 2,
    ]
    gap = Uniform("x", 0.0, 1.0, extrapolate=(2.0, 3.0))
    assert gap.contains(np.array([[1.0], [1.5], [2.0]])).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "distribution",
    [MASS, SPEED, ANGLE, LEG, Signs(("a", "b", "c")), DISC],
    ids=lambda d: d.names[0],
)
def test_the_training_range_has_diameter_one(distribution: Distribution):
    """By brute force over all pairs of draws."""
    points = distribution.coordinates(draw(distribution)[:600])
    assert pdist(points).max() == pytest.approx(1.0, abs=0.02)
    assert pdist(points).max() <= 1.0 + 1e-12


def test_coordinates_by_hand():
    doubled = MASS.coordinates(np.array([[0.5], [1.0], [2.0], [4.0]]))
    np.testing.assert_allclose(doubled, [[0.0], [0.5], [1.0], [1.5]])  # beyond the range as well
    np.testing.assert_allclose(SCALES.coordinates(np.array([[0.25, 1.0]])), [[0.0, 0.5]])
    north, south = ANGLE.coordinates(np.array([[0.5 * np.pi], [1.5 * np.pi]]))
    np.testing.assert_allclose(north - south, [0.0, 1.0], atol=1e-15)
    half_turn = Uniform("angle", 0.0, np.pi, "rad")  # does not wrap
    np.testing.assert_allclose(half_turn.coordinates(np.array([[0.25 * np.pi]])), [[0.25]])
    assert pdist(LEG.coordinates(np.array([[0.0], [1.0], [3.0]]))) == pytest.approx([1.0] * 3)
    corners = SIGNS.coordinates(np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))
    assert pdist(corners) == pytest.approx([0.5**0.5, 1.0, 0.5**0.5])  # one sign, both, one
    np.testing.assert_allclose(DISC.coordinates(np.array([[3.0, -1.5]])), [[0.5, -0.25]])


def test_a_range_of_one_value_is_allowed():
    fixed = Uniform("x", 2.0, 2.0)
    assert (draw(fixed) == 2.0).all()
    assert fixed.coordinates(np.array([[2.0]])).tolist() == [[0.0]]
    wider = Uniform("x", 2.0, 2.0, extrapolate=(2.0, 3.0))
    assert wider.coordinates(np.array([[2.0], [2.5]])).tolist() == [[0.0], [0.5]]
    ring = Disc(0.2, extrapolate=(0.3, 0.3))
    drawn = ring.sample(np.random.default_rng(0), 200, "extrapolate")
    assert ring.contains(drawn).all()


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (MASS, "mass in 0.5 to 2 kg (extrapolate: 2 to 3)"),
        (SCALES, "2 scales of mass, each in 0.25 to 4"),
        (LEG, "leg one of 0, 1, 2 (extrapolate: 3)"),
        (DISC, "x, y within 3 m of the origin (extrapolate: 3 to 4 m)"),
    ],
    ids=lambda value: value.names[0] if isinstance(value, Distribution) else "",
)
def test_descriptions(distribution: Distribution, words: str):
    assert distribution.describe() == words


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform("x", 2.0, 1.0), "x needs a range from low to high, got 2 to 1"),
        (lambda: Uniform("x", 0.0, np.inf), "x needs a range from low to high, got 0 to inf"),
        (
            lambda: Uniform("x", 0.0, 1.0, extrapolate=(3.0, 2.0)),
            "x needs a range from low to high, got 3 to 2",
        ),
        (lambda: Uniform("x", 0.0, 1.0, log=True), "x must be positive to be drawn log-uniformly"),
        (lambda: LogUniforms("x", ("a",), -1.0, 1.0), "x must be positive to be drawn"),
        (lambda: Choice("x", ()), "x needs at least one value to choose from"),
        (
            lambda: Uniform("x", 0.0, 3.0, extrapolate=(1.0, 4.0)),
            "x extrapolates to 1 to 4, which must be outside the training range of 0 to 3",
        ),
        (lambda: Uniform("x", 1.0, 2.0, extrapolate=(0.0, 3.0)), "must be outside"),
        (lambda: Disc(1.0, extrapolate=(0.5, 2.0)), "radius extrapolates to 0.5 to 2"),
        (
            lambda: Choice("x", (0.0, 1.0), extrapolate=(1.0, 2.0)),
            "x has a value twice: 0, 1, 1, 2",
        ),
        (lambda: Choice("x", (0.0, 0.0)), "x has a value twice"),
        (
            lambda: Choice("terrain", ("flat", "rough")),  # type: ignore[arg-type]
            "terrain must be chosen from a tuple of numbers, got \\('flat', 'rough'\\)",
        ),
        (
            lambda: Choice("x", 3.0),  # type: ignore[arg-type]
            "x must be chosen from a tuple of numbers, got 3.0",
        ),
        (lambda: Disc(-1.0), "radius needs a range from low to high, got 0 to -1"),
    ],
)
def test_impossible_ranges_are_refused(make: Callable[[], Distribution], message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_lists_and_arrays_are_values_too():
    choice = Choice("v", np.array([1.0, 2.0]), [3.0])  # type: ignore[arg-type]
    assert choice == Choice("v", (1.0, 2.0), (3.0,))
    assert choice.contains(np.array([[3.0], [4.0]])).tolist() == [True, False]
    signs = Signs(["a", "b"], [[1.0, -1.0]])  # type: ignore[arg-type]
    drawn = signs.sample(np.random.default_rng(0), 200, "train").tolist()
    assert [1.0, -1.0] not in drawn
    assert signs.sample(np.random.default_rng(0), 3, "extrapolate").tolist() == [[1.0, -1.0]] * 3


def test_a_single_value_inside_the_range_is_not_outside():
    with pytest.raises(ValueError, match="must be outside the training range"):
        Uniform("v", 0.0, 2.0, extrapolate=(1.0, 1.0))
    Uniform("v", 0.0, 2.0, extrapolate=(2.0, 3.0))


@pytest.mark.parametrize("of", [np.array, list, tuple])
def test_ranges_may_be_arrays(of: Callable):
    """And are hashable then."""
    for made, same in (
        (
            Uniform("v", 0.0, 3.0, extrapolate=of([3.0, 4.0])),
            Uniform("v", 0.0, 3.0, "", (3.0, 4.0)),
        ),
        (Disc(3.0, of([3.0, 4.0])), Disc(3.0, (3.0, 4.0))),
        (LogUniforms("m", of(["a", "b"]), 1.0, 2.0), LogUniforms("m", ("a", "b"), 1.0, 2.0)),
    ):
        assert made == same
        assert hash(made) == hash(same)


def test_choices_are_told_apart_as_far_as_float32_tells():
    choice = Choice("v", np.array([0.1, 0.2], np.float32))  # type: ignore[arg-type]
    values = np.array([[0.1], [float(np.float32(0.2))], [0.1001]])
    assert choice.contains(values).tolist() == [True, True, False]
    np.testing.assert_allclose(choice.coordinates(values[:2]), np.eye(2) / np.sqrt(2.0))
