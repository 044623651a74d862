"""Conjugate gradients and the line search on quadratics."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl.algorithms.objective import LossAndKL
from metarl.algorithms.trust_region import TrustRegion, conjugate_gradient, trust_region_step

SETTINGS = TrustRegion(
    max_kl=0.01, cg_iterations=10, damping=0.0, backtrack_ratio=0.8, max_backtracks=15
)


def matrix(size: int) -> torch.Tensor:
    root = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return root @ root.T + torch.eye(size, dtype=torch.float64)


def test_conjugate_gradient_solves():
    a, b = matrix(12), torch.arange(12, dtype=torch.float64)
    actual, residual = conjugate_gradient(lambda v: a @ v, b, 40)
    torch.testing.assert_close(actual, torch.linalg.solve(a, b), atol=1e-4, rtol=0)
    torch.testing.assert_close(residual, b - a @ actual, atol=1e-9, rtol=0)
    early, rest = conjugate_gradient(lambda v: a @ v, b, 2)
    torch.testing.assert_close(rest, b - a @ early)
    assert rest.norm() > 100 * residual.norm()


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-9])
def test_the_direction_does_not_depend_on_the_unit_of_rewards(scale: float):
    a, b = matrix(12), torch.arange(1.0, 13.0, dtype=torch.float64)
    whole, _ = conjugate_gradient(lambda v: a @ v, b, 10)
    scaled, _ = conjugate_gradient(lambda v: a @ v, scale * b, 10)
    torch.testing.assert_close(scaled / scale, whole, atol=1e-4, rtol=0)


def step(loss, kl):
    """One step on 12 parameters with the given functions of the vector."""
    fisher, gradient = matrix(12), torch.arange(1.0, 13.0, dtype=torch.float64)
    start = {"w": torch.zeros(12, dtype=torch.float64)}
    return (
        trust_region_step(
            start,
            lambda p: LossAndKL(loss(p["w"], gradient), kl(p["w"], fisher)),
            lambda v: fisher @ v,
            loss(start["w"], gradient),
            gradient,
            SETTINGS,
        ),
        fisher,
        gradient,
    )


def quadratic(w: torch.Tensor, fisher: torch.Tensor) -> torch.Tensor:
    return 0.5 * w @ fisher @ w


def test_the_full_step_is_the_natural_gradient_at_the_bound():
    """On a linear loss and a quadratic divergence the step is -sqrt(2 d / g'F^-1 g) F^-1 g."""
    (stepped, trace), fisher, gradient = step(lambda w, g: g @ w, quadratic)
    direction = torch.linalg.solve(fisher, gradient)
    expected = -torch.sqrt(2 * 0.01 / (gradient @ direction)) * direction
    # ten iterations for twelve dimensions: nearly solved, shortened once at most by rounding
    scale = trace.step_fraction
    torch.testing.assert_close(stepped["w"], scale * expected, atol=2e-3, rtol=0.02)
    assert trace.accepted
    assert trace.kl == pytest.approx(0.01 * scale**2, rel=1e-3)


def test_the_line_search_shortens_until_the_divergence_is_allowed():
    (_, trace), *_ = step(lambda w, g: g @ w, lambda w, f: 4.0 * quadratic(w, f))
    assert trace.step_fraction == pytest.approx(0.8**4)
    assert trace.kl <= 0.01


def test_the_line_search_restores_when_nothing_helps():
    (stepped, trace), *_ = step(lambda w, g: w @ w, quadratic)
    assert not trace.accepted
    assert trace.step_fraction == 0.0
    assert (stepped["w"] == 0).all()


def test_a_candidate_that_is_not_finite_is_refused():
    def loss(w: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        value = gradient @ w
        return torch.where(value < -0.1, torch.nan, value)

    (_, trace), *_ = step(loss, quadratic)
    assert trace.accepted
    assert trace.step_fraction < 1.0
    assert trace.loss_after >= -0.1


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-3, 1e3),
    bend=st.floats(-10.0, 10.0),
    holes=st.sampled_from([torch.nan, torch.inf, -torch.inf, 0.0]),
)
def test_no_accepted_step_raises_the_loss_or_leaves_the_trust_region(
    seed: int, scale: float, bend: float, holes: float
):
    """Whatever the surface: curved either way, with a divergence of another scale, with holes."""
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn(12, dtype=torch.float64, generator=generator)
    fisher = scale * matrix(12)

    def evaluate(parameters) -> LossAndKL:
        w = parameters["w"]
        loss = slope @ w + bend * w @ w + torch.where(w[0] > 0.01, holes, 0.0)
        return LossAndKL(loss, quadratic(w, fisher) + 0.1 * scale * w.abs().sum() ** 3)

    start = {"w": torch.zeros(12, dtype=torch.float64)}
    before = evaluate(start)
    stepped, trace = trust_region_step(
        start, evaluate, lambda v: fisher @ v, before.loss, slope, SETTINGS
    )
    after = evaluate(stepped)
    if trace.accepted:
        assert after.loss < before.loss
        assert after.kl <= SETTINGS.max_kl
        assert math.isfinite(trace.loss_after)
        assert trace.kl == float(after.kl)
    else:
        assert torch.equal(stepped["w"], start["w"])
        assert trace.reason != "accepted"


def test_damping_is_added_to_the_fisher_matrix():
    """(F + 0.5) x = g: along an axis without curvature x is three times that along the other."""
    fisher = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    gradient = torch.ones(2, dtype=torch.float64)
    stepped, _ = trust_region_step(
        {"w": torch.zeros(2, dtype=torch.float64)},
        lambda p: LossAndKL(gradient @ p["w"], quadratic(p["w"], fisher)),
        lambda v: fisher @ v,
        torch.zeros(()),
        gradient,
        TrustRegion(0.01, 10, 0.5, 0.8, 15),
    )
    assert float(stepped["w"][1] / stepped["w"][0]) == pytest.approx(1.5 / 0.5)
