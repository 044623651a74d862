"""Inner losses against the exact expected return of a tabular problem, by enumeration."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.func import grad

from metarl.algorithms.losses import clipped, dice, likelihood_ratio, loaded_dice, score_function
from metarl.experience.rollouts import Batch

HORIZON = 3
THETA = torch.tensor([0.3, -0.8, 0.5, 1.1], dtype=torch.float64)


class Coin:
    """Heads with probability sigmoid(theta of the state); the state counts heads so far."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def log_prob(self, heads: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(torch.where(heads == 1, self.logits, -self.logits))


def policy(parameters: dict[str, Tensor], state: Tensor) -> Coin:
    return Coin(parameters["theta"][state])


# every sequence of three tosses, [path, time], with the state before each and its reward
HEADS = torch.tensor(list(itertools.product((0, 1), repeat=HORIZON)))
STATES = torch.cat([torch.zeros(8, 1, dtype=torch.long), HEADS.cumsum(1)[:, :-1]], dim=1)
REWARDS = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) * HEADS + 0.7 * STATES * HEADS
TO_COME = REWARDS.flip(1).cumsum(1).flip(1)


def expected_return(theta: Tensor) -> Tensor:
    log_prob = policy({"theta": theta}, STATES).log_prob(HEADS).sum(1)
    return (log_prob.exp() * REWARDS.sum(1)).sum()


def batch() -> Batch:
    """All paths with their probabilities as weights: a sample without sampling error."""
    log_probs = policy({"theta": THETA}, STATES).log_prob(HEADS)
    weights = log_probs.sum(1).exp()[:, None].expand(8, HORIZON)
    return Batch(STATES, HEADS, log_probs, TO_COME, REWARDS, weights, torch.ones(8, HORIZON))


def derivatives(loss) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian of minus a loss."""
    value = lambda theta: -loss(policy({"theta": theta}, STATES), batch())  # noqa: E731
    return grad(value)(THETA), hessian_of(value)


def hessian_of(value) -> Tensor:
    rows = [grad(lambda t, i=i: grad(value)(t)[i])(THETA) for i in range(len(THETA))]
    return torch.stack(rows)


@pytest.mark.parametrize("loss", [likelihood_ratio, loaded_dice, dice, score_function])
def test_every_loss_has_the_policy_gradient(loss):
    torch.testing.assert_close(derivatives(loss)[0], grad(expected_return)(THETA))


@pytest.mark.parametrize("loss", [loaded_dice, dice])
def test_dice_has_the_exact_hessian(loss):
    exact = hessian_of(expected_return)
    torch.testing.assert_close(derivatives(loss)[1], exact)


def test_the_others_hessians_are_biased():
    """The likelihood ratio leaves out what earlier actions do to later ones; see its sources."""
    exact = hessian_of(expected_return)
    ratio = (derivatives(likelihood_ratio)[1] - exact).norm() / exact.norm()
    score = (derivatives(score_function)[1] - exact).norm() / exact.norm()
    assert ratio > 0.05
    assert score > 0.05


def test_the_likelihood_ratios_hessian_is_exact_for_one_step():
    """With one action there is nothing earlier."""
    first = Batch(*(field[:, :1] for field in batch()))
    first = first._replace(advantages=REWARDS[:, :1])

    def surrogate(theta: Tensor) -> Tensor:
        coin = policy({"theta": theta}, STATES[:, :1])
        return -likelihood_ratio(coin, first)  # type: ignore[arg-type]

    def exact(theta: Tensor) -> Tensor:
        return torch.sigmoid(theta[0])  # heads at first are worth 1

    torch.testing.assert_close(hessian_of(surrogate), hessian_of(exact))


def test_the_clipped_loss_by_hand():
    """A gain stops at the clip, a loss does not: PPO's figure 1."""
    ratios = torch.tensor([[1.5, 1.1, 0.5, 1.5, 0.5]]).log()
    advantages = torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0]])
    gains = torch.tensor([[1.2, 1.1, 0.5, -1.5, -0.8]])

    class Fixed:
        def log_prob(self, actions: Tensor) -> Tensor:
            return ratios

    zeros = torch.zeros_like(ratios)
    data = Batch(zeros, zeros, zeros, advantages, zeros, torch.full_like(zeros, 0.2), zeros + 1)
    actual = clipped(Fixed(), data, 0.2)  # type: ignore[arg-type]
    torch.testing.assert_close(actual, -gains.mean())


class Bandit:
    """Two arms, of which the second is pulled with probability sigmoid(theta)."""

    def __init__(self, theta: Tensor) -> None:
        self.theta = theta

    def log_prob(self, arm: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(torch.where(arm == 1, self.theta, -self.theta))


@pytest.mark.usefixtures("double_precision")
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
    log_probs = Bandit(theta).log_prob(arms)
    data = Batch(arms, arms, log_probs, rewards, rewards, weights, torch.ones(4))

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
