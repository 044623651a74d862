"""The inner loop: roll out, take a gradient step, roll out again, for all tasks at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.algorithms.adapt import Inner, adapt_further
from metarl.experience.log import Experience
from metarl.experience.memories import Remembered, nothing_seen
from metarl.experience.rollouts import Batch, Rollouts
from metarl.learner.recipe import Recipe
from metarl.learner.state import State
from metarl.sampling.sampler import Sampling
from metarl.sampling.streams import Key


@dataclass(frozen=True, eq=False)
class Stage:
    """Where the tasks are after some inner steps."""

    recipe: Recipe
    """Of the learner."""
    parameters: dict[str, Tensor]
    """Every task's own, [task, ...] each, that the rollouts were sampled with."""
    rollouts: Rollouts
    """Of every task, on the CPU."""
    memory: Remembered | None = None
    """What the rollouts began with; None for a policy without memory."""

    @cached_property
    def on_device(self) -> Rollouts:
        """The rollouts on the device of the parameters."""
        return self.rollouts.to(self.recipe.device)

    @cached_property
    def batch(self) -> Batch:
        """The rollouts with their advantages, on the device of the parameters.

        Computed when it is asked for: no step follows the last stage of an evaluation.
        """
        rollouts, rows = self.on_device, self.rollouts.rewards[0].numel()
        with self.recipe.threads() as threads:
            batch = threads.apply(self.recipe.prepare, rollouts, rows=rows)
        # what `prepare` only hands through needs no second copy
        return batch._replace(
            observations=rollouts.observations,
            actions=rollouts.actions,
            log_probs=rollouts.log_probs,
        )


class Fingerprinted(Protocol):
    """A learner, as far as skills have to know it."""

    @property
    def fingerprint(self) -> str:
        """A hash of what decides how it acts; see `metarl.learner.state.fingerprint`."""
        ...


class Skills(Protocol):
    """What may take the place of the first inner step: skills of known tasks that resemble these.

    `metarl.SkillLibrary` is one.
    """

    def check(self, learner: Fingerprinted) -> None:
        """Check that the skills started from this learner's policy.

        Raises:
            ValueError: when they started from another one.
        """
        ...

    def first_step(self, rollouts: Rollouts, stepped: Parameters) -> dict[str, Tensor]:
        """Return every task's parameters after the first step, [task, ...] each.

        Args:
            rollouts: of the policy before adaptation.
            stepped: what the ordinary inner step gives, for tasks unlike all known ones.
        """
        ...


def require_skills(skills: Any) -> None:  # noqa: ANN401, whatever a user gives
    """Check that something is skills.

    Raises:
        TypeError: when it is not, with what was probably meant.
    """
    if not hasattr(skills, "first_step"):
        raise TypeError(
            f"a skill library is asked for, such as metarl.SkillLibrary.load(path) returns, "
            f"got {skills!r}"
        )


def check_skills(skills: Skills | None, learner: Fingerprinted) -> None:
    """Check that skills, where there are any, started from a learner's policy.

    Raises:
        TypeError: for something else.
        ValueError: when they started from another one.
    """
    if skills is not None:
        require_skills(skills)
        skills.check(learner)


def common(parameters: Parameters, tasks: int) -> dict[str, Tensor]:
    """Return common parameters as every task's own, [task, ...] each, without a copy."""
    return {name: value.detach().expand(tasks, *value.shape) for name, value in parameters.items()}


