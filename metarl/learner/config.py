"""`Config`: every setting of a run besides its task family; `Saving`: when it is saved."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args

from metarl.algorithms.table import ALGORITHMS
from metarl.envs.nearest import nearest
from metarl.envs.plain import check_seed, make_plain

AlgorithmName = Literal[
    "maml-trpo",
    "maml-vpg",
    "maml-ppo",
    "promp",
    "e-maml",
    "fomaml",
    "reptile",
    "meta-sgd",
    "anil",
    "cavia",
    "pretrain",
    "siamese",
]
Activation = Literal["tanh", "relu"]
Context = Literal["none", "siamese"]
Baseline = Literal["linear", "network"]
InnerLoss = Literal["likelihood-ratio", "loaded-dice", "dice", "score-function"]

_CHOICES = {
    "algorithm": AlgorithmName,
    "inner_loss": InnerLoss,
    "activation": Activation,
    "context": Context,
    "baseline": Baseline,
}
_COUNTS = (
    "tasks",
    "rollouts",
    "inner_steps",
    "context_size",
    "cg_iterations",
    "max_backtracks",
    "outer_epochs",
    "episodes",
    "embedding_size",
    "encoder_steps",
)
_POSITIVE = (
    "inner_lr",
    "reward_scale",
    "initial_std",
    "initial_gain",
    "min_std",
    "max_kl",
    "outer_lr",
    "clip_ratio",
    "interpolation",
    "encoder_lr",
)

CLUSTER = re.compile(r"ray(:auto|:[^:\s]+:\d+)?")
"""What a Ray cluster is named by."""


def check_cluster(name: str) -> str:
    """Return the name of a Ray cluster, when it is one.

    Raises:
        ValueError: for another one, with what is allowed.
    """
    if not CLUSTER.fullmatch(name):
        raise ValueError(f"cluster must be ray, ray:auto or ray:HOST:PORT, got {name!r}")
    return name


MACHINE = ("device", "threads", "workers")
"""Settings that do not change the results."""
_MOST_THREADS = 4096


@dataclass(frozen=True)
class Config:
    """Settings of a meta-learner.

    The values here hold unless `metarl.learner.defaults` has others for a family, preset or
    algorithm.
    """

    algorithm: AlgorithmName = "maml-trpo"
    """How common parameters are improved; see docs/algorithms.md."""
    tasks: int = 20
    """Tasks per iteration (the meta-batch)."""
    rollouts: int = 20
    """Rollouts of each task, before adaptation and again after each inner step."""
    inner_lr: float = 0.1
    """Step size of the adaptation."""
    inner_loss: InnerLoss = "likelihood-ratio"
    """What an inner step lowers, which decides its second derivatives."""
    inner_steps: int = 1
    """Gradient steps of the adaptation while training."""
    learned_rates: bool = False
    """Learn a step size for every parameter, as meta-sgd does, with any algorithm whose outer step
    differentiates inner steps: not reptile, pretrain and siamese."""
    discount: float = 0.99
    """Discount of future rewards, in [0, 1]."""
    gae_lambda: float = 0.97
    """Lambda of generalised advantage estimation, in [0, 1]."""
    normalise_advantages: bool = True
    """Centre each task's advantages and divide them by their standard deviation."""
    baseline: Baseline = "linear"
    """What advantages are measured from: a linear baseline, fitted to each task's rollouts anew, or
    a critic network for all tasks; the latter in training without gradient steps."""
    reward_scale: float = 1.0
    """What rewards are multiplied by for learning; of no effect on normalised advantages."""
    hidden: tuple[int, ...] = (64, 64)
    """Sizes of the policy's hidden layers."""
    activation: Activation = "tanh"
    """The policy's activation function."""
    initial_std: float = 1.0
    """Standard deviation of a new policy's actions, in units of the family's action scale."""
    initial_gain: float = 1.0
    """What the weights of a new policy's last layer are multiplied by: 0.01 begins with actions
    around 0, whatever is observed."""
    min_std: float = 0.05
    """The standard deviation never falls below this."""
    normalise_observations: bool = True
    """Bring observations to mean 0 and std 1, by what training has seen so far."""
    context_size: int = 50
    """cavia: numbers in the context vector."""
    entropy_bonus: float = 0.0
    """Weight of the entropy of the adapted policies [nat] in the outer loss."""
    max_kl: float = 0.04
    """Trust region: bound on the mean KL divergence of the adapted policies [nat]."""
    cg_iterations: int = 10
    """Trust region: conjugate-gradient iterations."""
    cg_damping: float = 1e-5
    """Trust region: what is added to the Fisher matrix's diagonal."""
    fisher_fraction: float = 0.1
    """Trust region: fraction of the rollouts that Fisher products are computed from."""
    backtrack_ratio: float = 0.8
    """Trust region: factor by which each rejected step is shortened."""
    max_backtracks: int = 15
    """Trust region: how many lengths the line search tries."""
    outer_lr: float = 1e-3
    """maml-vpg, maml-ppo, promp, siamese: Adam's step size."""
    outer_epochs: int = 5
    """maml-ppo, promp, siamese: epochs of an iteration; each a step of Adam without minibatches."""
    minibatch: int = 0
    """siamese: minibatch size in time steps; 0 for the whole iteration. An epoch goes through all
    time steps once."""
    clip_ratio: float = 0.3
    """maml-ppo, promp, siamese: clip range of the likelihood ratio, 1 - clip to 1 + clip."""
    inner_kl_penalty: float = 5e-4
    """promp: weight of the KL divergence of the policies before adaptation [nat]."""
    exploration_weight: float = 0.05
    """e-maml: weight of the credit to rollouts before adaptation; 1 is the exact gradient, whose
    noise grows with the number of rollouts."""
    interpolation: float = 1.0
    """reptile: fraction of the way to the mean of the adapted parameters in an outer step."""
    context: Context = "none"
    """What the policy sees beside the observation: nothing, or the Siamese embedding of all that it
    saw of the task so far. It goes with any algorithm; `siamese` has it."""
    episodes: int = 1
    """context: rollouts of a task in a row that share one memory, in training."""
    changes: float = 0.0
    """context: fraction of trials (`episodes` rollouts in a row) in which the task changes from one
    rollout to the next while the robot keeps running; for families whose tasks can change within an
    episode, in training without gradient steps. Rounded to whole trials of each chunk of at most 20
    tasks that are simulated together."""
    told: float = 0.0
    """context: fraction of each task's rollouts in which the policy is given the task (privileged
    information) instead of its memory's estimate, so that it learns to move before the encoder can
    tell tasks apart; in training without gradient steps. Rounded down to whole trials. With 1 it
    acts on its memory in tests only."""
    embedding_size: int = 8
    """context: numbers in the embedding."""
    encoder_steps: int = 40
    """context: steps of Adam on the encoder in an iteration."""
    encoder_lr: float = 3e-3
    """context: their step size at first; it is half as large after 200 iterations, a third after
    400, and so on."""
    seed: int = 0
    """Decides everything random."""
    device: str = "auto"
    """Where updates run: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    threads: int = 0
    """Threads of the simulator and of updates on the CPU; 0 for all cores."""
    workers: int | str = 0
    """Processes that sample in training, each with a slice of the tasks: 1 for this one alone, 0
    for as many as are worth it. Or a Ray cluster: `ray` for one on this machine (or that which
    RAY_ADDRESS names), `ray:auto`, `ray:HOST:PORT`. They change speed only, so a checkpoint does
    not keep the address."""

    def __post_init__(self) -> None:
        make_plain(self)
        # a torch.device, told by its name: help is shown without loading torch, which takes 2 s
        if type(self.device).__name__ == "device":
            object.__setattr__(self, "device", str(self.device))

    def check(self) -> None:
        """Check every value.

        Raises:
            ValueError: with the setting's name, its value and what is allowed.
        """
        for name, kind in _CHOICES.items():
            known = get_args(kind)
            self._check(name, getattr(self, name) in known, f"one of {', '.join(known)}")
        for name in _COUNTS:
            self._check(
                name,
                isinstance(getattr(self, name), int) and getattr(self, name) >= 1,
                "a whole number of at least 1",
            )
        apart = self.context == "none" or self.tasks >= 2
        self._check("tasks", apart, "at least 2 with a context, which tells them apart")
        self._check("rollouts", self.rollouts >= 2, "at least 2, or there is nothing to compare")
        self._check(
            "rollouts",
            self.rollouts % self.episodes == 0,
            f"a multiple of the {self.episodes} episodes in a row",
        )
        if isinstance(self.workers, str):
            expected = "a whole number, or ray, ray:auto or ray:HOST:PORT"
            self._check("workers", CLUSTER.fullmatch(self.workers) is not None, expected)
        check_seed(self.seed)
        for name in ("threads",) if isinstance(self.workers, str) else ("threads", "workers"):
            self._check(
                name,
                isinstance(getattr(self, name), int) and getattr(self, name) >= 0,
                "a whole number of at least 0",
            )
            # also for settings from an untrusted file
            self._check(name, getattr(self, name) <= _MOST_THREADS, f"at most {_MOST_THREADS}")
        for name in _POSITIVE:
            self._check(name, 0.0 < getattr(self, name) < float("inf"), "a positive number")
        for name in ("cg_damping", "inner_kl_penalty", "exploration_weight", "entropy_bonus"):
            self._check(name, 0.0 <= getattr(self, name) < float("inf"), "at least 0")
        for name in ("discount", "gae_lambda", "changes", "told"):
            self._check(name, 0.0 <= getattr(self, name) <= 1.0, "in [0, 1]")
        self._check("minibatch", self.minibatch >= 0, "at least 0")
        self._check("embedding_size", self.embedding_size >= 2, "at least 2")
        algorithm = ALGORITHMS[self.algorithm]
        if algorithm.adapts_in_training:
            own = f"linear with {self.algorithm}, whose gradient steps need one of each task's own"
            self._check("baseline", self.baseline == "linear", own)
        if algorithm.adapts_in_training or algorithm.outer_step != "clipped":
            whole = f"0 with {self.algorithm}: only siamese takes steps on minibatches"
            self._check("minibatch", self.minibatch == 0, whole)
        if not algorithm.adapts_in_training or algorithm.outer_step == "interpolation":
            unused = f"False with {self.algorithm}, whose training would not change them"
            self._check("learned_rates", not self.learned_rates, unused)
        rest = 1.0 - self.changes
        self._check("told", self.told <= rest + 1e-9, f"at most the {rest:g} in which tasks stay")
        for name in ("fisher_fraction", "backtrack_ratio"):
            self._check(name, 0.0 < getattr(self, name) <= 1.0, "in (0, 1]")
        self._check(
            "hidden",
            isinstance(self.hidden, tuple)
            and all(isinstance(n, int) and n >= 1 for n in self.hidden),
            "sizes of at least 1, such as (64, 64)",
        )

    def kept(self) -> dict[str, Any]:
        """Return the settings as files keep them: without the address of a cluster.

        Files may come from untrusted sources, and loading one must not connect to a cluster.
        """
        fields = dataclasses.asdict(self)
        return fields if isinstance(self.workers, int) else {**fields, "workers": 0}

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise ValueError(f"{name} must be {expected}, got {getattr(self, name)!r}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config with these settings, checked.

        Raises:
            ValueError: for an unknown setting, with the nearest one, or a value not allowed.
        """
        return checked(cls, settings)


