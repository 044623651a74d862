"""One iteration of training: roll out and adapt, then improve the common parameters.

Both halves are functions of the state, so that a checkpoint of it is all that resuming needs.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from numpy.typing import NDArray

from metarl.agents.gaussian import Gaussian
from metarl.agents.normaliser import Normaliser
from metarl.agents.policy import CONTEXT, GaussianPolicy
from metarl.algorithms.meta_batch import MetaBatch, exploration_credit
from metarl.algorithms.objective import Objective
from metarl.algorithms.objective_in_chunks import ObjectiveInChunks
from metarl.algorithms.outer_steps import Update, adam_on_minibatches
from metarl.algorithms.trace import Trace
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Batch
from metarl.learner.critic import Critic, judge
from metarl.learner.inner_loop import Stage, inner_loop
from metarl.learner.recipe import Recipe
from metarl.learner.state import State
from metarl.learner.task_encoder import train_encoder
from metarl.sampling.sampler import Sampling
from metarl.sampling.streams import Key, Phase, Purpose, torch_stream
from metarl.sampling.trial import ONE_EPISODE, Trial
from metarl.sampling.workers import sampler_in_processes
from metarl.system.task_threads import TaskThreads


class Progress(NamedTuple):
    """The results of an iteration, for the log and for callbacks."""

    returns: list[float]
    """Mean return before adaptation and after each inner step. Where the policy has a memory and
    takes no inner steps, of the episodes of trials in which it is not told its task: nothing seen
    before, one episode seen, ...; where it is told in all, of all."""
    episode_length: float
    """Mean length of the last stage's episodes [control step]."""
    trace: Trace
    """Of the outer step."""
    encoder_loss: float | None
    """Of the encoder on the iteration's tasks, before it was trained on them; None without one."""
    explained_variance: float | None
    """Of the returns by the critic's values, before it was trained on them; None without one."""
    failures: int
    """Episodes whose physics blew up, or whose environment returned numbers that are not finite."""
    failing: tuple[str, ...]
    """The tasks whose episodes all ended so, in words."""
    environment: str | None
    """Name of the family when its environment is a third-party one; None for metarl's own."""


def training_sampler(state: State, recipe: Recipe, family: Family) -> Sampling:
    """Return what samples the meta-batches, in this process or in several.

    Args:
        state: any of the run's; its parameters have the shapes of all to come.
        recipe: of the learner.
        family: the tasks' family.
    """
    config = recipe.config
    shapes = {name: tuple(value.shape) for name, value in state.parameters.items()}
    return sampler_in_processes(
        family,
        config.tasks,
        config.rollouts,
        shapes | {CONTEXT: (state.policy.context_size,)},
        trial=recipe.trial(family),
        memory=state.memory,
        workers=config.workers,
        threads=config.threads,
    )


def roll_out(state: State, recipe: Recipe, family: Family, sampler: Sampling) -> list[Stage]:
    """Draw the iteration's tasks and adapt to them; return the stages, the last one adapted.

    The memory has no bounds here: they are for tasks unlike those of training, and in training they
    would cut off nothing but noise. (HalfCheetahReversed had 300 with them, the mean of three runs,
    and 315 without, of four: within what seeds differ by.)

    Args:
        state: before the iteration.
        recipe: of the learner.
        family: the tasks' family.
        sampler: of `config.tasks` tasks.
    """
    config = recipe.config
    sampler.set_tasks(tasks_of(state, recipe, family))
    key = Key(config.seed, Phase.TRAIN, state.iteration)
    free = state.unbounded()
    inner, episodes = recipe.inner_of_training, recipe.trial(family).episodes
    return list(inner_loop(sampler, free, recipe, key, inner=inner, episodes=episodes))


def tasks_of(state: State, recipe: Recipe, family: Family) -> Tasks:
    """Return the tasks of the iteration that begins in this state."""
    config = recipe.config
    return family.sample_tasks(config.tasks, seed=(config.seed, state.iteration))


