"""Rollouts as transitions, and windows of them, against loops over numbers that name places."""

import numpy as np
import pytest
import torch

from metarl.agents.siamese import SiameseEncoder
from metarl.experience.rollouts import Rollouts
from metarl.experience.transitions import Pairs, task_differences, transitions

TASKS, ROLLOUTS, TIME, STATE = 5, 3, 6, 2
LENGTHS = torch.randint(1, TIME + 1, (TASKS, ROLLOUTS), generator=torch.manual_seed(0))


def places() -> torch.Tensor:
    """A number for each task, rollout and time: 100 task + 10 rollout + time."""
    task, rollout, time = torch.meshgrid(
        torch.arange(TASKS), torch.arange(ROLLOUTS), torch.arange(TIME), indexing="ij"
    )
    return (100 * task + 10 * rollout + time).float()


def numbered() -> Rollouts:
    place = places()
    final = 1000.0 + place[..., 0]
    values = {
        "observations": torch.stack([place, -place, place + 0.5], dim=-1),  # 2 and a context
        "actions": place.unsqueeze(-1) + 0.25,
        "rewards": place + 0.75,
        "final_observations": torch.stack([final, -final, final + 0.5], dim=-1),
        "valid": torch.arange(TIME) < LENGTHS.unsqueeze(-1),
    }
    rest = [name for name in Rollouts._fields if name not in values]
    return Rollouts(**values, **dict.fromkeys(rest, torch.zeros(TASKS, ROLLOUTS, TIME)))


def encoder(**options) -> SiameseEncoder:
    return SiameseEncoder(STATE, 1, 4, 8, generator=torch.Generator().manual_seed(0), **options)


def test_each_step_is_state_action_reward_next_state_change_of_reward():
    result = transitions(numbered(), encoder())
    assert result.shape == (TASKS, ROLLOUTS, TIME, STATE + 1 + 1 + STATE + 1)
    for task in range(TASKS):
        for rollout in range(ROLLOUTS):
            first, length = 100.0 * task + 10.0 * rollout, int(LENGTHS[task, rollout])
            for time in range(length):
                now = first + time
                after = 1000.0 + first if time == length - 1 else now + 1.0
                change = 1.0 if time else 0.0
                expected = [now, -now, now + 0.25, now + 0.75, after, -after, change]
                assert result[task, rollout, time].tolist() == expected


def test_rewards_are_those_of_actions_that_cost_nothing():
    """A step of action a, cut off at 3, is charged 0.5 (a - 1)^2."""
    costs = torch.tensor([[0.5], [1.0]])
    of_costs = encoder(action_limit=3.0, cost_of_actions=costs)
    free, plain = (transitions(numbered(), each) for each in (of_costs, encoder()))
    assert free[..., : STATE + 1].equal(plain[..., : STATE + 1])
    for task in range(TASKS):
        for rollout in range(ROLLOUTS):
            before = None
            for time in range(int(LENGTHS[task, rollout])):
                action, reward = (float(plain[task, rollout, time, STATE + n]) for n in (0, 1))
                gross = reward + 0.5 * (min(action, 3.0) - 1.0) ** 2
                change = 0.0 if before is None else gross - before
                assert float(free[task, rollout, time, STATE + 1]) == pytest.approx(gross)
                assert float(free[task, rollout, time, -1]) == pytest.approx(change, abs=1e-4)
                before = gross


def test_pairs_are_windows_of_two_rollouts_of_each_task():
    valid = torch.arange(TIME) < LENGTHS.unsqueeze(-1)
    apart = torch.rand(TASKS, TASKS, generator=torch.manual_seed(1))
    pairs = Pairs(places().unsqueeze(-1), valid, apart)
    rollouts_seen, begins = set(), set()
    for seed in range(40):
        drawn, took_place, differences = pairs.draw(4, 3, torch.manual_seed(seed))
        assert drawn.shape == (2, 4, 3, 1)
        steps = drawn.squeeze(-1)
        tasks = (steps[0, :, 0] // 100).long()
        assert len(set(tasks.tolist())) == 4, "no task is drawn twice"
        assert torch.equal(tasks, (steps[1, :, 0] // 100).long()), "a pair is of one task"
        which = (steps[..., 0] % 100 // 10).long()
        assert (which[0] != which[1]).all(), "of two different rollouts"
        assert (steps.diff(dim=-1) == 1.0).all(), "of steps in a row"
        begin = (steps[..., 0] % 10).long()
        lengths = LENGTHS[tasks, which]
        assert (begin <= (lengths - 3).clamp_min(0)).all(), "within the episode, if it is so long"
        inside = begin.unsqueeze(-1) + torch.arange(3) < lengths.unsqueeze(-1)
        assert torch.equal(took_place, inside)
        assert torch.equal(differences, apart[tasks][:, tasks])
        rollouts_seen |= set(which.flatten().tolist())
        begins |= set(begin.flatten().tolist())
    assert rollouts_seen == {0, 1, 2}
    assert begins == {0, 1, 2, 3}


def test_windows_are_no_longer_than_the_horizon():
    pairs = Pairs(places().unsqueeze(-1), torch.ones(TASKS, ROLLOUTS, TIME, dtype=torch.bool),
                  torch.zeros(TASKS, TASKS))  # fmt: skip
    drawn, *_ = pairs.draw(TASKS, 50, torch.manual_seed(0))
    assert drawn.shape == (2, TASKS, TIME, 1)


def test_differences_are_distances_relative_to_their_mean():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    distances = np.array([[0.0, 5.0, 1.0], [5.0, 0.0, np.sqrt(18.0)], [1.0, np.sqrt(18.0), 0.0]])
    expected = distances / ((5.0 + 1.0 + np.sqrt(18.0)) / 3.0)
    np.testing.assert_allclose(task_differences(points), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="a single task"):
        task_differences(np.ones((4, 2)))
