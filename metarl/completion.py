"""Tab completion: a script for bash, which zsh runs as well, that knows commands and options.

It is written once and runs without Python, so that a press of the key takes no time.
"""

import io
import os
import re
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from unittest import mock

import tyro

from metarl import envs
from metarl.pretrained.policies import PREFIX, names

SHELLS = ("bash", "zsh")
OF_FAMILIES = ("families", "train", "sweep", "tune")
"""Commands whose first word is a family; that of the others is a run, a file or nothing."""
WITHOUT_RUN = (*OF_FAMILIES, "inspect", "resume", "demo")

_SCRIPT = """\
_metarl() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    # bash parts words at colons: put pretrained:NAME together again
    if [[ $word == : ]]; then word="$before:"
    elif [[ $before == : ]]; then word="${{COMP_WORDS[COMP_CWORD-2]}}:$word"; fi
    local place="${{COMP_WORDS[1]}} $before"
    [[ $COMP_CWORD == 1 ]] && place=""
    case "$place" in
        "") words="{commands}" ;;
{choices}
        # behind an option without choices: a path or a number
        *) [[ $before == --* && $word != -* ]] || case "${{COMP_WORDS[1]}} $word" in
{options}
{starts}
        esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ $word == *:* ]] && COMPREPLY=("${{COMPREPLY[@]#"${{word%"${{word##*:}}"}}"}}")
    return 0
}}
complete -o default -F _metarl metarl
"""
_ZSH = "#compdef metarl\nautoload -U +X bashcompinit && bashcompinit\n"


def script(shell: str, commands: Mapping[str, Callable[..., None]]) -> str:
    """Return the script that completes `metarl`, to be read by a shell when it starts.

    Args:
        shell: one of `SHELLS`.
        commands: by their names.

    Raises:
        ValueError: for another shell.
    """
    if shell not in SHELLS:
        raise ValueError(f"completion is for {' or '.join(SHELLS)}, got {shell!r}")
    families, policies = " ".join(envs.families()), " ".join(f"{PREFIX}{name}" for name in names())
    options, choices, starts = [], [], []
    for name, command in commands.items():
        found = _options(name, command)
        options.append(f'            "{name} -"*) words="{" ".join(found)}" ;;')
        choices += [
            f'        "{name} {option}") words="{" ".join(values)}" ;;'
            for option, values in found.items()
            if values
        ]
        if name in OF_FAMILIES or name not in WITHOUT_RUN:
            first = families if name in OF_FAMILIES else policies
            starts.append(f'            "{name} "*) words="{first}" ;;')
    text = _SCRIPT.format(
        commands=" ".join(commands),
        options="\n".join(options),
        choices="\n".join(choices),
        starts="\n".join(starts),
    )
    return (_ZSH if shell == "zsh" else "") + text


def _options(name: str, command: Callable[..., None]) -> dict[str, list[str]]:
    """Return the options that a command's help shows, each with the words that it may have."""
    shown = io.StringIO()
    wide = mock.patch.dict(os.environ, {"COLUMNS": "1000"})
    with wide, redirect_stdout(shown), suppress(SystemExit):
        tyro.cli(command, prog=f"metarl {name}", args=["--help"])
    found: dict[str, list[str]] = {}
    # tyro draws boxes where the output's encoding has them, indents elsewhere, and sets boxes side
    # by side where there is room
    for line in re.findall(r"(?:│ |  )(--[a-z].*?)(?=  |$)", shown.getvalue(), flags=re.MULTILINE):
        values = re.findall(r"\{([\w,-]+)\}", line)
        for option in re.findall(r"--[\w-]+", line):
            found[option] = values[0].split(",") if values and values[0] != "None" else []
    return found
