"""What was sampled of several tasks: parts of it, and what exploration earned."""

import torch

from metarl.agents.gaussian import Gaussian
from metarl.algorithms.meta_batch import MetaBatch, exploration_credit
from metarl.experience.advantages import batch_of
from metarl.experience.rollouts import Batch, Rollouts
from metarl.system.task_threads import cut

TASKS, ROLLOUTS, TIME = 3, 4, 5


def numbered(*shape: int, start: int) -> torch.Tensor:
    """A different number for every task, rollout and time."""
    return start + torch.arange(torch.Size(shape).numel(), dtype=torch.float64).view(shape)


def batch(start: int) -> Batch:
    steps = (TASKS, ROLLOUTS, TIME)
    fields = [numbered(*steps, 2, start=start), numbered(*steps, 1, start=start + 1000)]
    fields += [numbered(*steps, start=start + 2000 + 100 * field) for field in range(3)]
    weights = torch.full(steps, 1 / (ROLLOUTS * TIME), dtype=torch.float64)
    return Batch(*fields, weights=weights, unit=torch.ones(steps, dtype=torch.float64))


def old(start: int) -> Gaussian:
    mean = numbered(TASKS, ROLLOUTS, TIME, 1, start=start)
    return Gaussian(mean, numbered(TASKS, 1, 1, 1, start=start + 500))


def meta_batch() -> MetaBatch:
    return MetaBatch(
        pre=(batch(0), batch(10_000)),
        post=batch(20_000),
        old_pre=(old(30_000), old(40_000)),
        old_post=old(50_000),
        credit=numbered(TASKS, start=60_000),
    )


def test_a_subset_takes_the_same_rollouts_of_everything():
    whole = meta_batch()
    part = whole.subset(0.5)
    assert part.tasks == whole.tasks == TASKS
    for taken, of in zip((*part.pre, part.post), (*whole.pre, whole.post), strict=True):
        for name in Batch._fields[:5]:
            assert torch.equal(getattr(taken, name), getattr(of, name)[:, [0, 2]])
        torch.testing.assert_close(taken.weights.sum((1, 2)), torch.ones(TASKS).double())
    olds = zip((*part.old_pre, part.old_post), (*whole.old_pre, whole.old_post), strict=True)
    for taken, of in olds:
        assert torch.equal(taken.mean, of.mean[:, [0, 2]])
        assert torch.equal(taken.log_std, of.log_std)
    assert torch.equal(part.credit, whole.credit)
    assert whole.subset(1.0) is whole


def test_tasks_are_cut_out_of_everything():
    whole = meta_batch()
    part = cut(whole, slice(1, 3))
    assert isinstance(part, MetaBatch)
    assert isinstance(part.post, Batch)
    assert isinstance(part.old_pre[1], Gaussian)
    assert part.tasks == 2
    for taken, of in (
        (part.pre[0].observations, whole.pre[0].observations),
        (part.pre[1].rewards, whole.pre[1].rewards),
        (part.post.weights, whole.post.weights),
        (part.old_pre[1].mean, whole.old_pre[1].mean),
        (part.old_post.log_std, whole.old_post.log_std),
        (part.credit, whole.credit),
    ):
        assert torch.equal(taken, of[1:])
        assert taken.untyped_storage().data_ptr() == of.untyped_storage().data_ptr(), "a view"


def test_the_credit_of_a_task_is_measured_against_the_others():
    zeros = torch.zeros(3, 2, 1)
    rewards = torch.tensor([1.0, 2.0, 6.0]).view(3, 1, 1).expand(3, 2, 1)
    unit = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1).expand(3, 2, 1)
    credit = exploration_credit(Batch(zeros, zeros, zeros, zeros, rewards / unit, zeros, unit))
    torch.testing.assert_close(credit, torch.tensor([2 * -3.0, 2 * -1.5 / 2, 2 * 4.5 / 3]))


def test_tasks_that_earned_the_same_have_no_credit():
    """Whatever their advantages were divided by."""
    generator = torch.Generator().manual_seed(0)
    shape = (3, 4, 10)
    steps = dict.fromkeys(Rollouts._fields, torch.zeros(3, 4))
    steps |= {"observations": torch.randn(*shape, 2, generator=generator)}
    steps |= {"valid": torch.ones(shape, dtype=torch.bool), "log_probs": torch.zeros(shape)}
    batch = batch_of(
        Rollouts(**steps),
        -torch.ones(shape).double(),
        torch.randn(shape, generator=generator).double(),
        0.99,
        normalise=True,
    )
    torch.testing.assert_close(exploration_credit(batch), torch.zeros(3), atol=1e-4, rtol=0.0)


def test_a_single_task_is_credited_with_its_own_return():
    zeros = torch.zeros(1, 2, 3)
    credit = exploration_credit(Batch(zeros, zeros, zeros, zeros, zeros + 5.0, zeros, zeros + 1))
    torch.testing.assert_close(credit, torch.tensor([2 * 15.0]))
