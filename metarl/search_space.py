"""What `metarl tune` searches for: the few settings that decide how well an algorithm learns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from metarl.algorithms.table import ALGORITHMS
from metarl.learner.config import Config

if TYPE_CHECKING:
    import optuna

COUNT = 5
"""Settings that are searched for: more would take more trials than anyone has time for."""
BATCH = "tasks x rollouts"


class Searched(NamedTuple):
    """A setting, and where its values are looked for."""

    name: str
    low: float
    high: float
    spread: str = "log"
    """`log` for a factor, of two digits; `linear` for thousandths; `whole` for a count."""


def search_space(config: Config, held: Sequence[str]) -> list[Searched | str]:
    """Return the settings to search for: first what is this algorithm's own, then what all have.

    Factors are looked for from a quarter to four times what the default is, counts of epochs to
    twice the default.

    Args:
        config: the defaults of the family and algorithm.
        held: settings that keep the value they were given.

    Returns:
        `COUNT` of them; `BATCH` stands for the trade between tasks and rollouts.
    """
    algorithm = ALGORITHMS[config.algorithm]
    outer = {
        "trust-region": ["max_kl"],
        "gradient": ["outer_lr"],
        "clipped": ["outer_lr", "outer_epochs"],
        "interpolation": ["interpolation"],
    }
    names = [
        *(["inner_lr"] if algorithm.adapts_in_training else []),
        *(["encoder_lr"] if config.context == "siamese" else []),
        *outer[algorithm.outer_step],
        "gae_lambda",
        BATCH,
        "discount",
        "initial_std",
    ]
    own = {
        "gae_lambda": Searched("gae_lambda", min(0.9, config.gae_lambda), 1.0, "linear"),
        "discount": Searched("discount", min(0.95, config.discount), 1.0, "linear"),
        "outer_epochs": Searched("outer_epochs", 2, max(16, 2 * config.outer_epochs), "whole"),
        "interpolation": Searched("interpolation", 0.25, 1.0),
    }
    space: list[Searched | str] = []
    for name in names:
        if name == BATCH:
            space += [] if {"tasks", "rollouts"} & {*held} else [BATCH]
        elif name not in held:
            default = getattr(config, name)
            space.append(own.get(name, Searched(name, default / 4, default * 4)))
    return space[:COUNT]


def batches(config: Config) -> list[str]:
    """Return splits of an iteration's rollouts into tasks and rollouts of each, such as `20x20`."""
    total = config.tasks * config.rollouts
    counts = [config.tasks // 2, config.tasks, config.tasks * 2]
    return [
        f"{tasks}x{total // tasks}"
        for tasks in counts
        if tasks >= (1 if config.context == "none" else 2)
        and total % (tasks * config.episodes) == 0
        and total // tasks >= 2
    ]


def suggested(
    trial: "optuna.Trial", space: Sequence[Searched | str], config: Config
) -> dict[str, Any]:
    """Return the settings of a trial."""
    settings: dict[str, Any] = {}
    for part in space:
        if isinstance(part, str):
            tasks, rollouts = trial.suggest_categorical(BATCH, batches(config)).split("x")
            settings |= {"tasks": int(tasks), "rollouts": int(rollouts)}
        elif part.spread == "whole":
            low, high = int(part.low), int(part.high)
            settings[part.name] = trial.suggest_int(part.name, low, high, log=True)
        elif part.spread == "linear":
            value = trial.suggest_float(part.name, part.low, part.high, step=0.001)
            settings[part.name] = round(value, 3)
        else:
            value = trial.suggest_float(part.name, part.low, part.high, log=True)
            settings[part.name] = float(f"{value:.2g}")
    return settings


def of_defaults(space: Sequence[Searched | str], config: Config) -> dict[str, Any]:
    """Return the trial that has the defaults, in steps of what is searched."""
    trial: dict[str, Any] = {}
    for part in space:
        if isinstance(part, str):
            trial[part] = f"{config.tasks}x{config.rollouts}"
        else:
            value = getattr(config, part.name)
            trial[part.name] = round(value, 3) if part.spread == "linear" else value
    return trial
