"""The command line: dispatch, and the commands that list families and make runs.

Each command is a function that tyro parses the arguments of; packages that take long to load, such
as torch, are imported when a command is called.
"""

import argparse
import json as json_format
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from metarl import envs
from metarl.commands_on_runs import compare, evaluate, render, report, similarity
from metarl.family_option import (
    FamilyOption,
    Variant,
    family_of,
    family_words,
    is_reference,
    run_family,
)
from metarl.learner.config import AlgorithmName, Config, Saving
from metarl.learner.defaults import defaults
from metarl.sweep_command import sweep_command
from metarl.system.stopping import Stopping

if TYPE_CHECKING:
    from metarl.learner.maml import MAML


def families(family: Positional[str | None] = None, json: bool = False) -> None:
    """List the task families, or describe one.

    Args:
        family: A family, or the function that returns one of your own; all when left out.
        json: Print JSON.
    """
    names = envs.families() if family is None else (family,)
    own = family is not None and is_reference(family)
    rows = [
        {**made.describe(), "presets": envs.presets(name)}
        for name in names
        for made in [family_of(name) if own else envs.make(name)]
    ]
    if json:
        print(json_format.dumps(rows, indent=2))
        return
    for row in rows:
        words = [row[part] for part in ("robot", "goal") if part in row]
        print(f"{row['name']}: {', '.join([*words, str(row['horizon'])])} steps")
        print(f"    varies   {'; '.join(row['varies'])}")
        print(f"    spaces   observation {row['observation_size']}, action {row['action_size']}")
        if row["presets"]:
            print(f"    presets  {', '.join(row['presets'])}")
        if "source" in row:
            print(f"    source   {row['source']}")
    if family is None:
        _print_lacking()


def inspect(robot: Positional[str], scene: str = "scene") -> None:
    """Print what a robot's MJCF file holds, and the lines that make a family of tasks of it.

    Args:
        robot: The file, a scene with a floor for a robot that walks; or the name of a robot of
            MuJoCo Menagerie, such as unitree_go1.
        scene: Of a robot of Menagerie, the file in its folder, without .xml.
    """
    from metarl.envs.inspection import inspect as describe
    from metarl.envs.robots.menagerie import menagerie_file

    is_file = robot.endswith(".xml") or Path(robot).exists()
    path = Path(robot) if is_file else menagerie_file(robot, scene)
    print(describe(path))


def _print_lacking() -> None:
    """Print the families whose robots are not installed, and what brings them."""
    lacking = envs.lacking()
    for how in dict.fromkeys(lacking.values()):
        print(f"\nnot installed: {', '.join(n for n, brings in lacking.items() if brings == how)}")
        print(f"    needed   {how}")


def train_command(start: Config) -> Callable[..., None]:
    """Return the command `train`, whose settings have these defaults."""

    def train(
        family: Positional[str],
        out: Path,
        config: OmitArgPrefixes[Config] = start,
        variant: OmitArgPrefixes[Variant] = Variant(),  # noqa: B008
        total_timesteps: int = 10_000_000,
        verbose: bool = False,
        saving: OmitArgPrefixes[Saving] = Saving(),  # noqa: B008
    ) -> None:
        """Train a meta-policy into a new run folder.

        Args:
            family: A task family (see `metarl families`), or FILE.py:FUNCTION or MODULE:FUNCTION,
                the function that returns one of your own.
            out: The run folder to make.
            config: Settings of the meta-learner; the defaults are those of the family, preset and
                algorithm named.
            variant: Of the family.
            total_timesteps: Environment steps, of rollouts before and after adaptation together.
            verbose: Print a table every iteration.
            saving: When checkpoints are written.
        """
        from metarl.learner.maml import MAML
        from metarl.learner.runs import train as train_into

        is_own = is_reference(family) or family.endswith(".py")
        learner = MAML(variant.of(family), verbose=int(verbose), **asdict(config))
        reference = family if is_own else None
        _finish(
            lambda: train_into(
                learner,
                out,
                total_timesteps,
                progress_bar=True,
                family_reference=reference,
                saving=saving,
            ),
            out,
            reference,
        )

    return train


