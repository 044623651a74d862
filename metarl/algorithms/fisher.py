"""The Fisher information matrix of the adapted policies, as a function v -> F v.

The matrix is that of the policies *after* adaptation with respect to the common parameters *before*
it (Schulman et al. 2015, "Trust Region Policy Optimization", appendix C.1; Finn et al. 2017,
section 5.3), so that a product passes through the adaptation:

    F v = J' M J v,    J = d (mean, log-std of the adapted policies) / d (common parameters).

M is the Fisher matrix of the Gaussians themselves in their own coordinates, which is diagonal:
1 / std^2 for a mean and 2 for a log-std, times the weight of the step, averaged over tasks. Where
the policies are those that sampled, F is exactly the Hessian of the mean KL divergence, but needs
the policies' first derivatives only.

F itself is never formed: it has 33 million entries for HalfCheetah's default policy, and conjugate
gradients need products only.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import Parameters

Product = Callable[[Tensor], Tensor]
"""v -> F v, both [parameter]: a symmetric positive semidefinite matrix as a function; see
`flatten` for the order."""


def flatten(parameters: Parameters) -> Tensor:
    """Return the parameters as one vector, [parameter], in the order of the mapping."""
    return torch.cat([value.reshape(-1) for value in parameters.values()])


def unflatten(vector: Tensor, like: Parameters) -> dict[str, Tensor]:
    """Return the inverse of `flatten`: a vector's parts by name.

    Args:
        vector: [parameter].
        like: parameters with the names, order and shapes wanted.
    """
    parts = vector.split([value.numel() for value in like.values()])
    return {n: p.view(v.shape) for (n, v), p in zip(like.items(), parts, strict=True)}


def fisher_product(
    distributions: Callable[[Parameters], Gaussian], parameters: Parameters, weights: Tensor
) -> Product:
    """Linearise the adapted policies once and return v -> F v.

    J' u is what reverse mode gives. J v would need forward mode, and a second trace of the network;
    instead it is read off the same graph: w(u) = J' u is linear in u, so the derivative of <w, v>
    by u is J v ("double backward", Townsend 2017, "A new trick for calculating Jacobian vector
    products"). The u are `cotangents` below; their value is of no consequence, and is 0.

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
    pulled_back = torch.autograd.grad(outputs, variables, cotangents, create_graph=True)

    tasks = weights.shape[0]
    precision = torch.exp(-2.0 * outputs.log_std.detach()).view(tasks, 1, 1, -1)
    mean_metric = (weights / tasks).unsqueeze(-1) * precision

    def product(vector: Tensor) -> Tensor:
        directions = list(unflatten(vector, leaves).values())
        mean, log_std = torch.autograd.grad(pulled_back, cotangents, directions, retain_graph=True)
        # a log-std is common to a task's steps, whose weights sum to 1
        metric = (mean_metric * mean, 2.0 / tasks * log_std)
        result = torch.autograd.grad(outputs, variables, metric, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in result])

    return product