def inner_step(
    policy: GaussianPolicy, stage: Stage, recipe: Recipe, inner: Inner
) -> dict[str, Tensor]:
    """Return every task's parameters after a gradient step on its rollouts, [task, ...] each.

    Args:
        policy: the policy.
        stage: before the step.
        recipe: of the learner.
        inner: what the step is; with a size of 0 parameters stay as they are.
    """
    if inner.lr == 0.0:
        return stage.parameters

    def step(parameters: Parameters, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():  # holds for the thread that it is asked for in
            return adapt_further(policy, parameters, batch, inner)

    rows = stage.rollouts.rewards[0].numel()
    with recipe.threads() as threads:
        return threads.apply(step, stage.parameters, stage.batch, rows=rows)


def inner_loop(
    sampler: Sampling,
    state: State,
    recipe: Recipe,
    key: Key,
    *,
    inner: Sequence[Inner],
    skills: Skills | None = None,
    episodes: int = 1,
) -> Iterator[Stage]:
    """Adapt to the sampler's tasks; yield the stage before the first step and after each.

    A policy with a memory begins each stage with what all rollouts before it saw of the task. No
    threads are held while the caller has its turn.

    Args:
        sampler: of rollouts, with tasks set.
        state: policy and common parameters to start from.
        recipe: of the learner.
        key: of the first stage; its `step` counts up.
        inner: what each step is; as many are taken.
        skills: take the place of the first step for tasks that resemble known ones.
        episodes: how many each of the sampler's simulations takes in a row.
    """
    adapted = common(state.parameters, sampler.tasks)
    memory = nothing_seen(state.memory, sampler.tasks)
    for step in range(len(inner) + 1):
        on_cpu = {name: value.cpu() for name, value in adapted.items()}
        rollouts = sampler.sample(state.policy, on_cpu, key._replace(step=step), memory=memory)
        stage = Stage(recipe, dict(adapted), rollouts, memory)
        yield stage
        if step < len(inner):
            adapted = _stepped(state.policy, stage, recipe, inner[step], step, skills)
            memory = memory.pooled(rollouts, episodes) if memory else None


def _stepped(
    policy: GaussianPolicy,
    stage: Stage,
    recipe: Recipe,
    inner: Inner,
    step: int,
    skills: Skills | None,
) -> dict[str, Tensor]:
    """Return every task's parameters after inner step `step`, from 0, [task, ...] each."""
    adapted = inner_step(policy, stage, recipe, inner)
    if skills and step == 0:
        adapted = skills.first_step(stage.rollouts, adapted)
    _check_finite(adapted, step + 1)
    return adapted


def _check_finite(adapted: Parameters, steps: int) -> None:
    """Check parameters, [task, ...] each, after some inner steps.

    Raises:
        ValueError: with the first parameter that has a number which is not finite, and its task.
    """
    finite = {name: value.isfinite().flatten(1).all(1) for name, value in adapted.items()}
    if torch.stack(list(finite.values())).all():  # on a GPU this is waited for once
        return
    name = next(name for name, of_tasks in finite.items() if not of_tasks.all())
    task = int((~finite[name]).nonzero()[0])
    raise ValueError(
        f"parameter {name} of task {task} is not finite after inner step {steps}; "
        "a smaller inner_lr may help"
    )


def inner_loop_on(
    experience: Sequence[Experience],
    action_scale: float,
    state: State,
    recipe: Recipe,
    *,
    skills: Skills | None = None,
) -> tuple[dict[str, Tensor], Remembered | None]:
    """Return one task's parameters after a step on each experience, and what is remembered of it.

    No simulator is used.

    Args:
        experience: one a step, each taken with the policy that the steps before it led to.
        action_scale: of the family.
        state: policy and common parameters to start from.
        recipe: of the learner.
        skills: take the place of the first step if the task resembles known ones.
    """
    adapted = common(state.parameters, 1)
    memory = nothing_seen(state.memory, 1)
    inner_lrs = recipe.inner_lrs(len(experience))
    for step, taken in enumerate(experience):
        on_cpu = {name: value[0].cpu() for name, value in adapted.items()}
        rollouts = taken.rollouts(state.policy, on_cpu, action_scale, memory)
        stage = Stage(recipe, dict(adapted), rollouts, memory)
        inner = recipe.inner(inner_lrs[step])
        adapted = _stepped(state.policy, stage, recipe, inner, step, skills)
        memory = memory.pooled(rollouts) if memory else None
    return {name: value[0] for name, value in adapted.items()}, memory
