"""When a run's checkpoint is written, and which older ones are kept."""

import os
import shutil
import time
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback

from metarl.learner.config import Saving
from metarl.system.stopping import Stopping

KEPT = "checkpoints"
"""The folder of older checkpoints, in the run folder."""


class SaveCheckpoints(BaseCallback):
    """Writes the checkpoint that a run resumes from, and ends training when it is asked to."""

    def __init__(self, path: Path, saving: Saving, stopping: Stopping) -> None:
        """Save to `path`, at first when the time has come.

        Args:
            path: of the checkpoint, which is there already.
            saving: when, and how many are kept.
            stopping: tells when training is asked to stop.
        """
        super().__init__()
        self._path, self._saving, self._stopping = path, saving, stopping
        self._saved_at = time.monotonic()  # the time of day may be set, back or forth
        self._is_saved = True

    def _on_step(self) -> bool:
        self._is_saved = False
        if time.monotonic() - self._saved_at >= 60.0 * self._saving.save_minutes:
            self._save()
        return not self._stopping.asked

    def _on_training_end(self) -> None:
        if not self._is_saved:
            self._save()

    def _save(self) -> None:
        self._is_saved = True  # or, once it has failed, it would be tried again at the end
        self.model.save(self._path)
        self._saved_at = time.monotonic()
        keep(self._path, self.model.iteration, self._saving.keep)  # type: ignore[attr-defined]


def keep(path: Path, iteration: int, count: int) -> None:
    """Keep a checkpoint under its iteration's name, and no more than the last few of them.

    Args:
        path: of the checkpoint, which the next one will replace.
        iteration: that it was written after.
        count: how many are kept; with 1 the checkpoint itself is enough.
    """
    folder = path.parent / KEPT
    if count > 1:
        folder.mkdir(exist_ok=True)
        name = folder / f"{iteration:08d}{path.suffix}"
        name.unlink(missing_ok=True)
        try:
            os.link(path, name)  # no second copy: the next checkpoint replaces the other name
        except OSError:  # a file system without links
            shutil.copyfile(path, name)
    for old in kept(path)[: -count if count > 1 else None]:
        old.unlink(missing_ok=True)


def kept(path: Path) -> list[Path]:
    """Return the checkpoints that are kept beside one, the oldest first."""
    found = (path.parent / KEPT).glob(f"*{path.suffix}")
    return sorted(each for each in found if each.stem.isdecimal())  # the others are people's own
