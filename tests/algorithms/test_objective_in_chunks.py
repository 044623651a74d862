"""The objective in chunks of tasks against that of all tasks at once."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.agents import GaussianPolicy, layers
from metarl.algorithms.adapt import Inner
from metarl.algorithms.fisher import flatten
from metarl.algorithms.objective import Objective, Terms
from metarl.algorithms.objective_by_hand import ObjectiveByHand, applies
from metarl.algorithms.objective_in_chunks import ObjectiveInChunks
from metarl.system import task_threads
from metarl.system.task_threads import TaskThreads
from tests import reference

pytestmark = pytest.mark.usefixtures("double_precision")

INNER = Inner(0.3)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _chunks_of_one_task(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(task_threads, "ROWS", 1)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("terms", [Terms(), Terms(clip=0.2, inner_kl_penalty=0.3)])
@pytest.mark.parametrize("threads", [1, 2])
def test_means_of_chunks_are_the_means_of_all_tasks(terms: Terms, threads: int):
    policy = GaussianPolicy(4, 2, hidden=(6, 5))
    parameters, pre, post = reference.problem(policy, 1)
    whole = reference.objective(policy, parameters, pre, post, INNER, terms)
    vector = torch.randn(flatten(parameters).shape, generator=torch.Generator().manual_seed(5))
    moved = {name: value + 0.05 for name, value in parameters.items()}
    with TaskThreads(threads, CPU) as pool:
        chunked = ObjectiveInChunks.of(whole, parameters, pool, fisher_fraction=0.5)
        kind = ObjectiveByHand if terms == Terms() else Objective
        assert [type(chunk) for chunk in chunked.chunks] == [kind] * 3
        assert chunked.tasks == whole.tasks == 3
        for actual, expected in zip(chunked.evaluate(moved), whole.evaluate(moved), strict=True):
            close(actual, expected)
        loss, gradient = chunked.gradient(parameters)
        expected_loss, expected_gradient = whole.gradient(parameters)
        close(loss, expected_loss)
        close(flatten(gradient), flatten(expected_gradient))
        product = chunked.fisher(parameters)(vector)
        close(product, whole.subset(0.5).fisher(parameters)(vector))
        assert not torch.allclose(product, whole.fisher(parameters)(vector))
        close(flatten(chunked.adapted_mean(moved)), flatten(whole.adapted_mean(moved)))


def test_chunks_of_different_sizes_count_by_their_tasks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(task_threads, "ROWS", 40)
    policy = GaussianPolicy(4, 2, hidden=(6,))
    parameters, pre, post = reference.problem(policy, 1)
    whole = reference.objective(policy, parameters, pre, post, INNER)
    chunked = ObjectiveInChunks.of(whole, parameters, TaskThreads(1, CPU))
    assert sorted(chunk.tasks for chunk in chunked.chunks) == [1, 2]
    close(chunked.gradient(parameters)[0], whole.gradient(parameters)[0])


def test_an_activation_without_derivatives_by_hand_is_left_to_autograd(
    monkeypatch: pytest.MonkeyPatch,
):
    """A third activation, sin, which both tables of `layers` know: the gradient is that by
    differences, and that of the same network in torch."""
    monkeypatch.setitem(layers.ACTIVATIONS, "sin", (torch.sin, np.sin))
    policy = GaussianPolicy(4, 2, hidden=(6, 5), activation="sin")
    parameters, pre, post = reference.problem(policy, 1)
    whole = reference.objective(policy, parameters, pre, post, INNER)
    assert not applies(whole, parameters)
    chunked = ObjectiveInChunks.of(whole, parameters, TaskThreads(1, CPU))
    loss, gradient = chunked.gradient(parameters)

    monkeypatch.setattr(reference, "ACTIVATE", torch.sin)
    leaves = reference.leaves_of(parameters)
    expected_loss = reference.meta_loss(leaves, pre, post, INNER.lr, 3)
    expected = torch.autograd.grad(expected_loss, list(leaves.values()))
    close(loss, expected_loss.detach())
    close(flatten(gradient), torch.cat([part.reshape(-1) for part in expected]))

    step = 1e-6
    for name in parameters:
        losses = [
            float(chunked.evaluate({**parameters, name: parameters[name] + sign * step}).loss)
            for sign in (1.0, -1.0)
        ]
        slope = (losses[0] - losses[1]) / (2 * step)
        assert math.isclose(float(gradient[name].sum()), slope, rel_tol=1e-5, abs_tol=1e-7)
