"""`Recipe`: what the words of `Config` mean as functions.

This is the only place where the name of an algorithm, of a loss or of an outer step becomes the
function that it stands for; what trains and what adapts are given the functions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from metarl import envs
from metarl.agents.normaliser import Normaliser
from metarl.agents.policy import CONTEXT, GaussianPolicy
from metarl.algorithms.adapt import RATE, Inner
from metarl.algorithms.losses import INNER_LOSSES
from metarl.algorithms.objective import Terms
from metarl.algorithms.outer_steps import Minibatches, Update, adam, interpolate, trust_region
from metarl.algorithms.table import ALGORITHMS, Algorithm
from metarl.algorithms.trust_region import TrustRegion
from metarl.envs.family import Family
from metarl.envs.plain import whole
from metarl.experience.advantages import prepare
from metarl.experience.rollouts import Batch, Rollouts
from metarl.learner.config import Config
from metarl.learner.critic import Critic
from metarl.learner.defaults import defaults
from metarl.learner.state import State, embedding_shape
from metarl.learner.task_encoder import TaskEncoder
from metarl.sampling.streams import torch_generator
from metarl.sampling.trial import Trial
from metarl.system.checkpoint import in_a_line
from metarl.system.task_threads import TaskThreads


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a learner with these settings starts, adapts and improves."""

    config: Config
    device: torch.device
    """Of parameters and updates."""

    @property
    def algorithm(self) -> Algorithm:
        """The choices that the algorithm's name stands for."""
        return ALGORITHMS[self.config.algorithm]

    def initial_state(self, family: Family) -> State:
        """Return the state of a learner that has seen nothing yet; it depends on the seed."""
        config = self.config
        encoder = TaskEncoder.new(family, config) if config.context == "siamese" else None
        policy = self._policy(family)
        if config.normalise_observations:
            policy = replace(policy, normaliser=Normaliser.new(policy.observation_size))
        parameters = policy.initial(torch_generator(config.seed))
        learns_rates = self.algorithm.learns_rates or config.learned_rates
        if learns_rates and self.algorithm.adapts_in_training:
            moving = {**parameters, CONTEXT: torch.zeros(policy.context_size)}
            names = self._adapted_names() or parameters
            parameters |= {RATE + name: torch.ones_like(moving[name]) for name in names}
        on_device = {name: value.to(self.device) for name, value in parameters.items()}
        critic = None
        if config.baseline == "network":
            seen = policy.observation_size
            critic = Critic.new(family, seen, torch_generator(config.seed))
        return State(policy, on_device, optimiser={}, encoder=encoder, critic=critic)

    def shapes(self, family: Family) -> dict[str, tuple[int, ...]]:
        """Return the shapes of those tensors of a state that settings give any size, by name."""
        shapes = self._policy(family).shapes
        if self.config.context == "siamese":
            shapes |= embedding_shape(self.config.embedding_size)
        return shapes

    def _policy(self, family: Family) -> GaussianPolicy:
        """Return the policy, which does not normalise yet; nothing is allocated."""
        config = self.config
        told = config.embedding_size if config.context == "siamese" else 0
        return GaussianPolicy(
            family.observation_size + told,
            family.action_size,
            config.hidden,
            config.activation,
            config.initial_std,
            config.min_std,
            initial_gain=config.initial_gain,
            context_size=config.context_size if self.algorithm.adapts == "context" else 0,
        )

    def inner(self, lr: float) -> Inner:
        """Return what an inner step of this size is."""
        adapts_context = self.algorithm.adapts == "context"
        size = self.config.context_size if adapts_context else 0
        fresh = {CONTEXT: torch.zeros(size, device=self.device)}
        return Inner(
            lr,
            INNER_LOSSES[self.config.inner_loss],
            first_order=self.algorithm.first_order,
            adapts=self._adapted_names(),
            fresh=fresh if adapts_context else {},
        )

    def inner_lrs(self, steps: int, *, halve: bool = False) -> list[float]:
        """Return the sizes of the steps of adaptation to a new task.

        With a context, a policy that was trained without gradient steps has seen its task after the
        first step, whose size is 0; gradient steps come after it.

        Args:
            steps: how many.
            halve: whether gradient steps after the first are half as long.

        Raises:
            ValueError: for a number of steps that is none.
        """
        steps = whole("steps", steps, 0)
        lr, later = self.config.inner_lr, self.config.inner_lr / (2.0 if halve else 1.0)
        if self.config.context != "none" and not self.algorithm.adapts_in_training:
            return ([0.0, lr] + [later] * steps)[:steps]
        return ([lr] + [later] * steps)[:steps]

    @property
    def inner_of_training(self) -> Sequence[Inner]:
        """The inner steps of an iteration of training."""
        steps = self.config.inner_steps if self.algorithm.adapts_in_training else 0
        return [self.inner(self.config.inner_lr)] * steps

    def trial(self, family: Family) -> Trial:
        """Return how simulations take their rollouts in training."""
        config = self.config
        # a gradient step is for one task, and for what a policy does that is not told it
        if config.context == "none" or self.inner_of_training:
            return Trial(config.episodes)
        may_change = config.episodes > 1 and family.native
        return Trial(config.episodes, config.changes if may_change else 0.0, config.told)

    def prepare(self, rollouts: Rollouts) -> Batch:
        """Return the batch that losses are made of, with advantages."""
        return prepare(
            rollouts,
            self.config.discount,
            self.config.gae_lambda,
            normalise=self.config.normalise_advantages,
            reward_scale=self.config.reward_scale,
            tasks_change=self.config.changes > 0.0,
        )

    @property
    def terms(self) -> Terms:
        """What the outer loss is made of."""
        config, algorithm = self.config, self.algorithm
        return Terms(
            clip=config.clip_ratio if algorithm.outer_step == "clipped" else None,
            inner_kl_penalty=config.inner_kl_penalty if algorithm.penalises_inner_kl else 0.0,
            exploration_weight=config.exploration_weight if algorithm.credits_exploration else 0.0,
            entropy_bonus=config.entropy_bonus,
        )

    @property
    def outer_step(self) -> Callable[..., Update]:
        """(objective, parameters, what the optimiser remembers) -> better parameters."""
        config = self.config
        settings = TrustRegion(
            max_kl=config.max_kl,
            cg_iterations=config.cg_iterations,
            damping=config.cg_damping,
            backtrack_ratio=config.backtrack_ratio,
            max_backtracks=config.max_backtracks,
        )
        return {
            "trust-region": partial(trust_region, settings=settings),
            "gradient": partial(adam, lr=config.outer_lr, epochs=1),
            "clipped": partial(adam, lr=config.outer_lr, epochs=config.outer_epochs),
            "interpolation": partial(interpolate, rate=config.interpolation),
        }[self.algorithm.outer_step]

    @property
    def minibatches(self) -> Minibatches:
        """What is done with an iteration's time steps, where not all are taken at once."""
        config = self.config
        return Minibatches(config.minibatch, config.outer_epochs, config.outer_lr)

    def threads(self) -> TaskThreads:
        """Return the threads that updates run on."""
        return TaskThreads(self.config.threads, self.device)

    def _adapted_names(self) -> tuple[str, ...]:
        """Return the parameters that inner steps move; none for all of them."""
        head = len(self.config.hidden)
        return {
            "all": (),
            "head": (f"weight{head}", f"bias{head}", "log_std"),
            "context": (CONTEXT,),
        }[self.algorithm.adapts]