def update(
    state: State, recipe: Recipe, family: Family, stages: Sequence[Stage]
) -> tuple[State, Progress]:
    """Take the outer step on what was sampled; return the state after the iteration.

    The moments of observations change last: policy and rollouts belong together until then.

    Args:
        state: before the iteration.
        recipe: of the learner.
        family: the tasks' family.
        stages: what `roll_out` returned.
    """
    tasks = tasks_of(state, recipe, family)
    key = Key(recipe.config.seed, Phase.TRAIN, state.iteration)
    shuffles = torch_stream(key, Purpose.MINIBATCHES)
    policy = state.policy
    post, critic, explained = _judged(
        state, recipe, family.coordinates(tasks), stages[-1], shuffles
    )
    with recipe.threads() as threads:
        parameters, optimiser, trace = _outer_step(state, recipe, stages, post, threads, shuffles)
        # on the floor, not below it, from where no gradient leads back
        log_std = parameters["log_std"].clamp_min(math.log(policy.min_std))
        parameters = {**parameters, "log_std": log_std}
        if policy.normaliser:
            chunks = threads.chunks(len(post.weights), post.weights[0].numel())
            policy = replace(policy, normaliser=_with_seen(policy.normaliser, stages, chunks))
    encoder, encoder_loss = state.encoder, None
    if encoder:
        encoder, encoder_loss = train_encoder(
            encoder,
            [stage.rollouts for stage in stages],
            tasks,
            family,
            recipe.config,
            state.iteration,
            recipe.device,
        )
    progress = Progress(
        returns=_mean_returns(stages, recipe.trial(family) if state.encoder else ONE_EPISODE),
        episode_length=float(stages[-1].rollouts.lengths.double().mean()),
        trace=trace,
        encoder_loss=encoder_loss,
        explained_variance=explained,
        failures=sum(int(stage.rollouts.failed.sum()) for stage in stages),
        failing=tuple(tasks.label(task) for task in _failing(stages)),
        environment=None if family.native else family.name,
    )
    steps = sum(stage.rollouts.steps for stage in stages)
    after = State(
        policy=policy,
        parameters=parameters,
        optimiser=optimiser,
        encoder=encoder,
        critic=critic,
        iteration=state.iteration + 1,
        num_timesteps=state.num_timesteps + steps,
    )
    return after, progress


def _judged(
    state: State, recipe: Recipe, places: NDArray, last: Stage, shuffles: torch.Generator
) -> tuple[Batch, Critic | None, float | None]:
    """Return the last stage's batch, with advantages over the critic's values or a baseline's.

    Args:
        state: before the iteration.
        recipe: of the learner.
        places: coordinates of the tasks, [task, coordinate].
        last: the last stage.
        shuffles: deals out the critic's minibatches.

    Returns:
        The batch; the critic after training on it, and the part of the returns' variance that it
        explained before, both None without one.
    """
    if state.critic is None:
        return last.batch, None, None
    coordinates = torch.from_numpy(places)
    with recipe.threads():
        return judge(
            state.critic,
            last.on_device,
            coordinates,
            state.policy.normaliser,
            recipe.config,
            shuffles,
        )


def _outer_step(
    state: State,
    recipe: Recipe,
    stages: Sequence[Stage],
    post: Batch,
    threads: TaskThreads,
    shuffles: torch.Generator,
) -> Update:
    """Return what the outer step makes of the common parameters.

    Args:
        state: before the iteration.
        recipe: of the learner.
        stages: what was sampled.
        post: the last stage's batch, with the advantages that count.
        threads: to compute on.
        shuffles: deals out minibatches.
    """
    *old_pre, old_post = (_sampled_from(state.policy, stage) for stage in stages)
    sampled = MetaBatch(
        pre=tuple(stage.batch for stage in stages[:-1]),
        post=post,
        old_pre=tuple(old_pre),
        old_post=old_post,
        credit=exploration_credit(post),
    )
    config = recipe.config
    objective = Objective(state.policy, recipe.inner(config.inner_lr), recipe.terms, sampled)
    chunked = ObjectiveInChunks.of(objective, state.parameters, threads, config.fisher_fraction)
    before = state.parameters, state.optimiser
    if config.minibatch:
        return adam_on_minibatches(objective, chunked, *before, recipe.minibatches, shuffles)
    return recipe.outer_step(chunked, *before)


def _mean_returns(stages: Sequence[Stage], trial: Trial) -> list[float]:
    """Return what `Progress.returns` says, of trials in which the policy is not told its task.

    The later episodes of the few trials in which the task changes (`config.changes`) count like all
    others, although what was seen before them was another task.
    """
    if len(stages) > 1:
        return [float(stage.rollouts.returns.mean()) for stage in stages]
    returns = stages[0].rollouts.returns  # [task, episode * simulation]
    of_episode = returns.unflatten(1, (trial.episodes, -1))  # [task, episode, simulation]
    simulations = of_episode.shape[2]
    untold = simulations - trial.telling(simulations)
    return of_episode[:, :, : untold or simulations].mean((0, 2)).tolist()


def _failing(stages: Sequence[Stage]) -> list[int]:
    """Return the numbers of the tasks whose physics blew up in every episode of every stage."""
    always = torch.cat([stage.rollouts.failed for stage in stages], dim=1).all(1)
    return always.nonzero().flatten().tolist()


def _sampled_from(policy: GaussianPolicy, stage: Stage) -> Gaussian:
    """Return the distributions that a stage was sampled from, [task, rollout, time, action]."""
    log_std = policy.std(stage.parameters).log()
    return Gaussian(stage.rollouts.means.to(log_std.device), log_std[:, None, None])


def _with_seen(
    normaliser: Normaliser, stages: Sequence[Stage], chunks: Sequence[slice]
) -> Normaliser:
    """Return the moments of observations with these stages', chunk by chunk to save memory."""
    for stage in stages:
        for chunk in chunks:
            valid = stage.on_device.valid[chunk]
            normaliser = normaliser.updated(stage.on_device.observations[chunk][valid])
    return normaliser