@dataclass(frozen=True)
class Saving:
    """When a run's checkpoint is written."""

    save_minutes: float = 0.0
    """Minutes between two checkpoints; 0 for one after every iteration. There is one when training
    ends or is asked to stop, too. Resuming repeats what came after the last one."""
    keep: int = 3
    """How many of the last checkpoints are kept, in the folder `checkpoints`."""

    def check(self) -> None:
        """Check both values.

        Raises:
            ValueError: with the setting's name, its value and what is allowed.
        """
        if not 0.0 <= self.save_minutes < float("inf"):
            raise ValueError(f"save_minutes must be at least 0, got {self.save_minutes}")
        if self.keep < 1:
            raise ValueError(f"keep must be at least 1, got {self.keep}")


_IN_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


class Settings(Protocol):
    """A frozen dataclass that checks itself."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def check(self) -> None:
        """Raise a ValueError for a value that is not allowed."""
        ...


S = TypeVar("S", bound=Settings)


def checked(kind: type[S], settings: Mapping[str, Any]) -> S:
    """Return settings of a kind, checked.

    Raises:
        ValueError: for an unknown setting, with the nearest one, or a value that is not allowed.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    for name in settings:
        if name not in known:
            raise ValueError(f"no setting {name!r}{nearest(name, known)}")
    config = kind(**settings)
    check_types(config)
    config.check()
    return config


def check_types(config: Settings) -> None:
    """Raise a `ValueError` for a field of another type than declared; a float may be whole."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        allowed = (int, float) if field.type is float else (field.type,)
        if field.type in _IN_WORDS and type(value) not in allowed:
            raise ValueError(f"{field.name} must be {_IN_WORDS[field.type]}, got {value!r}")
