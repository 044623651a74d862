"""The commands that make runs: `train` and `tune` begin them, `resume` resumes one.

The settings of the first two have defaults that depend on what they are called with, so each is
made for it.
"""

import argparse
import itertools
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from tyro.conf import OmitArgPrefixes, Positional

from metarl.envs import catalogue
from metarl.envs.plain import whole
from metarl.family_option import (
    FamilyOption,
    Variant,
    family_of,
    family_words,
    is_reference,
    run_family,
)
from metarl.learner.config import MACHINE, AlgorithmName, Config, Saving
from metarl.learner.defaults import defaults
from metarl.options import documented, in_groups
from metarl.system.stopping import exit_stopped

if TYPE_CHECKING:
    from metarl.learner.maml import MAML


for _kind in (Variant, Saving):
    documented(_kind)


def train_command(start: Config, _: Collection[str] = ()) -> Callable[..., None]:
    """Return the command `train`, whose settings have these defaults."""

    def train(
        family: Positional[str],
        config: Config,
        out: Path | None = None,
        total_timesteps: int = 10_000_000,
        variant: OmitArgPrefixes[Variant] = Variant(),  # noqa: B008
        verbose: bool = False,
        saving: OmitArgPrefixes[Saving] = Saving(),  # noqa: B008
    ) -> None:
        """Train a meta-policy into a new run folder.

        Args:
            family: A task family (see `metarl families`), or FILE.py:FUNCTION or MODULE:FUNCTION,
                the function that returns one of your own.
            config: Settings of the meta-learner.
            out: The run folder to make; runs/FAMILY when left out, or runs/FAMILY-2 and so on where
                there is one.
            total_timesteps: Environment steps, of rollouts before and after adaptation together.
            variant: Of the family.
            verbose: Print a table every iteration.
            saving: When checkpoints are written.
        """
        from metarl.learner.maml import MAML
        from metarl.learner.runs import train as train_into

        is_own = is_reference(family) or family.endswith(".py")
        learner = MAML(variant.of(family), verbose=int(verbose), **asdict(config))
        reference = family if is_own else None
        folder = out or new_folder(learner.family.name)
        if out is None:
            print(f"run: {folder}", file=sys.stderr)
        _finish(
            lambda: train_into(
                learner,
                folder,
                total_timesteps,
                progress_bar=True,
                family_reference=reference,
                saving=saving,
            ),
            folder,
            reference,
        )

    train.__annotations__["config"] = in_groups(start)
    return train


RUNS = Path("runs")
"""Where the folders of those who name none are made."""


def new_folder(name: str) -> Path:
    """Return the first of `runs/NAME`, `runs/NAME-2`, `runs/NAME-3`, ... that does not exist."""
    numbered = (
        RUNS / (f"{name}-{number}" if number > 1 else name) for number in itertools.count(1)
    )
    return next(folder for folder in numbered if not folder.exists())


def tune_command(start: Config, named: Collection[str] = ()) -> Callable[..., None]:
    """Return the command `tune`, whose settings have these defaults.

    Args:
        start: the defaults.
        named: the settings that are given, whether or not as they are at their defaults.
    """

    def tune(
        family: Positional[str],
        config: Config,
        out: Path | None = None,
        trials: int = 20,
        total_timesteps: int = 1_000_000,
        side_by_side: int = 1,
        variant: OmitArgPrefixes[Variant] = Variant(),  # noqa: B008
    ) -> None:
        """Search for the settings that a family is learnt best with, by trials with Optuna.

        Args:
            family: As of `metarl train`.
            config: Settings of all trials. What is given here is not searched for; the seed is that
                of all trials and of the search.
            out: The folder of the study, runs/FAMILY-tune when left out; called again, the command
                resumes it.
            trials: How many, the first one with the defaults.
            total_timesteps: Environment steps of each trial.
            side_by_side: Trials at a time, which share the cores. The search depends on the seed
                alone when it is 1 and nothing interrupts it.
            variant: Of the family.
        """
        from metarl import tune as tuning
        from metarl.sweep_grid import changed, options

        whole("trials", trials)
        whole("side_by_side", side_by_side)
        whole("total_timesteps", total_timesteps)
        name = variant.of(family).name  # says what is wrong with it before anything runs
        config.check()
        given = {*named} - {"seed", *MACHINE}
        plan = tuning.Plan(
            family,
            out or RUNS / f"{name}-tune",
            config,
            held=tuple(sorted(given - {"algorithm"})),
            words=(
                *options(config, given | {"algorithm"}),
                *options(variant, changed(variant)),
            ),
            machine=tuple(options(config, {*named} & {*MACHINE})),
            total_timesteps=total_timesteps,
            in_table=variant == Variant() and not is_reference(family),
        )
        try:
            study = tuning.tune(plan, trials, side_by_side)
        except KeyboardInterrupt as stopped:
            exit_stopped(stopped, "stopped; the same command resumes all trials")
        for line in tuning.report(study, plan):
            print(line)

    tune.__annotations__["config"] = in_groups(start)
    return tune


