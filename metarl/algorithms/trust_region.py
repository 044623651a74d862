"""One trust-region step: natural gradient by conjugate gradients, then a line search.

Schulman et al. (2015), "Trust Region Policy Optimization", appendix C. To second order, the step
that lowers the loss most while the mean KL divergence stays below `max_kl` solves

    minimise g' s    subject to    s' F s / 2 <= max_kl,

for the gradient g and the Fisher matrix F (`metarl.algorithms.fisher`), which gives

    s = -sqrt(2 max_kl / (x' F x)) x,    F x = g.

The line search then checks what the second order left out: the loss must fall, and the divergence
must stay within bounds, as measured on the data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl.agents.policy import Parameters
from metarl.algorithms.fisher import Product, flatten, unflatten
from metarl.algorithms.objective import LossAndKL
from metarl.algorithms.trace import Trace, not_finite


@dataclass(frozen=True)
class TrustRegion:
    """The settings of a trust-region step."""

    max_kl: float
    """Bound on the mean KL divergence between old and new adapted policies [nat]."""
    cg_iterations: int
    """Conjugate-gradient iterations at most: as many Fisher products."""
    damping: float
    """Added to the Fisher matrix's diagonal."""
    backtrack_ratio: float
    """What each refused step is shortened by."""
    max_backtracks: int
    """How many lengths the line search tries."""


def conjugate_gradient(
    product: Product, target: Tensor, iterations: int, tolerance: float = 1e-10
) -> tuple[Tensor, Tensor]:
    """Solve A x = b for a symmetric positive definite A (Hestenes and Stiefel 1952, section 3).

    Args:
        product: v -> A v, [parameter] both.
        target: b, [parameter].
        iterations: at most this many products.
        tolerance: stop when the squared norm of the residual falls below it, or below this part of
            b's where b is shorter than 1: a step does not depend on the unit of rewards. The
            default is that of Schulman's own implementation, modular_rl.

    Returns:
        The solution x, [parameter], and the residual b - A x, [parameter].
    """
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = residual.clone()
    squared = residual.dot(residual)
    least = tolerance * squared.clamp_max(1.0)
    for _ in range(iterations):
        if squared <= least:
            break
        image = product(direction)
        step = squared / direction.dot(image)
        solution = solution + step * direction
        # by recurrence, which saves a product and agrees with b - A x up to rounding
        residual = residual - step * image
        next_squared = residual.dot(residual)
        direction = residual + (next_squared / squared) * direction
        squared = next_squared
    return solution, residual


def trust_region_step(
    parameters: Parameters,
    evaluate: Callable[[Parameters], LossAndKL],
    product: Product,
    loss: Tensor,
    gradient: Tensor,
    settings: TrustRegion,
) -> tuple[dict[str, Tensor], Trace]:
    """Return improved parameters, or the same ones with the reason why not.

    Args:
        parameters: where to start.
        evaluate: the loss and the KL divergence at given parameters.
        product: v -> F v at the start.
        loss: at the start, a scalar.
        gradient: of the loss at the start, [parameter]; see `flatten`.
        settings: bounds and counts.
    """
    start = {name: value.detach() for name, value in parameters.items()}
    norm = float(gradient.norm())

    def stay(
        reason: str, cg_residual: float = math.nan, finite: bool = True
    ) -> tuple[dict[str, Tensor], Trace]:
        return start, Trace.kept(reason, float(loss), norm, cg_residual, finite=finite)

    reason = not_finite(loss, unflatten(gradient, start))
    if reason or not math.isfinite(norm):
        return stay(reason or "the gradient's norm is not finite", finite=False)
    if norm == 0.0:
        return stay("the gradient is zero")

    def damped(vector: Tensor) -> Tensor:
        # F has no curvature along parameters that these rollouts say nothing of
        return product(vector) + settings.damping * vector

    direction, residual = conjugate_gradient(damped, gradient, settings.cg_iterations)
    cg_residual = float(residual.norm()) / norm
    # x' A x without another product, since A x = g - r for the damped matrix A
    curvature = float(direction.dot(gradient - residual))
    if not (math.isfinite(curvature) and curvature > 0.0):
        reason = "the Fisher matrix is not positive along the step"
        return stay(reason, cg_residual, finite=math.isfinite(curvature))
    full = -math.sqrt(2.0 * settings.max_kl / curvature) * direction

    origin = flatten(start)
    finite = False
    for backtrack in range(settings.max_backtracks):
        fraction = settings.backtrack_ratio**backtrack
        candidate = unflatten(origin + fraction * full, start)
        after = evaluate(candidate)
        finite |= bool(torch.isfinite(after.loss))
        is_lower = torch.isfinite(after.loss) and after.loss < loss
        if is_lower and after.kl <= settings.max_kl:
            trace = Trace(
                accepted=True,
                reason="accepted",
                loss_before=float(loss),
                loss_after=float(after.loss),
                kl=float(after.kl),
                gradient_norm=norm,
                step_fraction=fraction,
                cg_residual=cg_residual,
            )
            return candidate, trace
    if not finite:
        return stay("the loss after the step is not finite, however short", cg_residual, False)
    return stay("no step within the trust region lowers the loss", cg_residual)
