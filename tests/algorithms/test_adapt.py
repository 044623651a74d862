"""Adaptation against gradient steps task by task, with autograd's own graph."""

import pytest
import torch

from metarl.agents import GaussianPolicy
from metarl.agents.policy import CONTEXT
from metarl.algorithms.adapt import RATE, Inner, adapt, adapt_further, adapt_tasks
from tests import reference

pytestmark = pytest.mark.usefixtures("double_precision")

INNER_LR = 0.1
INNER = Inner(INNER_LR)
LAYERS = 3
POLICY = GaussianPolicy(4, 2, hidden=(6, 5))


def test_adapted_parameters_are_the_brute_force_ones():
    parameters, pre, _ = reference.problem(POLICY, 2)
    stages = adapt_tasks(POLICY, parameters, pre, INNER)
    actual = stages[-1]
    further = adapt_further(POLICY, stages[1], pre[1], INNER)
    for task in range(3):
        leaves = reference.leaves_of(parameters)
        batches = [reference.task_of(b, task) for b in pre]
        expected = reference.adapted(leaves, batches, INNER_LR, LAYERS)
        for name in parameters:
            torch.testing.assert_close(actual[name][task], expected[name], atol=1e-10, rtol=0)
            torch.testing.assert_close(further[name][task], expected[name], atol=1e-10, rtol=0)


def test_only_the_named_parameters_adapt():
    parameters, pre, _ = reference.problem(POLICY, 1)
    names = ("weight1", "log_std")
    adapted = adapt_tasks(POLICY, parameters, pre, Inner(INNER_LR, adapts=names))[-1]
    everything = adapt_tasks(POLICY, parameters, pre, INNER)[-1]
    for name, value in parameters.items():
        if name in names:
            torch.testing.assert_close(adapted[name], everything[name])
        else:
            assert (adapted[name] == value).all()


def test_learned_rates_scale_their_steps():
    """Meta-SGD: half the rate is half the step, and a step leaves the rates as they are."""
    parameters, pre, _ = reference.problem(POLICY, 1)
    rates = {RATE + name: torch.full_like(value, 0.5) for name, value in parameters.items()}
    both = {**parameters, **rates}
    half = adapt_tasks(POLICY, both, pre, INNER)[-1]
    plain = adapt_tasks(POLICY, parameters, pre, Inner(INNER_LR / 2))[-1]
    for name in parameters:
        torch.testing.assert_close(half[name], plain[name])
        assert (half[RATE + name] == 0.5).all()


def test_a_first_order_step_is_a_constant_to_derivatives():
    """The adapted parameters move exactly as the common ones do: d theta' / d theta = 1."""
    parameters, (pre,), _ = reference.problem(POLICY, 1)
    batch = reference.task_of(pre, 0)

    def adapted(bias: torch.Tensor, first_order: bool) -> torch.Tensor:
        moved = {**parameters, "bias0": bias}
        return adapt(POLICY, moved, [batch], Inner(INNER_LR, first_order=first_order))[-1]["bias0"]

    jacobians = [
        torch.autograd.functional.jacobian(
            lambda bias, first_order=first_order: adapted(bias, first_order), parameters["bias0"]
        )
        for first_order in (True, False)
    ]
    torch.testing.assert_close(jacobians[0], torch.eye(6))
    assert not torch.allclose(jacobians[1], torch.eye(6), atol=1e-4)


def test_fresh_parameters_start_each_adaptation_and_alone_move_when_named():
    """CAVIA: a context of zeros, and a step along the gradient by it."""
    policy = GaussianPolicy(4, 2, hidden=(6,), context_size=3)
    parameters = policy.initial(torch.Generator().manual_seed(0))
    parameters = {name: value.double() for name, value in parameters.items()}
    pre = reference.experience(policy, parameters, 0)
    inner = Inner(INNER_LR, adapts=(CONTEXT,), fresh={CONTEXT: torch.zeros(3)})
    before, after = adapt_tasks(policy, parameters, [pre], inner)
    assert (before[CONTEXT] == 0.0).all()
    for name, value in parameters.items():
        assert (after[name] == value).all()
    for task in range(3):
        batch = reference.task_of(pre, task)
        context = torch.zeros(3, requires_grad=True)
        new = policy({**parameters, CONTEXT: context}, batch.observations)
        ratio = (new.log_prob(batch.actions) - batch.log_probs).exp()
        loss = -(batch.weights * ratio * batch.advantages).sum()
        (gradient,) = torch.autograd.grad(loss, context)
        torch.testing.assert_close(after[CONTEXT][task], -INNER_LR * gradient)
        assert gradient.norm() > 1e-3
