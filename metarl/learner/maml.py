"""`MAML`: a meta-learner with the manners of a Stable-Baselines3 algorithm."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import configure_logger
from torch import Tensor

from metarl.agents.actor import Actor
from metarl.agents.adapted_policy import AdaptedPolicy
from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.envs.family import Family
from metarl.envs.plain import check_seed, whole
from metarl.envs.tasks import Tasks
from metarl.experience.log import Experience
from metarl.experience.memories import Remembered, nothing_seen
from metarl.experience.rollouts import Rollouts
from metarl.learner import state
from metarl.learner.inner_loop import Skills, Stage, check_skills, common, inner_loop, inner_loop_on
from metarl.learner.iteration import roll_out, training_sampler, update
from metarl.learner.recipe import Recipe, device_of, known_family, tuned_config
from metarl.learner.record import Callback, Clock, callbacks, record_iteration
from metarl.sampling.cluster import Cluster
from metarl.sampling.sampler import Sampler, Sampling
from metarl.sampling.streams import Key, Phase


class MAML:
    """Learns policy parameters from which a few gradient steps lead to any task's own.

    MAML for RL (Finn et al. 2017, algorithm 3) and variants: `metarl.algorithms.table.ALGORITHMS`.
    """

    def __init__(self, family: str | Family, *, verbose: int = 0, **settings: Any) -> None:  # noqa: ANN401
        """Make a learner with new parameters.

        Args:
            family: the tasks to learn; a name stands for `envs.make(name)`.
            verbose: 1 prints a table every iteration.
            settings: fields of `metarl.Config`, such as `seed=1` or `inner_lr=0.05`; the others are
                what `metarl.learner.defaults` has for the family, its preset and the algorithm.

        Raises:
            TypeError: for what is no family, such as a single environment.
            ValueError: for an unknown family or setting, or a value that is not allowed.
        """
        self.family = known_family(family)
        self.config = tuned_config(self.family, settings)
        self.verbose = verbose
        self.recipe = Recipe(self.config, device_of(self.config.device))
        self.state = self.recipe.initial_state(self.family)
        """Policy, parameters and counters, as a value: training replaces it, nothing changes it."""
        self._exploration = np.random.default_rng(self.config.seed)
        self._logger: Logger | None = None

    @property
    def device(self) -> torch.device:
        """Where parameters are and updates run."""
        return self.recipe.device

    @property
    def policy(self) -> GaussianPolicy:
        """The network, without its parameters."""
        return self.state.policy

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters before adaptation, common to all tasks."""
        return self.state.parameters

    @property
    def iteration(self) -> int:
        """Outer steps taken so far."""
        return self.state.iteration

    @property
    def num_timesteps(self) -> int:
        """Environment steps sampled in training so far."""
        return self.state.num_timesteps

    @property
    def fingerprint(self) -> str:
        """A hash of what decides how the learner acts."""
        return state.fingerprint(self.family, self.state)

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
            tb_log_name: of no effect, as of a Stable-Baselines3 algorithm without TensorBoard.
            reset_num_timesteps: start counting steps at 0.
            progress_bar: show one.
        """
        total_timesteps = whole("total_timesteps", total_timesteps)
        log_interval = whole("log_interval", log_interval)
        if reset_num_timesteps:
            self.state = dataclasses.replace(self.state, num_timesteps=0)
        goal = self.num_timesteps + total_timesteps
        if self._logger is None:
            self._logger = configure_logger(self.verbose, None, tb_log_name, reset_num_timesteps)
        hooks = callbacks(callback, self, goal if progress_bar else None)

        clock = Clock(self.num_timesteps)
        hooks.on_training_start({"self": self, "total_timesteps": goal}, {})
        try:
            with training_sampler(self.state, self.recipe, self.family) as sampler:
                while self.num_timesteps < goal:
                    hooks.on_rollout_start()
                    stages = roll_out(self.state, self.recipe, self.family, sampler)
                    hooks.on_rollout_end()
                    self.state, progress = update(self.state, self.recipe, self.family, stages)
                    del stages  # or they would be kept until the next ones are there
                    record_iteration(self.logger, self.state, progress, clock)
                    if self.iteration % log_interval == 0:
                        self.dump_logs()
                    hooks.update_locals({"returns": progress.returns, "trace": progress.trace})
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
        library: Skills | None = None,
    ) -> AdaptedPolicy:
        """Return the policy after adaptation to one task.

        Args:
            task: its parameters, such as `{"velocity": 1.2}`.
            rollouts: how many each step learns from; as many more show the return afterwards.
            steps: gradient steps; the first one of `siamese` is what it remembers, without one.
            seed: decides start states and exploration.
            library: skills of this learner, from which the first step is taken instead when the
                task resembles known ones; a warning says when it does not.

        Raises:
            ValueError: for an unknown task, counts below 1, or a library of another learner.
        """
        table = self.family.task(task)
        if len(table) != 1:
            raise ValueError(f"adapt takes one task, got {len(table)}")
        key = Key(seed, Phase.ADAPT)
        inner_lrs = self.recipe.inner_lrs(whole("steps", steps))
        stages = list(self.adaptation(table, rollouts, inner_lrs, key, library))
        last = {name: value[0] for name, value in stages[-1].parameters.items()}
        returns = np.stack([stage.rollouts.returns[0].double().numpy() for stage in stages])
        return AdaptedPolicy(table[0], self.actor(last, seed, stages[-1].memory), returns)

    def adapt_from(
        self, *experience: Experience, seed: int = 0, library: Skills | None = None
    ) -> Actor:
        """Return the policy after a gradient step on each experience of one task.

        No simulator is used: it may come from a real robot. `siamese` just remembers the first one.

        Args:
            experience: one a step. The first is taken with `actor().explore`, each other one with
                `explore` of the policy that `adapt_from` returned for those before it.
            seed: of the returned policy's exploration.
            library: skills to take the first step from; see `adapt`.

        Raises:
            ValueError: for no experience, arrays that do not fit, or a library of another learner.
        """
        check_skills(library, self)
        if not experience:
            raise ValueError("adapt_from needs the experience of at least one step")
        adapted, memory = inner_loop_on(
            experience, self.family.action_scale, self.state, self.recipe, skills=library
        )
        return self.actor(adapted, seed, memory)

    def sample(
        self,
        tasks: Tasks,
        parameters: Parameters,
        rollouts: int,
        key: Key,
        *,
        deterministic: bool = False,
        memory: Remembered | None = None,
    ) -> Rollouts:
        """Return rollouts of the policy, on the CPU.

        Args:
            tasks: a row each.
            parameters: common to all tasks, or each with a leading task axis.
            rollouts: of each task.
            key: decides start states and exploration.
            deterministic: take the most likely action at every step.
            memory: what rollouts begin with, such as a stage's; None when nothing was seen yet.
        """
        memory = memory or nothing_seen(self.state.memory, len(tasks))
        on_cpu = {name: value.cpu() for name, value in parameters.items()}
        if on_cpu["log_std"].ndim == 1:
            on_cpu = common(on_cpu, len(tasks))
        with self.sampler(len(tasks), rollouts) as sampler:
            sampler.set_tasks(tasks)
            return sampler.sample(
                self.policy, on_cpu, key, deterministic=deterministic, memory=memory
            )

    def as_rollouts(self, experience: Experience) -> Rollouts:
        """Return experience taken with `actor().explore` as `SkillLibrary.nearest` asks for it."""
        on_cpu = {name: value.cpu() for name, value in self.parameters.items()}
        memory = nothing_seen(self.state.memory, 1)
        return experience.rollouts(self.policy, on_cpu, self.family.action_scale, memory)

    def adaptation(
        self,
        tasks: Tasks,
        rollouts: int,
        inner_lrs: Sequence[float],
        key: Key,
        library: Skills | None = None,
    ) -> Iterator[Stage]:
        """Adapt to several tasks at once; yield the stage before the first step and after each.

        Args:
            tasks: as many as wanted.
            rollouts: how many of each task in each stage.
            inner_lrs: the size of each step.
            key: decides start states and exploration.
            library: skills to take the first step from; see `adapt`.
        """
        check_skills(library, self)
        rollouts = whole("rollouts", rollouts)
        whole("steps", len(inner_lrs))

        def stages() -> Iterator[Stage]:
            with self.sampler(len(tasks), rollouts) as sampler:
                sampler.set_tasks(tasks)
                inner = [self.recipe.inner(lr) for lr in inner_lrs]
                yield from inner_loop(
                    sampler, self.state, self.recipe, key, inner=inner, skills=library
                )

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
        """Write everything needed to resume to one file, as `metarl.learner.state.write` does."""
        state.write(path, self.state, self.family, self.config)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        family: str | Family | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> "MAML":
        """Return the learner that was saved.

        Args:
            path: a checkpoint; FileNotFoundError where there is none, ValueError for another file.
            family: the family it was trained on, when that is not one of the catalogue's.
            settings: what to change, such as `device="cpu"` or `threads=1`.
        """
        saved = state.read(path)
        known = family in (None, saved.family["name"])
        family = saved.catalogue_family() if known else known_family(family)
        saved.check_family(family)
        saved.check_changes(settings)
        config = saved.checked_config()  # what an older file lacks is not what was tuned since
        saved.check_shapes(Recipe(config, torch.device("cpu")).shapes(family))
        learner = cls(family, **{**dataclasses.asdict(config), **settings})
        learner.state = saved.restore(learner.state, learner.recipe.device)
        return learner

    def sampler(self, tasks: int, rollouts: int) -> Sampling:
        """Return what samples so many rollouts of so many tasks, with no tasks yet."""
        if isinstance(self.config.workers, str):
            return Cluster(self.family, tasks, rollouts, address=self.config.workers)
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

    def dump_logs(self) -> None:
        """Write out what was recorded so far, as `LogEveryNTimesteps` asks for."""
        self.logger.dump(self.num_timesteps)

    def get_env(self) -> None:
        """Return None: rollouts come from the family's simulator, which is not an environment."""

    def get_vec_normalize_env(self) -> None:
        """Return None: the policy itself normalises observations, if asked to."""

    def actor(
        self,
        parameters: Parameters | None = None,
        seed: int | np.random.Generator = 0,
        memory: Remembered | None = None,
    ) -> Actor:
        """Return the policy with some parameters, such as a stage's of `adaptation`, to act with.

        Args:
            parameters: of one task; None for those before adaptation.
            seed: of its exploration, or a generator.
            memory: of the task, such as a stage's; None for a task not met before.
        """
        if not isinstance(seed, np.random.Generator):
            check_seed(seed)
        memory = memory or nothing_seen(self.state.memory, 1)
        remembered = (memory.rules, memory.of_one_task()) if memory else None
        scale = self.family.action_scale
        return Actor(self.policy, parameters or self.parameters, scale, seed, remembered)
