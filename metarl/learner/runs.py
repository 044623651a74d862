"""Run folders: train into one, and resume it to the numbers of a run that was never stopped.

A run folder holds `config.json` (family, settings, versions), `progress.csv`, `tensorboard/` and
`checkpoint.safetensors`, written anew after every iteration.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from metarl.envs.family import Family
from metarl.learner.maml import MAML
from metarl.learner.record import run_logger
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file

CHECKPOINT = "checkpoint.safetensors"
CONFIG = "config.json"


class SaveEveryIteration(BaseCallback):
    """Writes the checkpoint that a killed run resumes from."""

    def __init__(self, path: Path) -> None:
        """Save to `path`."""
        super().__init__()
        self._path = path

    def _on_step(self) -> bool:
        self.model.save(self._path)
        return True


def train(
    learner: MAML,
    out: str | Path,
    total_timesteps: int,
    *,
    progress_bar: bool = False,
    family_reference: str | None = None,
) -> MAML:
    """Train a new learner in a new run folder.

    Args:
        learner: as constructed.
        out: the folder; it may exist, but not hold a run.
        total_timesteps: environment steps; whole iterations, so at least so many.
        progress_bar: show one.
        family_reference: the function that returns a family of one's own, such as
            `arm.py:family`; kept for people to read, never imported from the run folder.

    Raises:
        ValueError: when the folder holds a run already.
        OSError: when it cannot be written.
    """
    out = Path(out)
    if (out / CONFIG).exists():
        raise ValueError(f"{out} holds a run already; resume it, or choose another folder")
    if total_timesteps < 1:
        raise ValueError(f"total_timesteps must be at least 1, got {total_timesteps}")
    total_timesteps = int(total_timesteps)
    learner.save(out / CHECKPOINT)
    _write_config(learner, out, total_timesteps, family_reference)
    return _learn(learner, out, total_timesteps, progress_bar)


def resume(
    out: str | Path,
    *,
    total_timesteps: int | None = None,
    progress_bar: bool = False,
    family: Family | None = None,
    family_reference: str | None = None,
) -> MAML:
    """Go on with a run from its last checkpoint.

    Args:
        out: the run folder.
        total_timesteps: environment steps in all; None for what the run was started with.
        progress_bar: show one.
        family: the one it was started with, when that is not one of the catalogue's.
        family_reference: the function that returns it, when that is elsewhere now; see `train`.

    Raises:
        FileNotFoundError: when the folder holds no run.
        ValueError: when the checkpoint is damaged.
    """
    out = Path(out)
    config = out / CONFIG
    if not config.is_file():
        raise FileNotFoundError(f"{out} holds no run: there is no {CONFIG}")
    learner = MAML.load(out / CHECKPOINT, family=family)
    started = json.loads(config.read_text())
    reference = family_reference or started.get("family_reference")
    if total_timesteps is None:
        total_timesteps = int(started["total_timesteps"])
    elif total_timesteps < learner.num_timesteps:
        raise ValueError(
            f"the run has {learner.num_timesteps} environment steps already; "
            f"total_timesteps must be more than that, got {total_timesteps}"
        )
    total_timesteps = int(total_timesteps)
    if (total_timesteps, reference) != (
        started["total_timesteps"],
        started.get("family_reference"),
    ):
        _write_config(learner, out, total_timesteps, reference)
    if learner.num_timesteps < total_timesteps:
        _learn(learner, out, total_timesteps, progress_bar)
    return learner


def load(path: str | Path, *, family: Family | None = None, **settings: Any) -> MAML:  # noqa: ANN401
    """Return a learner from a checkpoint or a run folder; see `MAML.load`."""
    path = Path(path)
    return MAML.load(path / CHECKPOINT if path.is_dir() else path, family=family, **settings)


def _learn(learner: MAML, out: Path, total_timesteps: int, progress_bar: bool) -> MAML:
    logger = run_logger(out, learner.num_timesteps, learner.verbose > 0)
    learner.set_logger(logger)
    try:
        return learner.learn(
            total_timesteps - learner.num_timesteps,
            SaveEveryIteration(out / CHECKPOINT),
            reset_num_timesteps=False,
            progress_bar=progress_bar,
        )
    finally:
        logger.close()


def _write_config(learner: MAML, out: Path, total_timesteps: int, reference: str | None) -> None:
    config: dict[str, Any] = {
        "family": learner.family.describe(),
        "config": asdict(learner.config),
        "total_timesteps": total_timesteps,
        "versions": versions(),
    }
    if reference is not None:
        config["family_reference"] = reference
    with whole_file(out / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n")
