"""Fisher products against the matrix itself, and vectors against names."""

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.agents.gaussian import Gaussian
from metarl.algorithms.fisher import fisher_product, flatten, unflatten

pytestmark = pytest.mark.usefixtures("double_precision")

TASKS, ROLLOUTS, TIME, ACTIONS = 2, 3, 4, 2
PARAMETERS = {"bias": torch.tensor([0.3, -0.2]).double(), "scale": torch.tensor(0.7).double()}


def inputs() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(TASKS, ROLLOUTS, TIME, 1, generator=generator)


def distributions(parameters) -> Gaussian:
    """Means and log-stds that depend on both parameters, and not linearly."""
    mean = torch.sin(parameters["scale"] * inputs() + parameters["bias"])
    tasks = torch.arange(1.0, TASKS + 1).view(TASKS, 1, 1)
    log_std = tasks * parameters["scale"] ** 2 * torch.cos(parameters["bias"])
    return Gaussian(mean, log_std)


def test_a_product_is_that_with_the_expected_outer_product_of_scores():
    """F = E[grad log pi grad log pi'], the definition, by Gauss-Hermite quadrature over actions."""
    valid = torch.rand(TASKS, ROLLOUTS, TIME, generator=torch.Generator().manual_seed(1)) < 0.7
    weights = valid / valid.sum((1, 2), keepdim=True)
    start = flatten(PARAMETERS)
    gaussian = distributions(PARAMETERS)
    nodes, node_weights = (
        torch.from_numpy(array) for array in np.polynomial.hermite_e.hermegauss(12)
    )
    node_weights = node_weights / node_weights.sum()

    def log_probs(vector: Tensor) -> Tensor:
        """Of both components of the action at every node, [task, rollout, time, action, node]."""
        new = distributions(unflatten(vector, PARAMETERS))
        log_std = new.log_std[:, :, None, :, None]
        old_std = gaussian.log_std.exp()[:, :, None, :, None]
        action = gaussian.mean[..., None] + old_std * nodes
        noise = (action - new.mean[..., None]) / log_std.exp()
        return -0.5 * noise.square() - log_std

    scores = torch.autograd.functional.jacobian(log_probs, start)
    outer = torch.einsum("trkanp,trkanq,n->trkpq", scores, scores, node_weights)
    matrix = torch.einsum("trkpq,trk->pq", outer, weights) / TASKS
    product = fisher_product(distributions, PARAMETERS, weights)
    columns = [product(unit) for unit in torch.eye(len(start))]
    torch.testing.assert_close(torch.stack(columns), matrix)
    assert torch.linalg.eigvalsh(matrix).min() > 0.01


def test_a_vector_has_the_parameters_in_their_order_and_shapes():
    parameters = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor(6.0), "c": torch.ones(1)}
    vector = flatten(parameters)
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 6, 1]
    back = unflatten(vector, parameters)
    assert list(back) == ["b", "a", "c"]
    assert all(torch.equal(back[name], value) for name, value in parameters.items())
