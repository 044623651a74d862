"""Where a run's numbers go: Stable-Baselines3's logger, with outputs that a run can resume."""

import csv
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    ConvertCallback,
    EvalCallback,
    EventCallback,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.logger import (
    HumanOutputFormat,
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
    filter_excluded_keys,
)

from metarl.learner.iteration import Progress
from metarl.learner.state import State
from metarl.system.files import whole_file
from metarl.system.progress import bar

Callback = BaseCallback | list[BaseCallback] | Callable[[dict, dict], bool] | None
"""What Stable-Baselines3's `learn` takes."""

STEP_COLUMN = "time/total_timesteps"

_INSTEAD: dict[type[BaseCallback], str] = {
    EvalCallback: "metarl.EvaluateCallback(every=..., tasks=..., best=...), which evaluates "
    "adaptation to held-out tasks",
    ProgressBarCallback: "learn(..., progress_bar=True)",
    StopTrainingOnMaxEpisodes: "total_timesteps of learn",
}
"""Callbacks of Stable-Baselines3 that need a training environment, and what to use instead."""


class ProgressFile(KVWriter):
    """`progress.csv`: one row an iteration, appended to, so that a resumed run continues it."""

    def __init__(self, path: Path, steps: int) -> None:
        """Open the file, without rows that come after the checkpoint that is resumed.

        Args:
            path: the file; made if missing.
            steps: environment steps at the checkpoint; 0 for a new run.

        Raises:
            ValueError: when it is no such file.
        """
        try:
            header, rows = _read(path) if path.exists() and steps else ([], [])
            at = header.index(STEP_COLUMN) if header else 0
            kept = [row for row in rows if len(row) == len(header) and int(row[at]) <= steps]
        except (ValueError, csv.Error) as error:
            words = f"{path} cannot be continued: {error}; move it away to resume without it"
            raise ValueError(words) from None
        with whole_file(path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([header, *kept] if header else [])
        self._columns = header
        self._file: TextIO = path.open("a", newline="")

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Append a row; values that were not among the first row's are left out.

        What a callback dumps between two iterations is no row.
        """
        values = filter_excluded_keys(key_values, key_excluded, "csv")
        if STEP_COLUMN not in values:
            return
        writer = csv.writer(self._file)
        if not self._columns:
            self._columns = list(values)
            writer.writerow(self._columns)
        writer.writerow([values.get(name, "") for name in self._columns])
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ResumedTensorBoard(TensorBoardOutputFormat):
    """TensorBoard events that hide those of a dead run after its last checkpoint."""

    def __init__(self, folder: Path, steps: int) -> None:
        """Open a new event file.

        Args:
            folder: where the run's event files are.
            steps: environment steps at the checkpoint; 0 for a new run.
        """
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=steps + 1)
        self._is_closed = False


def run_logger(folder: Path, steps: int, verbose: bool) -> Logger:
    """Return a logger that writes `progress.csv` and TensorBoard events, and prints if asked.

    Args:
        folder: the run's; must exist.
        steps: environment steps at the checkpoint that is resumed; 0 for a new run.
        verbose: print a table every iteration.
    """
    outputs: list[KVWriter] = [
        ProgressFile(folder / "progress.csv", steps),
        ResumedTensorBoard(folder / "tensorboard", steps),
    ]
    if verbose:
        outputs.append(HumanOutputFormat(sys.stdout))
    return Logger(str(folder), outputs)


PATIENCE = 10
"""Iterations in a row that may keep the parameters because a number is not finite. One may be an
unlucky draw of tasks; where all of ten are, nothing changes from one to the next any more."""


_NAMED = 3
"""Tasks that a message names at most."""


class Clock:
    """How long training takes since it began, here and now, and how long it has been stuck."""

    def __init__(self, timesteps: int) -> None:
        """Start, at so many environment steps."""
        self._began, self._timesteps = time.monotonic(), timesteps
        self.stuck = 0
        """Iterations in a row whose outer step met a number that is not finite."""
        self.failing = 0
        """Iterations in a row in which some task's physics blew up in every episode."""

    def read(self, timesteps: int) -> tuple[float, float]:
        """Return the time since the start [s], and environment steps per second since then."""
        elapsed = time.monotonic() - self._began
        return elapsed, (timesteps - self._timesteps) / elapsed


def record_iteration(log: Logger, state: State, progress: Progress, clock: Clock) -> None:
    """Record one iteration; the log is not dumped.

    Args:
        log: where to.
        state: after the iteration.
        progress: what the iteration brought.
        clock: started with training.

    Raises:
        RuntimeError: when the parameters were kept in as many iterations in a row as `PATIENCE`
            says, or some task's physics blew up in every episode of so many.
    """
    returns, trace = progress.returns, progress.trace
    elapsed, fps = clock.read(state.num_timesteps)
    log.record("time/iteration", state.iteration)
    log.record(STEP_COLUMN, state.num_timesteps)
    log.record("time/elapsed", elapsed)
    log.record("time/fps", fps)
    log.record("rollout/return_before", returns[0])
    for step, value in enumerate(returns[1:-1], start=1):
        log.record(f"rollout/return_step_{step}", value)
    log.record("rollout/return_after", returns[-1])
    log.record("rollout/gain", returns[-1] - returns[0])
    log.record("rollout/episode_length", progress.episode_length)
    log.record("rollout/failures", progress.failures)
    log.record("train/surrogate_gain", trace.loss_before - trace.loss_after)
    log.record("train/kl", trace.kl)
    log.record("train/step_fraction", trace.step_fraction)
    log.record("train/gradient_norm", trace.gradient_norm)
    # a column of the table must be there from the first row on; people need not read "nan"
    without = ("stdout", "log", "tensorboard") if math.isnan(trace.cg_residual) else None
    log.record("train/cg_residual", trace.cg_residual, exclude=without)
    log.record("train/std", float(state.policy.std(state.parameters).mean()))
    if progress.encoder_loss is not None:
        log.record("train/encoder_loss", progress.encoder_loss)
    if progress.explained_variance is not None:  # as Stable-Baselines3 calls it
        log.record("train/explained_variance", progress.explained_variance)
    _tell_failures(state.iteration, progress, clock)
    if not trace.accepted:
        log.warn(f"iteration {state.iteration}: parameters kept, since {trace.reason}")
    clock.stuck = 0 if trace.finite else clock.stuck + 1
    if clock.stuck:
        # a logger without a terminal shows no `warn`
        warnings.warn(
            f"iteration {state.iteration}: parameters kept, since {trace.reason}",
            RuntimeWarning,
            stacklevel=2,
        )
    if clock.stuck == PATIENCE:
        raise RuntimeError(
            f"training is stuck: in {PATIENCE} iterations in a row the parameters were kept, at "
            f"last since {trace.reason}. A smaller inner_lr or outer_lr, or rewards and "
            "observations of smaller size, may help"
        )


def _tell_failures(iteration: int, progress: Progress, clock: Clock) -> None:
    """Warn of episodes whose physics blew up; raise when tasks always do, for too long."""
    clock.failing = clock.failing + 1 if progress.failing else 0
    if not progress.failures:
        return
    named = "; ".join(filter(None, progress.failing[:_NAMED]))
    tasks = _count(len(progress.failing), "task")
    always = f", all of {tasks}{': ' if named else ''}{named}" if progress.failing else ""
    episodes, foreign = _count(progress.failures, "episode"), progress.environment
    step = "" if foreign else ", a shorter time step"
    what = f"the physics of {episodes} blew up"
    if foreign:
        what = f"the environment of {foreign} returned numbers that are not finite in {episodes}"
    words = f"iteration {iteration}: {what}{always}"
    if clock.failing == PATIENCE:
        raise RuntimeError(
            f"{words}; so it has been for {PATIENCE} iterations. Smaller actions (action_scale)"
            f"{step} or another range of tasks may help"
        )
    warnings.warn(f"{words}; each ended there", RuntimeWarning, stacklevel=3)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


class ProgressBar(BaseCallback):
    """A bar over environment steps that shows the returns, before and after inner steps."""

    def __init__(self, goal: int) -> None:
        """Make a bar up to `goal` environment steps in all."""
        super().__init__()
        self._goal = goal

    def _on_training_start(self) -> None:
        self._bar = bar(
            initial=self.model.num_timesteps, total=self._goal, unit="step", unit_scale=True
        )

    def _on_step(self) -> bool:
        returns = self.locals["returns"]
        # one number where training takes no inner steps and nothing is remembered
        shown = dict.fromkeys((0, len(returns) - 1))
        words = " -> ".join(f"{returns[stage]:.1f}" for stage in shown)
        self._bar.set_postfix_str(f"return {words}", refresh=False)
        # whole iterations go beyond the goal, and tqdm then forgets it
        self._bar.update(min(self.num_timesteps, self._goal) - self._bar.n)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()


def callbacks(callback: Callback, learner: Any, bar_up_to: int | None) -> BaseCallback:  # noqa: ANN401
    """Return all callbacks as one that knows the learner.

    Args:
        callback: the user's.
        learner: with the attributes of a Stable-Baselines3 algorithm that callbacks look at.
        bar_up_to: environment steps at the end of a progress bar; None for no bar.

    Raises:
        ValueError: for a callback that needs a training environment, with what to use instead.
        TypeError: for what is no callback.
    """
    if isinstance(callback, list):
        callback = CallbackList(callback)
    if not isinstance(callback, BaseCallback):
        if callback is not None and not callable(callback):
            raise TypeError(
                f"callback must be a Stable-Baselines3 callback, a list of them or a function of "
                f"locals and globals, got {callback!r}"
            )
        callback = ConvertCallback(callback)
    _refuse_those_that_need_an_environment(callback)
    if bar_up_to is not None:
        callback = CallbackList([callback, ProgressBar(bar_up_to)])
    callback.init_callback(learner)
    return callback


def _refuse_those_that_need_an_environment(callback: BaseCallback) -> None:
    """Look at a callback, and at those that it calls."""
    for kind, instead in _INSTEAD.items():
        if isinstance(callback, kind):
            raise ValueError(
                f"{type(callback).__name__} needs a training environment, which a meta-learner "
                f"does not have: use {instead}"
            )
    called = callback.callbacks if isinstance(callback, CallbackList) else []
    if isinstance(callback, EventCallback) and callback.callback is not None:
        called = [callback.callback]
    for inner in called:
        _refuse_those_that_need_an_environment(inner)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    return (rows[0], rows[1:]) if rows else ([], [])