def resume(
    run_folder: Positional[Path],
    total_timesteps: int | None = None,
    family: FamilyOption = None,
    saving: OmitArgPrefixes[Saving] = Saving(),  # noqa: B008
    device: str | None = None,
    threads: int | None = None,
    workers: int | str | None = None,
) -> None:
    """Resume a run; the results are identical to those of an uninterrupted one.

    Args:
        run_folder: The run folder that `metarl train` wrote.
        total_timesteps: Environment steps in all; default: as many as the run was started with.
        family: The function that returns the run's family, when it is not one of the catalogue's.
        saving: When checkpoints are written.
        device: As of `metarl train`; default: the value the run was started with.
        threads: As of `metarl train`; default: the value the run was started with.
        workers: As of `metarl train`; default: the value the run was started with, except that a
            cluster must be named again.
    """
    from metarl.learner.runs import resume

    own = run_family(run_folder, family)
    _finish(
        lambda: resume(
            run_folder,
            total_timesteps=total_timesteps,
            progress_bar=True,
            family=own,
            family_reference=family,
            saving=saving,
            device=device,
            threads=threads,
            workers=workers,
        ),
        run_folder,
        family,
    )


def _finish(training: "Callable[[], MAML]", folder: Path, reference: str | None) -> None:
    option, place = family_words(reference), shlex.quote(str(folder))
    try:
        learner = training()
    except KeyboardInterrupt as stopped:
        exit_stopped(stopped, f"stopped; resume with: metarl resume {place}{option}")
    print(f"{learner.num_timesteps:,} environment steps in {learner.iteration} iterations")
    print(f"run: {folder}\nnext: metarl evaluate {place}{option}")


def defaults_for(words: Sequence[str]) -> Config:
    """Return the defaults that `train` has for the family, preset and algorithm among these words.

    They are looked for before the command line is parsed, since tyro shows them in the help.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--algorithm", default=Config.algorithm)
    given, _ = parser.parse_known_args(words)
    known = given.algorithm if given.algorithm in get_args(AlgorithmName) else Config.algorithm
    name, preset = _family_among(words), given.preset
    if is_reference(name):
        own = family_of(name)
        name, preset = own.name, own.preset
    return Config(**defaults(name, preset, known))


def _family_among(words: Sequence[str]) -> str:
    """Return the first word that may be a family and is no option's value; nothing if none is."""
    kinds = (Config, Variant, Saving)
    switches = {field.name for kind in kinds for field in fields(kind) if field.type is bool}
    for before, word in zip(("", *words), words, strict=False):
        takes_none = "=" in before or _plain_name(before) in {*switches, "verbose"}
        if before.startswith("--") and not takes_none:
            continue
        if catalogue.knows(word) or is_reference(word):
            return word
    return ""


def named_among(words: Sequence[str]) -> set[str]:
    """Return the settings that are given by these words of the command line."""
    known = {field.name for field in fields(Config)}
    return {_plain_name(word) for word in words if word.startswith("--")} & known


def _plain_name(word: str) -> str:
    """Return the field that an option sets: `learned_rates` of `--no-learned-rates`."""
    name = word.removeprefix("--").partition("=")[0].replace("-", "_")
    return name.removeprefix("no_")
