"""The command line: dispatch, and the commands that list families and inspect models.

Each command is a function that tyro parses the arguments of; packages that take long to load, such
as torch, are imported when a command is called.
"""

import json as json_format
import math
import os
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import tyro
from tyro.conf import Positional
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
)

from metarl import envs
from metarl.commands_of_training import (
    defaults_for,
    named_among,
    resume,
    train_command,
    tune_command,
)
from metarl.commands_on_runs import compare, evaluate, render, report, similarity
from metarl.envs import metaworld_families
from metarl.envs.family import Family
from metarl.envs.task_family import TaskFamily
from metarl.family_option import family_of, is_reference
from metarl.learner.config import Config
from metarl.options import readable
from metarl.sweep_command import sweep_command
from metarl.system.stopping import Stopping, exit_stopped


def families(family: Positional[str | None] = None, json: bool = False) -> None:
    """List the task families, or describe one.

    Args:
        family: A family, or the function that returns one of your own; all when left out.
        json: Print JSON.
    """
    names = envs.families() if family is None else (family,)
    own = family is not None and is_reference(family)
    rows = [
        {**made.describe(), "presets": envs.presets(name), **_reward(made)}
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
        if "reward" in row:
            print(f"    reward   {row['reward']}")
        print(f"    spaces   observation {row['observation_size']}, action {row['action_size']}")
        if row["presets"]:
            print(f"    presets  {', '.join(row['presets'])}")
        if "source" in row:
            print(f"    source   {row['source']}")
    if family is None:
        _print_others()


def _reward(family: Family) -> dict[str, str]:
    """Return the reward of a step in words, of families that know it."""
    return {"reward": family.formula} if isinstance(family, TaskFamily) else {}


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


def _print_others() -> None:
    """Print Meta-World's families, and which families need further packages, with the command."""
    print(f"\nMeta-World: {metaworld_families.SUMMARY}")
    if not metaworld_families.available():
        print(f"    needed   {metaworld_families.HOW}")
    lacking = envs.lacking()
    for how in dict.fromkeys(lacking.values()):
        print(f"\nnot installed: {', '.join(n for n, brings in lacking.items() if brings == how)}")
        print(f"    needed   {how}")


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


def _warn(message: Warning | str, *_: object) -> None:
    """Print a warning in one line, without the source line that Python adds."""
    print(f"metarl: {message}", file=sys.stderr)


_MADE = {"train": train_command, "sweep": sweep_command, "tune": tune_command}
"""Commands whose defaults depend on what they are called with."""
_COMMANDS = {
    command.__name__: command
    for command in (
        families,
        inspect,
        resume,
        evaluate,
        compare,
        similarity,
        render,
        report,
        demo,
    )
}


_NUMBERS = ConstructorRegistry()
"""How whole numbers are read from the command line."""


@_NUMBERS.primitive_rule
def _whole_numbers(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Let whole numbers be written as 1_000_000 or 1e6."""
    if kind.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda words: _whole_number(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


def _whole_number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        pass
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise ValueError(f"it must be a whole number, such as 1_000_000 or 1e6, got {word!r}")
    return int(number)


_LISTS = (
    "--task",
    "--split",
    "--rollouts",
    "--steps",
    "--library",
    "--hidden",
    "--seeds",
    "--grid",
)
"""Options that take several values, of some command."""


def _check_lists(words: Sequence[str]) -> None:
    """Check that no list option is given twice; tyro would use only the last one.

    Raises:
        ValueError: with the option, and how its values are given.
    """
    named = [word.split("=")[0] for word in words]
    for option in _LISTS:
        if named.count(option) > 1:
            raise ValueError(f"{option} is given twice: give all of its values after one {option}")


def print_completion(shell: str, names: Iterable[str]) -> None:
    """Print the script that completes `metarl` in a shell, with the commands of these names."""
    from metarl.completion import script

    made = {name: make(Config()) for name, make in _MADE.items()}
    commands = {**_COMMANDS, **made}
    print(script(shell, {name: commands[name] for name in names}), end="")


def run(words: Sequence[str]) -> None:
    """Run one command; bad input ends with one line and exit code 2.

    Args:
        words: the command's name and its arguments.
    """
    warnings.showwarning = _warn
    name, *rest = words
    if os.environ.get("NO_COLOR"):  # https://no-color.org, which tyro does not look at
        tyro._experimental_options["ansi_codes"] = False
    try:
        if name in _MADE and rest[:1] == ["--family"]:
            del rest[0]  # the family is positional here, but other commands have the option
        _check_lists(rest)
        command = _COMMANDS.get(name) or _MADE[name](defaults_for(rest), named_among(rest))
        with Stopping():
            tyro.cli(readable(command), prog=f"metarl {name}", args=rest, registry=_NUMBERS)
    except KeyboardInterrupt as stopped:
        exit_stopped(stopped, "metarl: stopped")
    except BrokenPipeError:
        raise  # no bad input: see `metarl.cli.main`
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"metarl: {_reason(error)}", file=sys.stderr)
        sys.exit(2)


def _reason(error: Exception) -> str:
    """Return what was wrong in words; of memory, allocators do not say what to do."""
    words = f"{error}"
    asked = re.search(r"(?:[Tt]ried|[Uu]nable) to allocate ([\d.]+ \w+)", words)
    if not isinstance(error, MemoryError) and not (asked and isinstance(error, RuntimeError)):
        return words
    amount = f" for {asked[1]}" if asked else ""
    return (
        f"not enough memory{amount}; fewer tasks or rollouts, a shorter horizon or smaller hidden "
        "layers need less"
    )
