"""`MAML`: a meta-learner with the manners of a Stable-Baselines3 algorithm."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import configure_logger

from metarl import envs
from metarl.agents.actor import Actor, AdaptedPolicy
from metarl.agents.gaussian import Gaussian
from metarl.agents.normaliser import Normaliser
from metarl.agents.policy import CONTEXT, GaussianPolicy, Parameters
from metarl.algorithms.adapt import RATE, Inner, adapt_further
from metarl.algorithms.losses import INNER_LOSSES
from metarl.algorithms.objective import Objective, Terms, exploration_credit
from metarl.algorithms.objective_in_chunks import Objectives
from metarl.algorithms.outer_steps import Update, adam, interpolate, trust_region
from metarl.algorithms.table import ALGORITHMS
from metarl.algorithms.trace import Trace
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.advantages import prepare
from metarl.experience.log import Experience
from metarl.experience.rollouts import Batch, Rollouts
from metarl.learner import state as saved
from metarl.learner.config import Config
from metarl.learner.defaults import defaults
from metarl.learner.inner_loop import Stage, inner_loop
from metarl.learner.record import ProgressBar, record_iteration
from metarl.sampling.sampler import Sampler, Sampling
from metarl.sampling.streams import Key, Phase, torch_generator
from metarl.sampling.workers import Workers, worth_having
from metarl.system.task_threads import TaskThreads

if TYPE_CHECKING:
    from metarl.skills.library import SkillLibrary

Callback = BaseCallback | list[BaseCallback] | Callable[[dict, dict], bool] | None


class MAML:
    """Learns policy parameters from which a few gradient steps lead to any task's own.

    Model-agnostic meta-learning for reinforcement learning (Finn et al. 2017, algorithm 3), and
    its kin: `algorithm` chooses one of `metarl.algorithms.table.ALGORITHMS`.
    """

    def __init__(self, family: str | Family, *, verbose: int = 0, **settings: Any) -> None:  # noqa: ANN401
        """Make a learner with new parameters.

        Args:
            family: the tasks to learn; a name stands for `envs.make(name)`.
            verbose: 1 prints a table every iteration.
            settings: fields of `metarl.Config`, such as `seed=1` or `inner_lr=0.05`; the others are
                what `metarl.learner.defaults` has for the family, its preset and the algorithm.

        Raises:
            ValueError: for an unknown family or setting, or a value that is not allowed.
        """
        self.family = envs.make(family) if isinstance(family, str) else family
        algorithm = settings.get("algorithm", Config.algorithm)
        own = defaults(self.family.name, self.family.preset, algorithm)
        self.config = Config.of({**own, **settings})
        self.algorithm = ALGORITHMS[self.config.algorithm]
        self.device = _device(self.config.device)
        self.verbose = verbose
        size = self.family.observation_size
        self.policy = GaussianPolicy(
            size,
            self.family.action_size,
            self.config.hidden,
            self.config.activation,
            self.config.initial_std,
            self.config.min_std,
            self.config.context_size if self.algorithm.adapts == "context" else 0,
            Normaliser.new(size) if self.config.normalise_observations else None,
        )
        initial = self.policy.initial(torch_generator(self.config.seed))
        learns_rates = self.algorithm.learns_rates or self.config.learned_rates
        if learns_rates and self.algorithm.adapts_in_training:
            moved = {**initial, CONTEXT: torch.zeros(self.policy.context_size)}
            names = self._adapted_names() or initial
            initial |= {RATE + name: torch.ones_like(moved[name]) for name in names}
        self.parameters = {name: value.to(self.device) for name, value in initial.items()}
        self.memory: dict[str, torch.Tensor] = {}
        """What the outer step remembers."""
        self.iteration = 0
        self.num_timesteps = 0
        """Environment steps so far."""
        self._exploration = np.random.default_rng(self.config.seed)
        self._logger: Logger | None = None

    def learn(
        self,
        total_timesteps: int,
        callback: Callback = None,
        log_interval: int = 1,
        tb_log_name: str = "MAML",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> "MAML":
        """Train for at least so many environment steps more, in whole iterations.

        Args:
            total_timesteps: environment steps of all rollouts, before and after adaptation.
            callback: Stable-Baselines3 callbacks, called once an iteration. Its `locals` hold
                `returns` (mean return before adaptation and after each step) and `trace`.
            log_interval: iterations between two rows of the log.
            tb_log_name: unused unless a logger with TensorBoard output was set.
            reset_num_timesteps: start counting steps at 0.
            progress_bar: show one.
        """
        for name, value in (("total_timesteps", total_timesteps), ("log_interval", log_interval)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if reset_num_timesteps:
            self.num_timesteps = 0
        goal = self.num_timesteps + total_timesteps
        if self._logger is None:
            self._logger = configure_logger(self.verbose, None, tb_log_name, reset_num_timesteps)
        hooks = self._hooks(callback, goal if progress_bar else 0)

        began, steps_before = time.monotonic(), self.num_timesteps
        hooks.on_training_start({"self": self, "total_timesteps": goal}, {})
        try:
            with self._sampler_of_training() as sampler:
                while self.num_timesteps < goal:
                    hooks.on_rollout_start()
                    stages = self._roll_out(sampler)
                    hooks.on_rollout_end()
                    trace = self._update(stages)
                    self.iteration += 1
                    self.num_timesteps += sum(stage.rollouts.steps for stage in stages)
                    returns = [float(stage.rollouts.returns.mean()) for stage in stages]
                    elapsed = time.monotonic() - began
                    record_iteration(
                        self.logger,
                        trace,
                        returns,
                        iteration=self.iteration,
                        timesteps=self.num_timesteps,
                        episode_length=float(stages[-1].rollouts.lengths.double().mean()),
                        std=float(self.policy.std(self.parameters).mean()),
                        elapsed=elapsed,
                        fps=(self.num_timesteps - steps_before) / elapsed,
                    )
                    if self.iteration % log_interval == 0:
                        self.logger.dump(self.num_timesteps)
                    hooks.update_locals({"returns": returns, "trace": trace})
                    del stages  # or they would be kept until the next ones are there
                    if not hooks.on_step():
                        break
        finally:
            hooks.on_training_end()
        return self

    def adapt(
        self,
        task: Tasks | Mapping[str, float],
        *,
        rollouts: int = 20,
        steps: int = 1,
        seed: int = 0,
        library: "SkillLibrary | None" = None,
    ) -> AdaptedPolicy:
        """Return the policy after a few gradient steps on one task.

        Args:
            task: its parameters, such as `{"velocity": 1.2}`.
            rollouts: how many each step learns from; as many more show the return afterwards.
            steps: gradient steps.
            seed: decides start states and exploration.
            library: skills of this learner, from which the first step is taken instead when the
                task resembles known ones; a warning says when it does not.

        Raises:
            ValueError: for a task that the family does not have, counts below 1, or a library of
                another learner.
        """
        table = self.family.task(task)
        if len(table) != 1:
            raise ValueError(f"adapt takes one task, got {len(table)}")
        key = Key(seed, Phase.ADAPT)
        inner_lrs = [self.config.inner_lr] * steps
        stages = list(self.adaptation(table, rollouts, inner_lrs, key, library))
        last = {name: value[0] for name, value in stages[-1].parameters.items()}
        returns = np.stack([stage.rollouts.returns[0].double().numpy() for stage in stages])
        return AdaptedPolicy(table[0], self.actor(last, seed), returns)

    def adapt_from(
        self, *experience: Experience, seed: int = 0, library: "SkillLibrary | None" = None
    ) -> Actor:
        """Return the policy after a gradient step on each experience of one task.

        No simulator is used: the experience may come from a real robot. It gives the same policy as
        `adapt` on the same data.

        Args:
            experience: one a step. The first is taken with this learner's `predict`, each
                other one with the policy that `adapt_from` returned for those before it.
            seed: of the returned policy's exploration.
            library: skills to take the first step from; see `adapt`.

        Raises:
            ValueError: for no experience, arrays that do not fit the family or each other, or a
                library of another learner.
        """
        if library is not None:
            library.check(self)
        if not experience:
            raise ValueError("adapt_from needs the experience of at least one step")
        inner = self._inner(self.config.inner_lr)
        adapted = self.parameters
        for step, each in enumerate(experience):
            on_cpu = {name: value.cpu() for name, value in adapted.items()}
            rollouts = each.rollouts(self.policy, on_cpu, self.family.action_scale)
            batch = self._prepare(rollouts.to(self.device))
            with torch.no_grad():
                one = {name: value[None] for name, value in adapted.items()}
                stepped = adapt_further(self.policy, one, batch, inner)
                if library is not None and step == 0:
                    stepped = library.first_step(rollouts, stepped)
            adapted = {name: value[0] for name, value in stepped.items()}
        return self.actor(adapted, seed)

    def sample(
        self,
        tasks: Tasks,
        parameters: Parameters,
        rollouts: int,
        key: Key,
        *,
        deterministic: bool = False,
    ) -> Rollouts:
        """Return rollouts of the policy, on the CPU.

        Args:
            tasks: a row each.
            parameters: common to all tasks, or each with a leading task axis.
            rollouts: of each task.
            key: decides start states and exploration.
            deterministic: take the most likely action at every step.
        """
        on_cpu = {name: value.cpu() for name, value in parameters.items()}
        if on_cpu["log_std"].ndim == 1:
            on_cpu = {n: value.expand(len(tasks), *value.shape) for n, value in on_cpu.items()}
        with self.sampler(len(tasks), rollouts) as sampler:
            sampler.set_tasks(tasks)
            return sampler.sample(self.policy, on_cpu, key, deterministic=deterministic)

    def rollouts(self, experience: Experience) -> Rollouts:
        """Return experience that was taken with this learner's `predict` as rollouts of one task.

        They are what `SkillLibrary.nearest` and `Similarity.is_novel` look at.

        Raises:
            ValueError: for arrays that do not fit the family or each other.
        """
        on_cpu = {name: value.cpu() for name, value in self.parameters.items()}
        return experience.rollouts(self.policy, on_cpu, self.family.action_scale)

    def adaptation(
        self,
        tasks: Tasks,
        rollouts: int,
        inner_lrs: Sequence[float],
        key: Key,
        library: "SkillLibrary | None" = None,
    ) -> Iterator[Stage]:
        """Adapt to several tasks at once; yield the stage before the first step and after each.

        Args:
            tasks: as many as wanted.
            rollouts: how many of each task in each stage.
            inner_lrs: the size of each step.
            key: decides start states and exploration.
            library: skills to take the first step from; see `adapt`.
        """
        if library is not None:
            library.check(self)
        if rollouts < 1 or not inner_lrs:
            raise ValueError(
                f"adaptation needs at least 1 rollout and 1 step, got {rollouts} "
                f"and {len(inner_lrs)}"
            )

        def stages() -> Iterator[Stage]:
            with self.sampler(len(tasks), rollouts) as sampler:
                sampler.set_tasks(tasks)
                yield from self._stages(sampler, inner_lrs, key, library)

        return stages()

    def predict(
        self,
        observation: NDArray[np.floating],
        state: tuple[NDArray, ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], tuple[Any, ...] | None]:
        """Return actions of the policy before adaptation; see `Actor.predict`."""
        actor = self.actor(self.parameters, self._exploration)
        return actor.predict(observation, state, episode_start, deterministic)

    def save(self, path: str | Path) -> None:
        """Write everything needed to go on, to one file, whole or not at all.

        Args:
            path: `.safetensors` is added when it has no ending.

        Raises:
            OSError: when the path cannot be written.
        """
        saved.save(self, path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        family: Family | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> "MAML":
        """Return the learner that was saved.

        Args:
            path: a checkpoint.
            family: the family it was trained on, when that is not one of the catalogue's.
            settings: what to change, such as `device="cpu"` or `threads=1`.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file is damaged or foreign, or the family is not the same.
        """
        return saved.load(cls, path, family, settings)

    def sampler(self, tasks: int, rollouts: int) -> Sampler:
        """Return what samples so many rollouts of so many tasks, with no tasks yet."""
        return Sampler(self.family, tasks, rollouts, threads=self.config.threads)

    @property
    def logger(self) -> Logger:
        """Stable-Baselines3's logger; there is one after `set_logger` or `learn`."""
        if self._logger is None:
            raise RuntimeError("there is no logger yet: call set_logger or learn first")
        return self._logger

    def set_logger(self, logger: Logger) -> None:
        """Send the numbers of `learn` to another logger."""
        self._logger = logger

    def get_env(self) -> None:
        """Return None: rollouts come from the family's simulator, which is not an environment."""

    def get_vec_normalize_env(self) -> None:
        """Return None: the policy itself normalises observations, if asked to."""

    def actor(self, parameters: Parameters, seed: int | np.random.Generator = 0) -> Actor:
        """Return the policy with some parameters, such as a stage's of `adaptation`, to act with.

        Args:
            parameters: of one network.
            seed: of its exploration, or a generator.
        """
        return Actor(self.policy, parameters, self.family.action_scale, seed)

    def _sampler_of_training(self) -> Sampling:
        """Return what samples the meta-batches, here or in other processes."""
        config = self.config
        count = config.workers or worth_having(self.family, config.tasks, config.threads)
        if count == 1:
            return self.sampler(config.tasks, config.rollouts)
        return Workers(
            self.family,
            config.tasks,
            config.rollouts,
            {name: value.shape for name, value in self.parameters.items()}
            | {CONTEXT: (self.policy.context_size,)},
            count=count,
            threads=config.threads,
        )

    def _roll_out(self, sampler: Sampling) -> list[Stage]:
        """Draw this iteration's tasks and adapt to them."""
        config = self.config
        tasks = self.family.sample_tasks(config.tasks, seed=(config.seed, self.iteration))
        sampler.set_tasks(tasks)
        key = Key(config.seed, Phase.TRAIN, self.iteration)
        steps = config.inner_steps if self.algorithm.adapts_in_training else 0
        inner_lrs = [config.inner_lr] * steps
        return list(self._stages(sampler, inner_lrs, key))

    def _stages(
        self,
        sampler: Sampling,
        inner_lrs: Sequence[float],
        key: Key,
        library: "SkillLibrary | None" = None,
    ) -> Iterator[Stage]:
        return inner_loop(
            sampler,
            self.policy,
            self.parameters,
            key,
            self._prepare,
            inner=[self._inner(lr) for lr in inner_lrs],
            threads=TaskThreads(self.config.threads, self.device),
            first_step=None if library is None else library.first_step,
        )

    def _prepare(self, rollouts: Rollouts) -> Batch:
        config = self.config
        return prepare(
            rollouts,
            config.discount,
            config.gae_lambda,
            normalise=config.normalise_advantages,
            reward_scale=config.reward_scale,
        )

    def _inner(self, lr: float) -> Inner:
        """Return what an inner step of this size is."""
        context = torch.zeros(self.policy.context_size, device=self.device)
        return Inner(
            lr,
            INNER_LOSSES[self.config.inner_loss],
            self.algorithm.first_order,
            self._adapted_names(),
            {CONTEXT: context} if self.algorithm.adapts == "context" else {},
        )

    def _adapted_names(self) -> tuple[str, ...]:
        """Return the parameters that inner steps move; none for all of them."""
        head = len(self.config.hidden)
        return {
            "all": (),
            "head": (f"weight{head}", f"bias{head}", "log_std"),
            "context": (CONTEXT,),
        }[self.algorithm.adapts]

    def _update(self, stages: list[Stage]) -> Trace:
        *pre, post = (stage.batch for stage in stages)
        config, algorithm = self.config, self.algorithm
        terms = Terms(
            clip=config.clip_ratio if algorithm.outer_step == "clipped" else None,
            inner_kl_penalty=config.inner_kl_penalty if algorithm.penalises_inner_kl else 0.0,
            exploration_weight=config.exploration_weight if algorithm.credits_exploration else 0.0,
            entropy_bonus=config.entropy_bonus,
        )
        inner = self._inner(config.inner_lr)
        with TaskThreads(config.threads, self.device) as threads:
            *old_pre, old_post = (self._sampled_from(stage) for stage in stages)
            credit = exploration_credit(post)
            objective = Objective(
                self.policy, tuple(pre), post, inner, terms, tuple(old_pre), old_post, credit
            )
            chunked = Objectives.of(objective, self.parameters, threads)
            step = self._outer_step()
            self.parameters, self.memory, trace = step(chunked, self.parameters, self.memory)
            if self.policy.normaliser:
                chunks = threads.chunks(len(post.weights), post.weights[0].numel())
                normaliser = self._seen(stages, chunks)
                self.policy = dataclasses.replace(self.policy, normaliser=normaliser)
        return trace

    def _seen(self, stages: list[Stage], chunks: list[slice]) -> Normaliser:
        """Return the moments of observations with these stages', chunk by chunk to save memory."""
        normaliser = self.policy.normaliser or Normaliser.new(self.policy.observation_size)
        for stage in stages:
            for chunk in chunks:
                valid = stage.rollouts.valid[chunk]
                normaliser = normaliser.updated(stage.rollouts.observations[chunk][valid])
        return normaliser

    def _sampled_from(self, stage: Stage) -> Gaussian:
        """Return the distributions that a stage was sampled from."""
        log_std = self.policy.std(stage.parameters).log()
        return Gaussian(stage.rollouts.means.to(self.device), log_std[:, None, None])

    def _outer_step(self) -> Callable[..., Update]:
        config = self.config
        return {
            "trust-region": partial(trust_region, settings=config.trust_region),
            "gradient": partial(adam, lr=config.outer_lr, epochs=1),
            "clipped": partial(adam, lr=config.outer_lr, epochs=config.outer_epochs),
            "interpolation": partial(interpolate, rate=config.interpolation),
        }[self.algorithm.outer_step]

    def _hooks(self, callback: Callback, goal: int) -> BaseCallback:
        if isinstance(callback, list):
            callback = CallbackList(callback)
        if not isinstance(callback, BaseCallback):
            callback = ConvertCallback(callback)
        if goal:
            callback = CallbackList([callback, ProgressBar(goal)])
        callback.init_callback(self)  # type: ignore[arg-type]
        return callback


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used: {reason}") from None
    return device
