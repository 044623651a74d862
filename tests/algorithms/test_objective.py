"""The outer objective against slow twins: autograd task by task, and the KL's Hessian."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import grad

from metarl.agents import GaussianPolicy
from metarl.algorithms.adapt import RATE, Inner, adapt_further, adapt_tasks
from metarl.algorithms.fisher import flatten, unflatten
from metarl.algorithms.losses import INNER_LOSSES, likelihood_ratio
from metarl.algorithms.meta_batch import exploration_credit
from metarl.algorithms.objective import Terms
from metarl.algorithms.outer_steps import trust_region
from metarl.algorithms.trust_region import TrustRegion
from metarl.experience.rollouts import Batch
from tests import reference

INNER_LR = 0.1
INNER = Inner(INNER_LR)
LAYERS = 3
POLICY = GaussianPolicy(4, 2, hidden=(6, 5))


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def problem(inner_steps: int) -> tuple[dict[str, Tensor], list[Batch], Batch]:
    parameters = POLICY.initial(torch.Generator().manual_seed(0))
    parameters = {name: value.double() for name, value in parameters.items()}
    batches = [reference.experience(POLICY, parameters, seed) for seed in range(inner_steps + 1)]
    return parameters, batches[:-1], batches[-1]


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
    parameters, pre, post = problem(inner_steps)
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    loss = reference.meta_loss(leaves, pre, post, INNER_LR, LAYERS)
    expected = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(leaves.values()))])
    found = gradient(parameters, pre, post)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)
    assert found.norm() > 0.01


def test_adapted_parameters_are_the_brute_force_ones():
    parameters, pre, _ = problem(2)
    stages = adapt_tasks(POLICY, parameters, pre, INNER)
    found = stages[-1]
    further = adapt_further(POLICY, stages[1], pre[1], INNER)
    for task in range(3):
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        batches = [reference.task_of(b, task) for b in pre]
        expected = reference.adapted(leaves, batches, INNER_LR, LAYERS)
        for name in parameters:
            torch.testing.assert_close(found[name][task], expected[name], atol=1e-10, rtol=0)
            torch.testing.assert_close(further[name][task], expected[name], atol=1e-10, rtol=0)


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_fisher_product_is_the_hessian_of_the_mean_kl(inner_steps: int):
    parameters, pre, post = problem(inner_steps)

    def divergence(vector: Tensor) -> Tensor:
        old = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        return reference.meta_kl(old, unflatten(vector, parameters), pre, post, INNER_LR, LAYERS)

    vector = torch.randn(flatten(parameters).shape, generator=torch.Generator().manual_seed(5))
    _, expected = torch.autograd.functional.hvp(divergence, flatten(parameters), vector)
    objective = reference.objective(POLICY, parameters, pre, post, INNER)
    found = objective.fisher(parameters)(vector)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)


class Bandit:
    """Two arms, of which the second is pulled with probability sigmoid(theta)."""

    def __init__(self, theta: Tensor) -> None:
        self.theta = theta

    def log_prob(self, arm: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(torch.where(arm == 1, self.theta, -self.theta))


def test_second_derivative_of_the_likelihood_ratio_by_hand():
    """J = p r1 + (1 - p) r0, p = sigmoid(theta): J'' = p (1 - p) (1 - 2 p) (r1 - r0).

    At p = 1/4 one pull in four is of the second arm, so this batch has no sampling error. The
    plain score-function loss would give -p (1 - p) J instead.
    """
    p, r0, r1 = 0.25, 2.0, 10.0
    theta = torch.tensor(-math.log(3.0))
    arms = torch.tensor([1.0, 0.0, 0.0, 0.0])
    rewards = torch.where(arms == 1, r1, r0)
    weights = torch.full((4,), 0.25)
    data = Batch(arms, arms, Bandit(theta).log_prob(arms), rewards, rewards, weights)

    def surrogate(theta: Tensor) -> Tensor:
        return -likelihood_ratio(Bandit(theta), data)  # type: ignore[arg-type]

    def score(theta: Tensor) -> Tensor:
        return (weights * Bandit(theta).log_prob(arms) * rewards).sum()

    slope = p * (1 - p) * (r1 - r0)
    curvature = p * (1 - p) * (1 - 2 * p) * (r1 - r0)
    torch.testing.assert_close(grad(surrogate)(theta), torch.tensor(slope))
    torch.testing.assert_close(grad(score)(theta), torch.tensor(slope))
    torch.testing.assert_close(grad(grad(surrogate))(theta), torch.tensor(curvature))
    wrong = -p * (1 - p) * (p * r1 + (1 - p) * r0)
    torch.testing.assert_close(grad(grad(score))(theta), torch.tensor(wrong))


def test_a_step_lowers_the_loss_within_the_trust_region():
    parameters, pre, post = problem(1)
    settings = TrustRegion(
        max_kl=0.01, cg_iterations=10, damping=1e-5, backtrack_ratio=0.8, max_backtracks=15
    )
    objective = reference.objective(POLICY, parameters, pre, post, INNER)
    stepped, _, trace = trust_region(objective, parameters, {}, settings)
    before, after = (
        reference.meta_loss(
            {n: v.clone().requires_grad_() for n, v in p.items()}, pre, post, INNER_LR, LAYERS
        )
        for p in (parameters, stepped)
    )
    assert trace.accepted
    assert after < before
    assert trace.loss_after == pytest.approx(after.item())
    old, new = (
        {n: v.clone().requires_grad_() for n, v in p.items()} for p in (parameters, stepped)
    )
    divergence = reference.meta_kl(old, new, pre, post, INNER_LR, LAYERS)
    assert trace.kl == pytest.approx(divergence.item())
    assert 0.0 < trace.kl <= 0.01


def leaves_of(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone().requires_grad_() for name, value in parameters.items()}


def test_first_order_gradient_is_that_at_the_adapted_parameters():
    """FOMAML: the mean over tasks of each task's own gradient, after its step."""
    parameters, pre, post = problem(2)
    found = gradient(parameters, pre, post, Inner(INNER_LR, first_order=True))
    expected = torch.zeros_like(found)
    for task in range(3):
        batches = [reference.task_of(b, task) for b in pre]
        adapted = reference.adapted(leaves_of(parameters), batches, INNER_LR, LAYERS)
        leaves = leaves_of({name: value.detach() for name, value in adapted.items()})
        loss = reference.surrogate(leaves, reference.task_of(post, task), LAYERS)
        expected += flatten(
            dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        )
    torch.testing.assert_close(found, expected / 3, atol=1e-10, rtol=1e-8)
    exact = gradient(parameters, pre, post)
    assert not torch.allclose(found, exact, atol=1e-4)


