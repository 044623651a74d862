"""The command line's overview of commands; a command's own modules load when it is named."""

import argparse
import os
import sys

COMMANDS = {
    "families": "List the task families, or describe one.",
    "inspect": "Print what a robot's MJCF file holds, and the lines that make a family of tasks of "
    "it.",
    "train": "Train a meta-policy into a new run folder.",
    "resume": "Resume a run; the results are identical to those of an uninterrupted one.",
    "sweep": "Train several seeds, and a grid of settings, side by side; then show a table.",
    "tune": "Search for the settings that a family is learnt best with, by trials with Optuna.",
    "evaluate": "Measure the return before and after adaptation, on tasks drawn apart from those "
    "of training.",
    "compare": "Compare adaptation with fine-tuning and with training from scratch, on the same "
    "new tasks.",
    "similarity": "Learn how similar tasks are, and make a library of skills for new tasks to "
    "start from.",
    "render": "Film a policy before and after adaptation, side by side or one as a ghost.",
    "report": "Write a run's tables, figures and a film to one HTML file that needs no network.",
    "demo": "Train a small meta-policy on HalfCheetah, evaluate it on new tasks and film it.",
}
"""The first line of each command's description, here too so that the overview loads nothing."""


def main() -> None:
    """Run the command that is named, or show the overview."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, as long as the process
    try:
        _main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # who read the output, such as `head`, has closed it; Python would complain once more when
        # it flushes at exit (see the documentation of the signal module)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # 128 + SIGPIPE, as a shell has it


def _main(words: list[str]) -> None:
    if words and words[0] in COMMANDS:
        from metarl.commands import run

        run(words)
        return
    parser = argparse.ArgumentParser(
        prog="metarl",
        description="Robots that learn new skills in a few tries.",
        epilog="metarl COMMAND --help shows a command's options.",
    )
    parser.add_argument(
        "--print-completion",
        choices=("bash", "zsh"),
        help="print the script that completes commands and options, and end",
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    shell = parser.parse_args(words).print_completion
    if shell is None:
        parser.error("the following arguments are required: COMMAND")
    from metarl.commands import print_completion

    print_completion(shell, COMMANDS)