def resume(
    run_folder: Positional[Path],
    total_timesteps: int | None = None,
    family: FamilyOption = None,
    saving: OmitArgPrefixes[Saving] = Saving(),  # noqa: B008
    workers: int | str | None = None,
) -> None:
    """Resume a run; the results are identical to those of an uninterrupted one.

    Args:
        run_folder: The run folder that `metarl train` wrote.
        total_timesteps: Environment steps in all; as many as at its start when left out.
        family: The function that returns the run's family, when it is not one of the catalogue's.
        saving: When checkpoints are written.
        workers: As of `metarl train`; as at its start when left out, but not on a cluster.
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
            workers=workers,
        ),
        run_folder,
        family,
    )


def demo(out: Path = Path("runs/demo"), total_timesteps: int = 1_000_000, seed: int = 0) -> None:
    """Train a small meta-policy on HalfCheetah, evaluate it on new tasks and film it.

    Args:
        out: The run folder; an earlier demo in it is replaced.
        total_timesteps: Environment steps.
        seed: Decides everything random.
    """
    from metarl.demo import demo

    print("HalfCheetah learns to run forward or back, whichever a new task asks for.")
    evaluation, files = demo(out, total_timesteps, seed)
    print(evaluation)
    for kind, path in files.items():
        print(f"{kind}: {path}")


def _finish(training: "Callable[[], MAML]", folder: Path, reference: str | None) -> None:
    option = family_words(reference)
    try:
        learner = training()
    except KeyboardInterrupt as stopped:
        print(f"\nstopped; resume with: metarl resume {folder}{option}", file=sys.stderr)
        sys.exit(getattr(stopped, "code", 130))
    print(f"{learner.num_timesteps:,} environment steps in {learner.iteration} iterations")
    print(f"run: {folder}\nnext: metarl evaluate {folder}{option}")


def _warn(message: Warning | str, *_: object) -> None:
    """Print a warning in one line, without the source line that Python adds."""
    print(f"metarl: {message}", file=sys.stderr)


def defaults_for(words: Sequence[str]) -> Config:
    """Return the defaults that `train` has for the family, preset and algorithm among these words.

    They are looked for before the command line is parsed, since tyro shows them in the help.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--algorithm", default=Config.algorithm)
    given, _ = parser.parse_known_args(words)
    known = given.algorithm if given.algorithm in get_args(AlgorithmName) else Config.algorithm
    name, preset = next((word for word in words if word in envs.families()), ""), given.preset
    if words and is_reference(words[0]):
        own = family_of(words[0])
        name, preset = own.name, own.preset
    return Config(**defaults(name, preset, known))


def run(words: Sequence[str]) -> None:
    """Run one command; bad input ends with one line and exit code 2.

    Args:
        words: the command's name and its arguments.
    """
    warnings.showwarning = _warn
    name, *rest = words
    commands = (families, inspect, resume, evaluate, compare, similarity, render, report, demo)
    others = {command.__name__: command for command in commands}
    try:
        if name in ("train", "sweep") and rest[:1] == ["--family"]:
            del rest[0]  # the family is positional here, but other commands have the option
        makes = {"train": train_command, "sweep": sweep_command}
        command = makes[name](defaults_for(rest)) if name in makes else others[name]
        with Stopping():
            tyro.cli(command, prog=f"metarl {name}", args=rest)
    except KeyboardInterrupt as stopped:
        print("\nmetarl: stopped", file=sys.stderr)
        sys.exit(getattr(stopped, "code", 130))
    except BrokenPipeError:
        raise  # no bad input: see `metarl.cli.main`
    except (ValueError, OSError, RuntimeError) as error:
        print(f"metarl: {error}", file=sys.stderr)
        sys.exit(2)