def test_only_the_named_parameters_adapt():
    parameters, pre, _ = problem(1)
    names = ("weight1", "log_std")
    adapted = adapt_tasks(POLICY, parameters, pre, Inner(INNER_LR, adapts=names))[-1]
    everything = adapt_tasks(POLICY, parameters, pre, INNER)[-1]
    for name, value in parameters.items():
        if name in names:
            torch.testing.assert_close(adapted[name], everything[name])
        else:
            assert (adapted[name] == value).all()


def test_learned_rates_scale_their_steps_and_have_gradients():
    """Meta-SGD: half the rate is half the step; a rate's gradient is a finite difference."""
    parameters, pre, post = problem(1)
    rates = {RATE + name: torch.full_like(value, 0.5) for name, value in parameters.items()}
    both = {**parameters, **rates}
    half = adapt_tasks(POLICY, both, pre, INNER)[-1]
    plain = adapt_tasks(POLICY, parameters, pre, Inner(INNER_LR / 2))[-1]
    for name in parameters:
        torch.testing.assert_close(half[name], plain[name])
        assert (half[RATE + name] == 0.5).all()

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
        found = slopes[RATE + name].view(-1)[0]
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-4)


def test_without_adaptation_the_gradient_is_the_policy_gradient_of_all_tasks():
    parameters, _, post = problem(1)
    found = gradient(parameters, [], post)
    leaves = leaves_of(parameters)
    losses = [reference.surrogate(leaves, reference.task_of(post, t), LAYERS) for t in range(3)]
    slopes = torch.autograd.grad(torch.stack(losses).mean(), list(leaves.values()))
    expected = torch.cat([part.reshape(-1) for part in slopes])
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-8)


def test_the_kl_penalty_counts_how_far_each_stage_before_adaptation_has_moved():
    parameters, pre, post = problem(2)
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
                    reference.adapted(leaves_of(p), batches[:stage], INNER_LR, LAYERS),
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
    parameters, pre, post = problem(1)
    plain, rewarded = (
        reference.objective(POLICY, parameters, pre, post, INNER, terms).evaluate(parameters).loss
        for terms in (Terms(), Terms(entropy_bonus=0.1))
    )
    adapted = adapt_tasks(POLICY, parameters, pre, INNER)[-1]
    entropy = torch.distributions.Normal(0.0, adapted["log_std"].exp()).entropy().sum(-1).mean()
    torch.testing.assert_close(rewarded, plain - 0.1 * entropy)


def test_a_clip_that_nothing_reaches_changes_nothing():
    parameters, pre, post = problem(1)
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
    pre = Batch(zeros, pulled, fair, rewards[outcomes].view(shape), zeros[..., 0], mean)

    adapted = torch.stack([update(theta, arms) for arms in outcomes])
    both = torch.tensor([0, 1]).expand(4, 2).reshape(shape)
    odds = torch.stack([1 - adapted.sigmoid(), adapted.sigmoid()], dim=1).view(shape)
    earned = rewards[both]
    post = Batch(zeros, both.unsqueeze(-1), odds.log(), earned, 2 * odds * earned, odds)
    torch.testing.assert_close(post.rewards.sum((1, 2)) / 2, value(adapted))

    inner = Inner(lr, INNER_LOSSES["score-function"])
    for weight, matches in ((3 / 4, True), (0.0, False)):
        terms = Terms(exploration_weight=weight)
        objective = reference.objective(policy, {"theta": theta}, [pre], post, inner, terms)  # type: ignore[arg-type]
        found = -objective.gradient({"theta": theta})[1]["theta"]
        assert torch.allclose(found, grad(expected)(theta)) is matches


def test_the_credit_of_a_task_is_measured_against_the_others():
    zeros = torch.zeros(3, 2, 1)
    rewards = torch.tensor([1.0, 2.0, 6.0]).view(3, 1, 1).expand(3, 2, 1)
    credit = exploration_credit(Batch(zeros, zeros, zeros, zeros, rewards, zeros))
    torch.testing.assert_close(credit, torch.tensor([2 * -3.0, 2 * -1.5, 2 * 4.5]))