def tuned_config(family: Family, settings: Mapping[str, Any]) -> Config:
    """Return the config of a family with these settings, the others as `defaults` has them.

    Raises:
        ValueError: for an unknown setting, or a value that is not allowed.
    """
    algorithm = settings.get("algorithm", Config.algorithm)
    return Config.of({**defaults(family.name, family.preset, algorithm), **settings})


def device_of(name: str) -> torch.device:
    """Return the device with a name; `auto` is a GPU when there is one.

    Raises:
        ValueError: when it is none, or cannot be used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type == "meta":  # which holds no numbers
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}")
    try:
        torch.empty(0, device=device, dtype=torch.float64)
    except NotImplementedError:  # torch's reason lists all that it has
        raise ValueError(
            f"device {name!r} cannot be used: this build of torch has no {device.type.upper()}"
        ) from None
    except TypeError:  # of a Mac's GPU
        raise ValueError(
            f"device {name!r} cannot be used: advantages need float64, which it lacks"
        ) from None
    except (RuntimeError, AssertionError, ImportError) as error:
        # it may hold the name, which may be from an untrusted file with control characters
        reason = in_a_line(str(error).split("\n\n")[0])
        raise ValueError(f"device {name!r} cannot be used: {reason}") from None
    return device


def known_family(family: Any) -> Family:  # noqa: ANN401, whatever a user gives
    """Return a family, by name or as it is.

    Raises:
        TypeError: for something else, with what was probably meant.
        ValueError: for an unknown name.
    """
    if isinstance(family, str):
        return envs.make(family)
    if isinstance(family, type):
        raise TypeError(f"a family is asked for, got the class {family.__name__}: make one of it")
    if hasattr(family, "sample_tasks") and hasattr(family, "simulate"):
        return family
    if hasattr(family, "reset") and hasattr(family, "step"):
        raise TypeError(
            f"a family of tasks is asked for, got one environment ({type(family).__name__}): give "
            f"the name of a family (metarl families), or make one of your environment with "
            f"metarl.envs.ForeignFamily(name, make_env, set_task, distributions, horizon)"
        )
    if callable(family):
        raise TypeError("a family is asked for, got a function: call it, if it returns one")
    raise TypeError(
        f"a family is asked for: a name such as 'HalfCheetahVel', a TaskFamily or a ForeignFamily; "
        f"got {family!r}"
    )
