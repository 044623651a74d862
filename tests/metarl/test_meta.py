"""The meta-update against slow twins: per-task autograd and the Hessian of the KL divergence."""

import math

import pytest
import torch
from torch import Tensor
from torch.func import grad

from agents import GaussianPolicy
from metarl.adapt import RATE, Inner, adapt_further, adapt_tasks
from metarl.config import Config
from metarl.losses import likelihood_ratio
from metarl.meta import adapted_policies, meta_gradient, surrogate_loss, trpo
from metarl.rollouts import Batch
from metarl.trust_region import fisher_product, flatten, unflatten
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


def batch(policy: GaussianPolicy, parameters: dict[str, Tensor], seed: int) -> Batch:
    """Made-up experience of 3 tasks, 4 rollouts, up to 5 steps."""
    generator = torch.Generator().manual_seed(seed)
    observations = torch.randn(3, 4, 5, 4, generator=generator)
    gaussian = policy(parameters, observations)
    actions = gaussian.sample(torch.randn(3, 4, 5, 2, generator=generator))
    valid = torch.rand(3, 4, 5, generator=generator) < 0.8
    weights = valid / valid.sum((1, 2), keepdim=True)
    advantages = torch.randn(3, 4, 5, generator=generator)
    return Batch(observations, actions, gaussian.log_prob(actions), advantages, weights)


def problem(inner_steps: int) -> tuple[dict[str, Tensor], list[Batch], Batch]:
    parameters = POLICY.initial(torch.Generator().manual_seed(0))
    parameters = {name: value.double() for name, value in parameters.items()}
    batches = [batch(POLICY, parameters, seed) for seed in range(inner_steps + 1)]
    return parameters, batches[:-1], batches[-1]


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_meta_gradient_is_the_brute_force_one(inner_steps: int):
    parameters, pre, post = problem(inner_steps)
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    loss = reference.meta_loss(leaves, pre, post, INNER_LR, LAYERS)
    expected = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(leaves.values()))])
    found = meta_gradient(POLICY, parameters, pre, post, INNER)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)
    assert found.norm() > 0.01


def test_adapted_parameters_are_the_brute_force_ones():
    parameters, pre, _ = problem(2)
    found = adapt_tasks(POLICY, parameters, pre, INNER, 3)
    further = adapt_further(
        POLICY, adapt_tasks(POLICY, parameters, pre[:1], INNER, 3), pre[1], INNER
    )
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
    distributions = adapted_policies(POLICY, pre, post.observations, INNER)
    found = fisher_product(distributions, parameters, post.weights)(vector)
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
    data = Batch(arms, arms, Bandit(theta).log_prob(arms), rewards, weights)

    def surrogate(theta: Tensor) -> Tensor:
        policy = lambda parameters, _: Bandit(parameters["theta"])  # noqa: E731
        return -likelihood_ratio(policy, {"theta": theta}, data)  # type: ignore[arg-type]

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
    settings = Config(fisher_fraction=1.0, max_kl=0.01).trust_region
    stepped, trace = trpo(POLICY, parameters, pre, post, INNER, settings)
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


def test_a_step_that_cannot_be_taken_restores_the_parameters():
    parameters, pre, post = problem(1)
    poisoned = post._replace(advantages=torch.full_like(post.advantages, torch.nan))
    stepped, trace = trpo(POLICY, parameters, pre, poisoned, INNER, Config().trust_region)
    assert not trace.accepted
    assert trace.reason == "the gradient is not finite"
    assert all(torch.equal(stepped[name], parameters[name]) for name in parameters)


def leaves_of(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone().requires_grad_() for name, value in parameters.items()}


def test_first_order_gradient_is_that_at_the_adapted_parameters():
    """FOMAML: the mean over tasks of each task's own gradient, after its step."""
    parameters, pre, post = problem(2)
    found = meta_gradient(POLICY, parameters, pre, post, Inner(INNER_LR, first_order=True))
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
    exact = meta_gradient(POLICY, parameters, pre, post, INNER)
    assert not torch.allclose(found, exact, atol=1e-4)


def test_only_the_named_parameters_adapt():
    parameters, pre, _ = problem(1)
    names = ("weight1", "log_std")
    adapted = adapt_tasks(POLICY, parameters, pre, Inner(INNER_LR, adapts=names), 3)
    everything = adapt_tasks(POLICY, parameters, pre, INNER, 3)
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
    half = adapt_tasks(POLICY, both, pre, INNER, 3)
    plain = adapt_tasks(POLICY, parameters, pre, Inner(INNER_LR / 2), 3)
    for name in parameters:
        torch.testing.assert_close(half[name], plain[name])
        assert (half[RATE + name] == 0.5).all()

    gradient = unflatten(meta_gradient(POLICY, both, pre, post, INNER), both)
    step = 1e-5
    for name in ("weight0", "log_std"):
        losses = []
        for sign in (1.0, -1.0):
            moved = {key: value.clone() for key, value in both.items()}
            moved[RATE + name].view(-1)[0] += sign * step
            adapted = adapt_tasks(POLICY, moved, pre, INNER, 3)
            losses.append(surrogate_loss(POLICY, adapted, post))
        expected = (losses[0] - losses[1]) / (2 * step)
        found = gradient[RATE + name].view(-1)[0]
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-4)


def test_without_adaptation_the_gradient_is_the_policy_gradient_of_all_tasks():
    parameters, _, post = problem(1)
    found = meta_gradient(POLICY, parameters, [], post, INNER)
    leaves = leaves_of(parameters)
    losses = [reference.surrogate(leaves, reference.task_of(post, t), LAYERS) for t in range(3)]
    gradient = torch.autograd.grad(torch.stack(losses).mean(), list(leaves.values()))
    expected = torch.cat([part.reshape(-1) for part in gradient])
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-8)
