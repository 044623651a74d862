"""Returns and advantages worked out by hand and by brute force."""

from functools import partial

import pytest
import torch

from metarl.agents import baseline
from metarl.experience.advantages import (
    centre,
    discounted_returns,
    generalised_advantages,
    next_values,
    prepare,
)
from metarl.experience.rollouts import Rollouts


def test_discounted_returns_by_hand():
    rewards = torch.tensor([[1.0, 2.0, 4.0]])
    assert discounted_returns(rewards, 0.5).tolist() == [[3.0, 4.0, 4.0]]


def test_a_time_limit_bootstraps_and_an_end_does_not():
    values = torch.tensor([[1.0, 2.0, 3.0]] * 3)
    final = torch.full((3,), 9.0)
    valid = torch.tensor([[True, True, True], [True, True, False], [True, True, False]])
    terminated = torch.tensor([False, True, False])
    following = next_values(values, final, valid, terminated)
    assert following[0].tolist() == [2.0, 3.0, 9.0]
    assert following[1, :2].tolist() == [2.0, 0.0]
    assert following[2, :2].tolist() == [2.0, 9.0]


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_generalised_advantages_are_the_sum_of_their_definition(lambda_: float):
    """A_t = sum_l (discount * lambda)^l d_(t+l), Schulman et al. 2016, eq. 16."""
    discount, length = 0.9, 5
    generator = torch.Generator().manual_seed(0)
    rewards, values, following = torch.rand(3, 7, generator=generator, dtype=torch.float64)
    valid = torch.arange(7) < length
    actual = generalised_advantages(rewards, values, following, valid, discount, lambda_)
    delta = rewards + discount * following - values
    for t in range(length):
        expected = sum((discount * lambda_) ** step * delta[t + step] for step in range(length - t))
        torch.testing.assert_close(actual[t], expected)
    assert (actual[length:] == 0).all()


def test_centres_each_task_over_its_valid_steps():
    advantages = (
        torch.randn(3, 4, 10, dtype=torch.float64) * torch.tensor([1.0, 5.0, 100.0])[:, None, None]
        + torch.tensor([0.0, 3.0, -50.0])[:, None, None]
    )
    valid = torch.rand(3, 4, 10) < 0.6
    centred, std = centre(advantages, valid)
    for task in range(3):
        part = centred[task][valid[task]]
        assert part.mean().item() == pytest.approx(0.0, abs=1e-9)
        assert part.std(correction=0).item() == pytest.approx(float(std[task]))
        torch.testing.assert_close(part.diff(), advantages[task][valid[task]].diff())
    assert (centred[~valid] == 0).all()


def rollouts(seed: int = 0) -> Rollouts:
    generator = torch.Generator().manual_seed(seed)
    valid = torch.ones(2, 5, 8, dtype=torch.bool)
    valid[0, 1, 3:] = False
    terminated = torch.zeros(2, 5, dtype=torch.bool)
    terminated[0, 1] = True
    return Rollouts(
        torch.randn(2, 5, 8, 3, generator=generator),
        torch.randn(2, 5, 8, 2, generator=generator),
        torch.randn(2, 5, 8, 2, generator=generator),
        torch.randn(2, 5, 8, generator=generator) * valid,
        torch.randn(2, 5, 8, generator=generator),
        valid,
        terminated,
        torch.randn(2, 5, 3, generator=generator),
        torch.zeros(2, 5, dtype=torch.bool),
        torch.zeros(2, 5, 0),
        torch.zeros(2, 5, dtype=torch.bool),
        torch.zeros(2, 5, dtype=torch.bool),
    )


def test_padding_does_not_reach_the_batch():
    data = rollouts()
    clean = prepare(data, 0.9, 1.0)
    for field in (data.observations, data.actions, data.log_probs):
        field[0, 1, 3:] = 77.0
    padded = prepare(data, 0.9, 1.0)
    torch.testing.assert_close(padded.advantages, clean.advantages)
    torch.testing.assert_close(padded.weights.sum((1, 2)), torch.ones(2))
    assert (padded.weights[0, 1, 3:] == 0).all()


def test_tasks_do_not_reach_each_other():
    data = rollouts()
    together = prepare(data, 0.9, 0.95)
    alone = prepare(Rollouts(*(field[1:] for field in data)), 0.9, 0.95)
    torch.testing.assert_close(together.advantages[1:], alone.advantages)


def test_what_a_change_of_task_costs_is_no_disadvantage():
    """A loss that fades with the steps since then leaves everything near what it is without it."""
    data = rollouts()
    data.continued[:, 3:] = data.terminated[:, 3:] = True
    estimate = partial(prepare, discount=0.9, lambda_=1.0, normalise=False, tasks_change=True)
    without = estimate(data)
    # the discounted returns fall by 30 e^(-t/20), so rewards by that less 0.9 of what follows
    lost = 30.0 * torch.exp(-torch.arange(9.0) / 20.0)
    lost[-1] = 0.0
    data.rewards[:, 3:] -= lost[:-1] - 0.9 * lost[1:]
    after = estimate(data)
    torch.testing.assert_close(after.advantages, without.advantages, atol=0.2, rtol=0)

    unmarked = data._replace(continued=torch.zeros_like(data.continued))
    blamed = estimate(unmarked)
    assert (blamed.advantages - without.advantages).abs().max() > 5.0


def test_normalised_advantages_and_rewards_have_one_unit():
    """Whatever rewards are multiplied by; without normalisation they keep their own."""
    data = rollouts()
    normal = prepare(data, 0.9, 0.95)
    scaled = prepare(data, 0.9, 0.95, reward_scale=100.0)
    torch.testing.assert_close(scaled.advantages, normal.advantages)
    torch.testing.assert_close(scaled.rewards, normal.rewards)
    stds = [normal.advantages[t][data.valid[t]].std(correction=0) for t in range(2)]
    torch.testing.assert_close(torch.stack(stds), torch.ones(2))

    raw = prepare(data, 0.9, 0.95, normalise=False, reward_scale=2.0)
    torch.testing.assert_close(raw.rewards, 2.0 * 0.9 ** torch.arange(8.0) * data.rewards)
    ratio = raw.rewards[1] / normal.rewards[1]
    torch.testing.assert_close(ratio, ratio.mean().expand(5, 8))
    assert raw.advantages[1].mean().abs() > 1e-3, "not centred"


def test_a_time_limit_goes_on_with_the_value_of_the_final_observation():
    """At the time after the last step; an end by itself has nothing more to come."""
    data = rollouts()
    given = prepare(data, 0.9, 0.8, normalise=False).advantages.double()
    data.terminated[1, 2] = True
    ended = prepare(data, 0.9, 0.8, normalise=False).advantages.double()
    inputs = baseline.features(data.observations, torch.arange(8)).flatten(1, 2)
    returns = data.rewards.double().clone()
    for time in range(6, -1, -1):
        returns[..., time] += 0.9 * returns[..., time + 1]
    weights = baseline.fit(inputs, returns.flatten(1), data.valid.flatten(1))
    value = baseline.features(data.final_observations[1, 2], torch.tensor(8)) @ weights[1]
    assert value.abs() > 0.01
    lost = 0.9 * value * 0.72 ** torch.arange(7, -1, -1).double()
    torch.testing.assert_close((given - ended)[1, 2], lost, atol=1e-5, rtol=1e-4)
