"""The outer objective against slow twins: autograd task by task, and the KL's Hessian."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import grad

from metarl.agents import GaussianPolicy
from metarl.algorithms.adapt import RATE, Inner, adapt_tasks
from metarl.algorithms.fisher import flatten, unflatten
from metarl.algorithms.losses import INNER_LOSSES
from metarl.algorithms.objective import Terms
from metarl.experience.rollouts import Batch
from tests import reference

pytestmark = pytest.mark.usefixtures("double_precision")

INNER_LR = 0.1
INNER = Inner(INNER_LR)
LAYERS = 3
POLICY = GaussianPolicy(4, 2, hidden=(6, 5))


def gradient(
    parameters: dict[str, Tensor],
    pre: list[Batch],
    post: Batch,
    inner: Inner = INNER,
    terms: Terms = Terms(),  # noqa: B008
) -> Tensor:
    """The outer gradient, flat."""
    objective = reference.objective(POLICY, parameters, pre, post, inner, terms)
    return flatten(objective.gradient(parameters)[1])


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_meta_gradient_is_the_brute_force_one(inner_steps: int):
    parameters, pre, post = reference.problem(POLICY, inner_steps)
    leaves = reference.leaves_of(parameters)
    loss = reference.meta_loss(leaves, pre, post, INNER_LR, LAYERS)
    expected = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(leaves.values()))])
    actual = gradient(parameters, pre, post)
    torch.testing.assert_close(actual, expected, atol=1e-8, rtol=0)
    assert actual.norm() > 0.01


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_fisher_product_is_the_hessian_of_the_mean_kl(inner_steps: int):
    parameters, pre, post = reference.problem(POLICY, inner_steps)

    def divergence(vector: Tensor) -> Tensor:
        old = reference.leaves_of(parameters)
        return reference.meta_kl(old, unflatten(vector, parameters), pre, post, INNER_LR, LAYERS)

    vector = torch.randn(flatten(parameters).shape, generator=torch.Generator().manual_seed(5))
    _, expected = torch.autograd.functional.hvp(divergence, flatten(parameters), vector)
    objective = reference.objective(POLICY, parameters, pre, post, INNER)
    actual = objective.fisher(parameters)(vector)
    torch.testing.assert_close(actual, expected, atol=1e-8, rtol=1e-8)


def test_first_order_gradient_is_that_at_the_adapted_parameters():
    """FOMAML: the mean over tasks of each task's own gradient, after its step."""
    parameters, pre, post = reference.problem(POLICY, 2)
    actual = gradient(parameters, pre, post, Inner(INNER_LR, first_order=True))
    expected = torch.zeros_like(actual)
    for task in range(3):
        batches = [reference.task_of(b, task) for b in pre]
        adapted = reference.adapted(reference.leaves_of(parameters), batches, INNER_LR, LAYERS)
        leaves = reference.leaves_of({name: value.detach() for name, value in adapted.items()})
        loss = reference.surrogate(leaves, reference.task_of(post, task), LAYERS)
        expected += flatten(
            dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        )
    torch.testing.assert_close(actual, expected / 3, atol=1e-10, rtol=1e-8)
    exact = gradient(parameters, pre, post)
    assert not torch.allclose(actual, exact, atol=1e-4)


def test_without_adaptation_the_gradient_is_the_policy_gradient_of_all_tasks():
    parameters, _, post = reference.problem(POLICY, 1)
    actual = gradient(parameters, [], post)
    leaves = reference.leaves_of(parameters)
    losses = [reference.surrogate(leaves, reference.task_of(post, t), LAYERS) for t in range(3)]
    slopes = torch.autograd.grad(torch.stack(losses).mean(), list(leaves.values()))
    expected = torch.cat([part.reshape(-1) for part in slopes])
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-8)


def test_the_kl_penalty_counts_how_far_each_stage_before_adaptation_has_moved():
    parameters, pre, post = reference.problem(POLICY, 2)
    moved = {name: value + 0.05 for name, value in parameters.items()}
    losses = [
        reference.objective(POLICY, parameters, pre, post, INNER, terms).evaluate(moved).loss
        for terms in (Terms(), Terms(inner_kl_penalty=0.7))
    ]
    expected = torch.zeros(())
    for task in range(3):
        batches = [reference.task_of(b, task) for b in pre]
        for stage in range(2):
            old, new = (
                reference.network(
                    reference.adapted(reference.leaves_of(p), batches[:stage], INNER_LR, LAYERS),
                    batches[stage].observations,
                    LAYERS,
                )
                for p in (parameters, moved)
            )
            valid = batches[stage].weights > 0
            expected += torch.distributions.kl_divergence(old, new)[valid].mean() / 3
    torch.testing.assert_close(losses[1] - losses[0], 0.7 * expected.detach())
    assert expected > 0.01


