"""`tune`: a search for the few settings that decide how well a family is learnt, with Optuna.

A study is a folder: Optuna's journal, which remembers every trial, and a run folder for each.
Trials are processes, as the runs of a sweep are; an interrupted one resumes from its checkpoint.
"""

import csv
import math
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metarl.learner.config import Config
from metarl.learner.defaults import TUNED
from metarl.search_space import Searched, of_defaults, search_space, suggested
from metarl.sweep import LOG, Run, TrainingHere, differences, failure
from metarl.sweep_grid import option
from metarl.system.cores import cores
from metarl.system.files import make_folder, whole_file
from metarl.system.ownership import owned
from metarl.system.progress_table import columns
from metarl.system.stopping import Stopped, Stopping

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.journal"
FIRST = "trial-000"
"""The trial that has the defaults."""
TENTHS = 10
"""Parts of a training; trials are compared in each, and by the last of them in the end."""
UNJUDGED = 1
"""First tenths of training in which no trial is pruned."""
COMPLETE_FIRST = 4
"""Trials that are trained to their end before any is pruned."""

_STOPPING = "stopping the trials when their iterations are saved; once more stops at once"
_LOOK = 0.2


@dataclass(frozen=True)
class Plan:
    """What a study searches for, and how."""

    family: str
    """As `metarl train` takes it."""
    out: Path
    """The study's folder."""
    config: Config
    """Settings of all trials, as far as they are not searched for."""
    held: tuple[str, ...]
    """Settings that were given, and are not searched for."""
    words: tuple[str, ...]
    """What was given, as options of `metarl train`."""
    total_timesteps: int
    """Environment steps of each trial."""
    machine: tuple[str, ...] = ()
    """What was given that does not change the results, as options too."""
    in_table: bool = True
    """Whether the table of defaults can have the family: the catalogue's own variant."""

    @property
    def space(self) -> list[Searched | str]:
        """What is searched for."""
        return search_space(self.config, self.held)

    def run(self, folder: str, settings: Mapping[str, Any]) -> Run:
        """Return a trial's run."""
        point = tuple((name, str(value)) for name, value in settings.items())
        words = ["train", self.family, "--out", str(self.out / folder), *self.options(settings)]
        words += option("seed", self.config.seed)
        words += [*option("total_timesteps", self.total_timesteps), *self.machine]
        return Run(self.out / folder, point, self.config.seed, tuple(words))

    def options(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what was given and what is chosen, as options of `metarl train`."""
        chosen = [word for name, value in settings.items() for word in option(name, value)]
        return [*self.words, *chosen]

    def described(self) -> dict[str, Any]:
        """Return what must be the same when a study is resumed."""
        return {
            "family": self.family,
            "given": " ".join(self.words),
            "seed": self.config.seed,
            "total_timesteps": self.total_timesteps,
        }


class Trained(NamedTuple):
    """A trial and the process that trains it."""

    trial: "optuna.Trial"
    run: Run
    process: TrainingHere
    told: list[int]
    """Tenths that Optuna has been told."""


def tune(plan: Plan, trials: int, side_by_side: int = 1) -> "optuna.Study":
    """Train trials until there are so many; resume a study that was begun.

    The first trial has the defaults. With one at a time, the same seed finds the same settings;
    with several, what a trial is depends on which others have ended.

    Args:
        plan: what is searched for.
        trials: in all.
        side_by_side: how many at a time.

    Raises:
        OSError: when the folder cannot be made.
        RuntimeError: where Optuna is not installed.
        ValueError: for a folder with another study or in use, or a failure before any trial ends.
        KeyboardInterrupt: when a signal asked to stop; the same call resumes.
    """
    make_folder(plan.out)
    with owned(plan.out), Stopping(_STOPPING) as stopping:
        study = opened(plan)
        left = trials - len(_finished(study))
        running: list[Trained] = []
        try:
            while (running or left > 0) and not stopping.asked:
                if left > 0 and len(running) < side_by_side:
                    left -= 1
                    running.append(_begun(study, plan, max(1, cores() // side_by_side)))
                running = [one for one in running if not _has_ended(study, one, plan)]
                time.sleep(_LOOK)
        finally:
            _end(running)
    if stopping.asked:
        raise Stopped(stopping.asked)
    return study


def opened(plan: Plan) -> "optuna.Study":
    """Return the study of a folder, a new one where there is none; interrupted trials wait again.

    Raises:
        RuntimeError: where Optuna is not installed.
        ValueError: when the folder holds another study.
    """
    try:
        import optuna
    except ImportError:
        raise RuntimeError(
            "metarl tune needs Optuna: in a checkout of metarl, "
            "pip install -c constraints.txt '.[tune]'"
        ) from None
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = plan.out / JOURNAL
    # this process owns the folder: a lock in it was left by a process that was killed
    path.with_name(f"{JOURNAL}.lock").unlink(missing_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name="metarl",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(COMPLETE_FIRST, n_warmup_steps=UNJUDGED + 1),
    )
    if "of" not in study.user_attrs:  # new, or its first process was killed at once
        first = of_defaults(plan.space, plan.config)
        study.enqueue_trial(first, {"folder": FIRST}, skip_if_exists=True)
        study.set_user_attr("of", plan.described())
    elif differs := differences(study.user_attrs["of"], plan.described()):
        words = "; ".join(differs)
        raise ValueError(f"{plan.out} holds another study: {words}; choose another --out")
    waiting = study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    wait = {trial.user_attrs.get("folder") for trial in waiting}
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        # a process killed between these two lines leaves the trial queued; the check keeps the
        # next one from queueing it twice
        if trial.user_attrs.get("folder") not in wait:
            study.enqueue_trial(trial.params, dict(trial.user_attrs))
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _finished(study: "optuna.Study") -> set[str]:
    """Return the folders of the trials that are not to be trained any further."""
    folders: dict[bool, set[str]] = {True: set(), False: set()}
    for trial in study.get_trials(deepcopy=False):
        folders[trial.state.is_finished()].add(trial.user_attrs.get("folder", ""))
    return folders[True] - folders[False] - {""}


def _begun(study: "optuna.Study", plan: Plan, threads: int) -> Trained:
    import optuna

    number = len(study.get_trials(deepcopy=False))
    seed = int(np.random.SeedSequence([plan.config.seed, number]).generate_state(1)[0])
    # a stream of its own for each trial, so that a resumed study draws no trial twice
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    trial = study.ask()
    settings = suggested(trial, plan.space, plan.config)
    folder = trial.user_attrs.get("folder", f"trial-{trial.number:03d}")
    if folder == FIRST:  # what is suggested has few digits
        settings = {name: getattr(plan.config, name) for name in settings}
    trial.set_user_attr("folder", folder)
    trial.set_user_attr("settings", settings)
    run = plan.run(folder, settings)
    make_folder(run.folder)
    print(f"{folder}: {run.setting}", flush=True)
    return Trained(trial, run, TrainingHere(run, threads), [])


def _has_ended(study: "optuna.Study", trained: Trained, plan: Plan) -> bool:
    """Tell Optuna how a trial goes; return whether it is over."""
    from optuna.trial import TrialState

    trial, run, process, told = trained
    code = process.poll()  # before its numbers are read, which are then all there
    returns = returns_by_tenth(run.folder, plan.total_timesteps)
    for tenth in sorted(returns.keys() - {*told}):
        trial.report(returns[tenth], tenth)
        told.append(tenth)
        if tenth < TENTHS and trial.should_prune():
            _end([trained])
            study.tell(trial, state=TrialState.PRUNED)
            percent = 100 * tenth // TENTHS
            print(f"{run.folder.name}: return {returns[tenth]:.1f} after {percent} %, pruned")
            return True
    if code is None:
        return False
    if code or not returns:
        study.tell(trial, state=TrialState.FAIL)
        words = failure(run, code)
        if not study.get_trials(states=(TrialState.COMPLETE,)):
            raise ValueError(words)
        print(words, flush=True)
        return True
    study.tell(trial, returns[max(returns)])
    best = study.best_trial
    print(
        f"{run.folder.name}: return {returns[max(returns)]:.1f} "
        f"(best so far {best.value:.1f}, {best.user_attrs['folder']})",
        flush=True,
    )
    return True


def report(study: "optuna.Study", plan: Plan) -> list[str]:
    """Write all trials to `trials.csv`; return the lines that say what was found.

    Raises:
        ValueError: when no trial has come to its end.
    """
    finished = {
        trial.user_attrs["folder"]: trial
        for trial in study.get_trials()
        # a process that was killed at once has begun none
        if trial.state.is_finished() and "folder" in trial.user_attrs
    }
    if not any(trial.state.name == "COMPLETE" for trial in finished.values()):
        failed = [folder for folder, trial in finished.items() if trial.state.name == "FAIL"]
        raise ValueError(
            f"no trial in {plan.out} came to its end: {len(failed)} of {len(finished)} failed, see "
            f"{plan.out / failed[0] / LOG}; mend the cause and choose another --out, or raise "
            "--trials"
        )
    path = plan.out / "trials.csv"
    _write_trials(path, finished, [*study.best_trial.user_attrs["settings"]])
    return [*_found(study.best_trial, finished, plan, path)]


def _write_trials(
    path: Path, finished: Mapping[str, "optuna.trial.FrozenTrial"], names: Sequence[str]
) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "state", "return", *names])
        for folder, trial in finished.items():
            settings = trial.user_attrs["settings"]
            values = [settings[name] for name in names]
            writer.writerow([folder, trial.state.name.lower(), _return(trial), *values])


def _found(
    best: "optuna.trial.FrozenTrial",
    finished: Mapping[str, "optuna.trial.FrozenTrial"],
    plan: Plan,
    path: Path,
) -> Iterator[str]:
    defaults = finished[FIRST]
    settings: dict[str, Any] = best.user_attrs["settings"]
    if best.user_attrs["folder"] == FIRST:
        yield f"best of {len(finished)} trials: the defaults, return {_return(best)}"
        yield f"trials: {path}"
        return
    found = f"return {_return(best)}, with the defaults {_return(defaults) or 'none'}"
    yield f"best of {len(finished)} trials: {best.user_attrs['folder']}, {found}"
    if plan.in_table:
        tuned = TUNED.get((plan.family, plan.config.algorithm), {})
        row = {**tuned, **{name: getattr(plan.config, name) for name in plan.held}, **settings}
        written = ", ".join(f'"{name}": {value!r}' for name, value in row.items())
        seed, steps = plan.config.seed, f"{plan.total_timesteps:,}"
        yield "row of metarl/learner/defaults.py:"
        yield f"    # {len(finished)} trials of {steps} steps, seed {seed}: {found}"
        yield f'    ("{plan.family}", "{plan.config.algorithm}"): {{{written}}},'
    words = [*plan.options(settings), *option("total_timesteps", plan.total_timesteps)]
    words = shlex.join(words)
    others = " ".join(str(plan.config.seed + number) for number in (1, 2, 3))
    yield f"trials: {path}"
    family, out = shlex.quote(plan.family), shlex.quote(str(plan.out / "seeds"))
    yield f"train: metarl train {family} --out runs/tuned {words}"
    yield (
        f"next, since the best on one seed is lucky too: metarl sweep {family} "
        f"--out {out} --seeds {others} {words}"
    )


def _return(trial: "optuna.trial.FrozenTrial") -> str:
    """Return a trial's last return in words; of one that failed there is none."""
    return "" if trial.value is None else f"{trial.value:.1f}"


def _end(running: Sequence[Trained]) -> None:
    """End processes; each saves its iteration first."""
    for trained in running:
        trained.process.terminate()
    for trained in running:
        trained.process.wait()


def returns_by_tenth(folder: Path, total_timesteps: int) -> dict[int, float]:
    """Return the mean return after adaptation in those tenths of a training that are over.

    Args:
        folder: of the run.
        total_timesteps: its environment steps in all.
    """
    try:
        names = ("time/total_timesteps", "rollout/return_after")
        steps, returns = columns(folder / "progress.csv", names)
    except FileNotFoundError:
        return {}
    tenths: dict[int, list[float]] = {}
    for step, value in zip(steps, returns, strict=True):
        tenth = min(TENTHS, math.ceil(TENTHS * step / total_timesteps))
        tenths.setdefault(tenth, []).append(value)
    last = TENTHS * steps[-1] // total_timesteps if len(steps) else 0
    return {tenth: float(np.mean(values)) for tenth, values in tenths.items() if tenth <= last}
