"""The inner loop: roll out, take a gradient step, roll out again, for all tasks at once."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.algorithms.adapt import Inner, adapt_further
from metarl.algorithms.losses import Policy
from metarl.experience.rollouts import Batch, Rollouts
from metarl.sampling.sampler import Sampling
from metarl.sampling.streams import Key
from metarl.system.task_threads import TaskThreads


class Stage(NamedTuple):
    """Where the tasks are after some inner steps."""

    parameters: dict[str, Tensor]
    """Every task's own, [task, ...] each."""
    rollouts: Rollouts
    """Sampled with them; on the CPU."""
    batch: Batch
    """The rollouts with their advantages, on the device of the parameters."""


def inner_loop(
    sampler: Sampling,
    policy: GaussianPolicy,
    parameters: Parameters,
    key: Key,
    prepare: Callable[[Rollouts], Batch],
    *,
    inner: Sequence[Inner],
    threads: TaskThreads,
    first_step: Callable[[Rollouts, Parameters], dict[str, Tensor]] | None = None,
) -> Iterator[Stage]:
    """Adapt to the sampler's tasks; yield the stage before the first step and after each.

    Args:
        sampler: of rollouts, with tasks set.
        policy: the policy.
        parameters: where to start, common to all tasks.
        key: of the first stage; its `step` counts up.
        prepare: makes a batch of rollouts, on the device of the parameters.
        inner: what each step is; as many are taken.
        threads: work on chunks of tasks.
        first_step: what the first step becomes, given its rollouts and the parameters it led to.
    """
    adapted = {
        name: value.detach().expand(sampler.tasks, *value.shape)
        for name, value in parameters.items()
    }
    device = next(iter(adapted.values())).device
    for step in range(len(inner) + 1):
        on_cpu = {name: value.cpu() for name, value in adapted.items()}
        experience = sampler.sample(policy, on_cpu, key._replace(step=step))
        rows = experience.rewards[0].numel()
        there = experience.to(device)
        with threads:  # not across a yield: who iterates has its own use for threads
            batch = threads.apply(prepare, there, rows=rows)
        # what was only handed through needs no second copy
        batch = batch._replace(
            observations=there.observations, actions=there.actions, log_probs=there.log_probs
        )
        yield Stage(adapted, experience, batch)
        if step < len(inner):
            with threads:
                adapted = threads.apply(
                    partial(_step, policy, inner[step]), adapted, batch, rows=rows
                )
            if first_step and step == 0:
                adapted = first_step(experience, adapted)


def _step(policy: Policy, inner: Inner, parameters: Parameters, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():  # holds for the thread that it is asked for in
        return adapt_further(policy, parameters, batch, inner)