def test_the_entropy_bonus_is_that_of_the_adapted_policies():
    parameters, pre, post = reference.problem(POLICY, 1)
    plain, rewarded = (
        reference.objective(POLICY, parameters, pre, post, INNER, terms).evaluate(parameters).loss
        for terms in (Terms(), Terms(entropy_bonus=0.1))
    )
    adapted = adapt_tasks(POLICY, parameters, pre, INNER)[-1]
    entropy = torch.distributions.Normal(0.0, adapted["log_std"].exp()).entropy().sum(-1).mean()
    torch.testing.assert_close(rewarded, plain - 0.1 * entropy)


def test_a_clip_that_nothing_reaches_changes_nothing():
    parameters, pre, post = reference.problem(POLICY, 1)
    far = gradient(parameters, pre, post, terms=Terms(clip=1e6))
    torch.testing.assert_close(far, gradient(parameters, pre, post))


class Arms(NamedTuple):
    """Two arms, of which the second is pulled with probability sigmoid(mean)."""

    mean: Tensor
    log_std: Tensor

    def log_prob(self, arm: Tensor) -> Tensor:
        sign = torch.where(arm[..., 0] == 1, 1.0, -1.0)
        return torch.nn.functional.logsigmoid(sign * self.mean[..., 0])


def test_the_credit_of_e_maml_makes_the_gradient_that_of_the_sampled_update():
    """d/dtheta of sum over data D of p(D; theta) J(U(theta, D)), by enumeration.

    Two pulls make an update by the score function. At theta = 0 all four outcomes are equally
    likely, so that one task each is a sample without error. The baseline then is part of the
    enumeration, which makes the credit n / (n - 1) times what it is.
    """
    rewards, lr = torch.tensor([2.0, 10.0]), 0.3
    outcomes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])

    def update(theta: Tensor, arms: Tensor) -> Tensor:
        score = torch.where(arms == 1, 1.0, 0.0) - theta.sigmoid()
        return theta + lr * (rewards[arms] * score).mean()

    def value(theta: Tensor) -> Tensor:
        return theta.sigmoid() * rewards[1] + (1 - theta.sigmoid()) * rewards[0]

    def expected(theta: Tensor) -> Tensor:
        terms = []
        for arms in outcomes:
            density = torch.where(arms == 1, theta.sigmoid(), 1 - theta.sigmoid()).prod()
            terms.append(density * value(update(theta, arms)))
        return torch.stack(terms).sum()

    def policy(parameters: Mapping[str, Tensor], observation: Tensor) -> Arms:
        theta = parameters["theta"].expand(observation.shape)
        return Arms(theta, torch.zeros_like(theta))

    theta = torch.zeros(())
    shape = (4, 2, 1)
    pulled, zeros = outcomes.view(*shape, 1), torch.zeros(*shape, 1)
    fair, mean = torch.full(shape, math.log(0.5)), torch.full(shape, 0.5)
    pre = Batch(zeros, pulled, fair, rewards[outcomes].view(shape), zeros[..., 0], mean, mean)

    adapted = torch.stack([update(theta, arms) for arms in outcomes])
    both = torch.tensor([0, 1]).expand(4, 2).reshape(shape)
    odds = torch.stack([1 - adapted.sigmoid(), adapted.sigmoid()], dim=1).view(shape)
    earned = rewards[both]
    paid, one = 2 * odds * earned, torch.ones(shape)
    post = Batch(zeros, both.unsqueeze(-1), odds.log(), earned, paid, odds, one)
    torch.testing.assert_close(post.rewards.sum((1, 2)) / 2, value(adapted))

    inner = Inner(lr, INNER_LOSSES["score-function"])
    for weight, matches in ((3 / 4, True), (0.0, False)):
        terms = Terms(exploration_weight=weight)
        objective = reference.objective(policy, {"theta": theta}, [pre], post, inner, terms)  # type: ignore[arg-type]
        actual = -objective.gradient({"theta": theta})[1]["theta"]
        assert torch.allclose(actual, grad(expected)(theta)) is matches


def test_the_gradient_by_a_learned_rate_is_a_finite_difference():
    parameters, pre, post = reference.problem(POLICY, 1)
    rates = {RATE + name: torch.full_like(value, 0.5) for name, value in parameters.items()}
    both = {**parameters, **rates}
    slopes = unflatten(gradient(both, pre, post), both)
    step = 1e-5
    for name in ("weight0", "log_std"):
        losses = []
        for sign in (1.0, -1.0):
            moved = {key: value.clone() for key, value in both.items()}
            moved[RATE + name].view(-1)[0] += sign * step
            losses.append(
                reference.objective(POLICY, parameters, pre, post, INNER).evaluate(moved).loss
            )
        expected = (losses[0] - losses[1]) / (2 * step)
        actual = slopes[RATE + name].view(-1)[0]
        torch.testing.assert_close(actual, expected, atol=1e-8, rtol=1e-4)
