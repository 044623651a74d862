"""Run folders: train into one, and resume it; the results are identical to an uninterrupted run.

A run folder holds `config.json` (family, settings, versions), `progress.csv`, `tensorboard/` and
`checkpoint.safetensors`, with the last few checkpoints in `checkpoints/`. One process at a time may
train in it, which holds its `.lock`.
"""

import json
from pathlib import Path
from typing import Any

from metarl.envs.family import Family
from metarl.envs.plain import whole
from metarl.learner import state
from metarl.learner.config import MACHINE, Saving
from metarl.learner.maml import MAML
from metarl.learner.record import run_logger
from metarl.learner.saving import SaveCheckpoints, kept
from metarl.pretrained.policies import checkpoint_of, is_pretrained
from metarl.system.checkpoint import sound, versions
from metarl.system.files import make_folder, remove_leftovers, write_json
from metarl.system.ownership import owned
from metarl.system.stopping import Stopped, Stopping

CHECKPOINT = "checkpoint.safetensors"
CONFIG = "config.json"


_STOPPING = (
    "stopping when this iteration is done and saved; once more stops at once, and the run can then "
    "be resumed from its last checkpoint"
)


def train(
    learner: MAML,
    out: str | Path,
    total_timesteps: int,
    *,
    progress_bar: bool = False,
    family_reference: str | None = None,
    saving: Saving | None = None,
) -> MAML:
    """Train a learner in a new run folder.

    Args:
        learner: a new one, or one to train further.
        out: the folder; it may exist, but not hold a run.
        total_timesteps: environment steps in all, with those that the learner has; whole
            iterations, so at least so many.
        progress_bar: show one.
        family_reference: the function that returns a family of one's own, such as
            `arm.py:family`; kept for people to read, never imported from the run folder.
        saving: when checkpoints are written; None for the defaults.

    Raises:
        ValueError: when the folder holds a run already, another process trains in it, or the
            learner has had so many steps.
        OSError: when it cannot be written.
        KeyboardInterrupt: when SIGINT or SIGTERM asked to stop, after the iteration is saved.
    """
    out, saving = Path(out), saving or Saving()
    saving.check()
    total_timesteps = whole("total_timesteps", total_timesteps)
    if total_timesteps <= learner.num_timesteps:
        raise ValueError(
            f"the learner has {learner.num_timesteps:,} environment steps already: "
            f"total_timesteps must be more, got {total_timesteps:,}"
        )
    make_folder(out)
    begin = learner.iteration
    with owned(out):
        if (out / CONFIG).exists():
            raise ValueError(f"{out} holds a run already; resume it, or choose another folder")
        learner.save(out / CHECKPOINT)
        _write_config(learner, out, total_timesteps, family_reference)
        try:
            return _learn(learner, out, total_timesteps, progress_bar, saving)
        except Exception:
            if learner.iteration == begin:  # nothing is there to resume
                (out / CONFIG).unlink(missing_ok=True)
                (out / CHECKPOINT).unlink(missing_ok=True)
            raise


def resume(
    out: str | Path,
    *,
    total_timesteps: int | None = None,
    progress_bar: bool = False,
    family: Family | None = None,
    family_reference: str | None = None,
    saving: Saving | None = None,
    **machine: Any,  # noqa: ANN401
) -> MAML:
    """Resume a run from its last checkpoint.

    Args:
        out: the run folder.
        total_timesteps: environment steps in all; None for what the run was started with.
        progress_bar: show one.
        family: the one it was started with, when that is not one of the catalogue's.
        family_reference: the function that returns it, when that is elsewhere now; see `train`.
        saving: see `train`.
        machine: `device`, `threads` and `workers`, see `metarl.Config`; those that are left out, or
            None, are what the run was started with, but a cluster must be named again.

    Raises:
        FileNotFoundError: when the folder holds no run.
        TypeError: for another setting, which would change the results.
        ValueError: when the checkpoint is damaged, another process trains in the folder, or it is
            no folder.
        KeyboardInterrupt: see `train`.
    """
    if is_pretrained(out):
        raise ValueError(
            f"pretrained policies cannot be resumed, got {out}; metarl train begins a run"
        )
    out, saving = Path(out), saving or Saving()
    saving.check()
    if others := sorted({*machine} - {*MACHINE}):
        raise TypeError(f"a run is resumed with its own settings, got {', '.join(others)}")
    if out.is_file():
        meant = f": metarl resume {out.parent}" if (out.parent / CONFIG).is_file() else ""
        raise ValueError(f"resume takes a run folder, got the file {out}{meant}")
    if not out.exists():
        raise FileNotFoundError(f"there is no run folder {out}")
    if not (out / CONFIG).is_file():
        raise FileNotFoundError(f"{out} holds no run: there is no {CONFIG}")
    with owned(out):
        started = read_config(out)
        for name in (CHECKPOINT, CONFIG, "progress.csv"):
            remove_leftovers(out / name)
        _check_whole(out / CHECKPOINT)
        given = {name: value for name, value in machine.items() if value is not None}
        learner = MAML.load(out / CHECKPOINT, family=family, **given)
        reference = family_reference or started.get("family_reference")
        goal = started["total_timesteps"]
        if total_timesteps is not None:
            goal = whole("total_timesteps", total_timesteps)
        # iterations are whole, so that it may have more than it was asked for
        if goal < min(learner.num_timesteps, started["total_timesteps"]):
            raise ValueError(
                f"the run has {learner.num_timesteps} environment steps already; "
                f"total_timesteps must be at least that, got {goal}"
            )
        if (goal, reference) != (started["total_timesteps"], started.get("family_reference")):
            _write_config(learner, out, goal, reference)
        if learner.num_timesteps < goal:
            _learn(learner, out, goal, progress_bar, saving)
    return learner


