"""`Config`: every setting of a run besides its task family, with defaults that learn."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from envs.nearest import nearest
from metarl.trust_region import TrustRegion

Algorithm = Literal["maml-trpo", "fomaml", "anil", "meta-sgd", "pretrain"]
InnerLoss = Literal["likelihood-ratio", "loaded-dice", "score-function"]


@dataclass(frozen=True)
class Config:
    """Settings of a meta-learner. The defaults learn HalfCheetahDir in minutes."""

    algorithm: Algorithm = "maml-trpo"
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
    discount: float = 0.99
    """Discount of future rewards, in [0, 1]."""
    gae_lambda: float = 0.97
    """Lambda of generalised advantage estimation, in [0, 1]."""
    hidden: tuple[int, ...] = (64, 64)
    """Sizes of the policy's hidden layers."""
    activation: Literal["tanh", "relu"] = "tanh"
    """The policy's activation function."""
    initial_std: float = 1.0
    """Standard deviation of a new policy's actions, in units of the family's action scale."""
    min_std: float = 0.05
    """The standard deviation never falls below this."""
    max_kl: float = 0.02
    """Trust region: bound on the mean KL divergence of the adapted policies [nat]."""
    cg_iterations: int = 10
    """Trust region: conjugate-gradient iterations."""
    cg_damping: float = 1e-5
    """Trust region: what is added to the Fisher matrix's diagonal."""
    fisher_fraction: float = 0.2
    """Trust region: the part of the rollouts that Fisher products are computed from."""
    backtrack_ratio: float = 0.8
    """Trust region: what each refused step is shortened by."""
    max_backtracks: int = 15
    """Trust region: how many lengths the line search tries."""
    seed: int = 0
    """Decides everything random."""
    device: str = "auto"
    """Where updates run: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    threads: int = 0
    """Threads of the simulator and of updates on the CPU; 0 for all cores."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))  # JSON has lists

    def check(self) -> None:
        """Check every value.

        Raises:
            ValueError: with the setting's name, its value and what is allowed.
        """
        for name, kind in (("algorithm", Algorithm), ("inner_loss", InnerLoss)):
            known = get_args(kind)
            self._check(name, getattr(self, name) in known, f"one of {', '.join(known)}")
        for name in ("tasks", "rollouts", "inner_steps", "cg_iterations", "max_backtracks"):
            self._check(
                name,
                isinstance(getattr(self, name), int) and getattr(self, name) >= 1,
                "a whole number of at least 1",
            )
        self._check("rollouts", self.rollouts >= 2, "at least 2, or there is nothing to compare")
        for name in ("seed", "threads"):
            self._check(
                name,
                isinstance(getattr(self, name), int) and getattr(self, name) >= 0,
                "a whole number of at least 0",
            )
        for name in ("inner_lr", "initial_std", "min_std", "max_kl"):
            self._check(name, 0.0 < getattr(self, name) < float("inf"), "a positive number")
        for name in ("discount", "gae_lambda"):
            self._check(name, 0.0 <= getattr(self, name) <= 1.0, "in [0, 1]")
        for name in ("fisher_fraction", "backtrack_ratio"):
            self._check(name, 0.0 < getattr(self, name) <= 1.0, "in (0, 1]")
        self._check("cg_damping", self.cg_damping >= 0.0, "at least 0")
        self._check(
            "hidden", all(isinstance(n, int) and n >= 1 for n in self.hidden), "sizes of at least 1"
        )

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise ValueError(f"{name} must be {expected}, got {getattr(self, name)!r}")

    @property
    def trust_region(self) -> TrustRegion:
        """The settings of the outer step."""
        return TrustRegion(
            self.max_kl,
            self.cg_iterations,
            self.cg_damping,
            self.fisher_fraction,
            self.backtrack_ratio,
            self.max_backtracks,
        )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config with these settings, checked.

        Raises:
            ValueError: for an unknown setting, with the nearest one, or a value not allowed.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in known:
                raise ValueError(f"no setting {name!r}{nearest(name, known)}")
        config = cls(**settings)
        config.check()
        return config
