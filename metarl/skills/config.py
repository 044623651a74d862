"""`SimilarityConfig`: the settings of the encoder and of its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from metarl.envs.plain import check_seed, make_plain
from metarl.learner.config import checked

Loss = Literal["contrastive", "triplet", "info-nce"]


@dataclass(frozen=True)
class SimilarityConfig:
    """Settings of the encoder and of its training."""

    loss: Loss = "contrastive"
    """What training lowers."""
    tasks: int = 300
    """Known tasks: those that the encoder is trained on and that new ones are compared with."""
    rollouts: int = 4
    """Rollouts of each."""
    window: int = 50
    """Control steps that the encoder sees of a rollout in training."""
    embedding_size: int = 16
    """Numbers in an embedding."""
    hidden: int = 128
    """Width of its hidden layers."""
    margin: float = 5.0
    """Distance that tasks of average difference are kept apart."""
    batch: int = 64
    """Tasks in a step of training."""
    iterations: int = 1500
    """Steps of training at most; it stops early when held-out tasks gain nothing more. 0 stands for
    the encoder of a policy that remembers its task, which was trained with the policy."""
    lr: float = 1e-3
    """Adam's step size."""
    seed: int = 0
    """Decides tasks, start states, exploration, weights and windows."""

    def __post_init__(self) -> None:
        make_plain(self)

    def check(self) -> None:
        """Check every value.

        Raises:
            ValueError: with the setting's name, its value and what is allowed.
        """
        known = get_args(Loss)
        if self.loss not in known:
            raise ValueError(f"loss must be one of {', '.join(known)}, got {self.loss!r}")
        least = {"tasks": 10, "rollouts": 2, "batch": 2, "embedding_size": 2}
        least |= {"iterations": 0}
        check_seed(self.seed)
        for name in (*least, "window", "hidden"):
            if getattr(self, name) < least.get(name, 1):
                raise ValueError(
                    f"{name} must be at least {least.get(name, 1)}, got {getattr(self, name)}"
                )
        for name in ("margin", "lr"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "SimilarityConfig":
        """Return the config with these settings, checked; see `Config.of`."""
        return checked(cls, settings)