def read_config(out: Path) -> dict[str, Any]:
    """Return what a run folder's `config.json` says, its `total_timesteps` checked.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is damaged.
    """
    path = out / CONFIG
    with sound(path, "run's settings"):
        config = json.loads(path.read_text(encoding="utf-8"))
        total = config["total_timesteps"]
        if type(total) is not int or total < 1:
            raise ValueError(f"total_timesteps must be a whole number of at least 1, got {total!r}")
        if not isinstance(config.get("family_reference", ""), str):
            raise ValueError("family_reference must be a text")
    return config


def load(
    path: str | Path,
    *,
    family: str | Family | None = None,
    **settings: Any,  # noqa: ANN401
) -> MAML:
    """Return a learner from a run folder, a checkpoint or `pretrained:NAME`; see `MAML.load`."""
    path = checkpoint_of(path) if is_pretrained(path) else Path(path)
    if path.is_dir():
        if not (path / CHECKPOINT).is_file():
            raise FileNotFoundError(f"{path} holds no {CHECKPOINT}")
        path = path / CHECKPOINT
    return MAML.load(path, family=family, **settings)


def known_learner(learner: Any) -> MAML:  # noqa: ANN401, whatever a user gives
    """Return a learner as it is.

    Raises:
        TypeError: for something else, with what was probably meant.
    """
    if isinstance(learner, MAML):
        return learner
    if isinstance(learner, str | Path):
        learner = str(learner)
        raise TypeError(f"a learner is asked for, got {learner!r}: metarl.load({learner!r})")
    raise TypeError(f"a learner is asked for, such as metarl.load(path) returns, got {learner!r}")


def folder_of(path: str | Path) -> Path:
    """Return where what is made of a run goes: its folder; of a pretrained one, a folder here."""
    if is_pretrained(path):
        return Path("pretrained", checkpoint_of(path).stem)
    path = Path(path)
    return path if path.is_dir() else path.parent


def _check_whole(path: Path) -> None:
    """Check that a run's checkpoint can be read; if not, name the newest that can."""
    try:
        state.read(path)
    except (ValueError, FileNotFoundError) as error:
        whole = next(filter(_is_whole, reversed(kept(path))), None)
        if whole is None:
            raise
        words = f"{error}. An older one is kept: copy {whole} over it to resume from there"
        raise type(error)(words) from None


def _is_whole(path: Path) -> bool:
    try:
        state.read(path)
    except (ValueError, OSError):
        return False
    return True


def _learn(
    learner: MAML, out: Path, total_timesteps: int, progress_bar: bool, saving: Saving
) -> MAML:
    logger = run_logger(out, learner.num_timesteps, learner.verbose > 0)
    learner.set_logger(logger)
    try:
        with Stopping(_STOPPING) as stopping:
            learner.learn(
                total_timesteps - learner.num_timesteps,
                SaveCheckpoints(out / CHECKPOINT, saving, stopping),
                reset_num_timesteps=False,
                progress_bar=progress_bar,
            )
    finally:
        logger.close()
    if stopping.asked and learner.num_timesteps < total_timesteps:
        raise Stopped(stopping.asked)
    return learner


def _write_config(learner: MAML, out: Path, total_timesteps: int, reference: str | None) -> None:
    config: dict[str, Any] = {
        "family": learner.family.describe(),
        "config": learner.config.kept(),
        "total_timesteps": total_timesteps,
        "versions": versions(),
    }
    if reference is not None:
        config["family_reference"] = reference
    write_json(out / CONFIG, config)
