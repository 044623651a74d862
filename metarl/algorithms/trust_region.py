"""One trust-region step: natural gradient by conjugate gradients, then a line search.

Follows Schulman et al. (2015), "Trust Region Policy Optimization", appendix C. The Fisher matrix is
that of the policies *after* adaptation with respect to the parameters *before* it, so its product
with a vector passes through the adaptation: F v = J' M J v, where J is the Jacobian of the adapted
policies' means and log-stds and M the Fisher matrix of the Gaussians themselves. At the current
parameters this is exactly the Hessian of the mean KL divergence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import Parameters
from metarl.algorithms.trace import Trace


@dataclass(frozen=True)
class TrustRegion:
    """The settings of a trust-region step."""

    max_kl: float
    """Bound on the mean KL divergence between old and new adapted policies [nat]."""
    cg_iterations: int
    damping: float
    """Added to the Fisher matrix's diagonal."""
    fisher_fraction: float
    """The part of the rollouts that Fisher products are computed from."""
    backtrack_ratio: float
    """What each refused step is shortened by."""
    max_backtracks: int
    """How many lengths the line search tries."""


Product = Callable[[Tensor], Tensor]


class Evaluation(NamedTuple):
    """The two numbers a line search looks at."""

    loss: Tensor
    """Minus the surrogate return after adaptation, a scalar."""
    kl: Tensor
    """Mean KL(old || new) of the adapted policies [nat], a scalar."""


def flatten(parameters: Parameters) -> Tensor:
    """Return the parameters as one vector."""
    return torch.cat([value.reshape(-1) for value in parameters.values()])


def unflatten(vector: Tensor, like: Parameters) -> dict[str, Tensor]:
    """Return a vector's parts with the names and shapes of `like`."""
    parts = vector.split([value.numel() for value in like.values()])
    return {n: p.view(v.shape) for (n, v), p in zip(like.items(), parts, strict=True)}


def fisher_product(
    distributions: Callable[[Parameters], Gaussian], parameters: Parameters, weights: Tensor
) -> Product:
    """Linearise the adapted policies once and return v -> F v.

    Both directions are read off one reverse-mode graph: w(u) = J' u is linear in u, so its own
    derivative in direction v is J v. No further pass through the network is traced.

    Args:
        distributions: parameters -> adapted policies over samples, mean [task, rollout, time,
            action] and log-std [task, 1, action].
        parameters: where to linearise.
        weights: [task, rollout, time], summing to 1 within each task.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    variables = list(leaves.values())
    outputs = distributions(leaves)
    cotangents = tuple(torch.zeros_like(output, requires_grad=True) for output in outputs)
    pulled = torch.autograd.grad(outputs, variables, cotangents, create_graph=True)

    tasks = weights.shape[0]
    precision = torch.exp(-2.0 * outputs.log_std.detach()).view(tasks, 1, 1, -1)
    mean_metric = (weights / tasks).unsqueeze(-1) * precision

    def product(vector: Tensor) -> Tensor:
        directions = list(unflatten(vector, leaves).values())
        mean, log_std = torch.autograd.grad(pulled, cotangents, directions, retain_graph=True)
        metric = (mean_metric * mean, 2.0 / tasks * log_std)
        result = torch.autograd.grad(outputs, variables, metric, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in result])

    return product


def conjugate_gradient(
    product: Product, target: Tensor, iterations: int, tolerance: float = 1e-10
) -> tuple[Tensor, Tensor]:
    """Solve `product(x) = target` for a symmetric positive definite product.

    Args:
        product: the matrix, as a function.
        target: the right-hand side, a vector.
        iterations: at most this many products.
        tolerance: stop when the squared residual falls below it.

    Returns:
        The solution, and the residual `target - product(solution)`.
    """
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = residual.clone()
    squared = residual.dot(residual)
    for _ in range(iterations):
        if squared < tolerance:
            break
        image = product(direction)
        step = squared / direction.dot(image)
        solution = solution + step * direction
        residual = residual - step * image
        following = residual.dot(residual)
        direction = residual + (following / squared) * direction
        squared = following
    return solution, residual


def trust_region_step(
    parameters: Parameters,
    evaluate: Callable[[Parameters], Evaluation],
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
        gradient: of the loss at the start, flat.
        settings: bounds and counts.
    """
    start = {name: value.detach() for name, value in parameters.items()}
    norm = float(gradient.norm())

    def stay(reason: str, residual: float = math.nan) -> tuple[dict[str, Tensor], Trace]:
        return start, Trace.kept(reason, float(loss), norm, residual)

    if not (math.isfinite(norm) and torch.isfinite(loss)):
        return stay("the gradient is not finite")
    if norm == 0.0:
        return stay("the gradient is zero")

    def damped(vector: Tensor) -> Tensor:
        return product(vector) + settings.damping * vector

    direction, rest = conjugate_gradient(damped, gradient, settings.cg_iterations)
    residual = float(rest.norm()) / norm
    curvature = float(direction.dot(gradient - rest))  # the matrix's, with no further product
    if not (math.isfinite(curvature) and curvature > 0.0):
        return stay("the Fisher matrix is not positive along the step", residual)
    full = -math.sqrt(2.0 * settings.max_kl / curvature) * direction

    origin = flatten(start)
    for backtrack in range(settings.max_backtracks):
        fraction = settings.backtrack_ratio**backtrack
        candidate = unflatten(origin + fraction * full, start)
        after = evaluate(candidate)
        lower = torch.isfinite(after.loss) and after.loss < loss
        if lower and after.kl <= settings.max_kl:
            trace = Trace(
                True,
                "accepted",
                float(loss),
                float(after.loss),
                float(after.kl),
                norm,
                fraction,
                residual,
            )
            return candidate, trace
    return stay("no step within the trust region lowers the loss", residual)
