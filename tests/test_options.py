"""Settings on the command line: each in one group, with its docstring, default and paragraphs."""

import dataclasses
import inspect
import os
import re
import sys
from typing import Any

import pytest
import tyro

from metarl.commands_of_training import defaults_for, train_command
from metarl.learner.config import Config
from metarl.options import GROUPS, documented, readable
from tests.terminal import shown_in_a_terminal
from tests.test_cli import metarl


def test_each_setting_is_in_one_group():
    names = [name for group in GROUPS.values() for name in group.settings]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(Config))


@pytest.mark.parametrize("command", ["train", "sweep", "tune"])
def test_help_has_the_groups_in_their_order_and_the_familys_defaults(command: str):
    shown = metarl(command, "--algorithm", "siamese", "--help").stdout
    assert shown.index("options") < shown.index("usual options")
    places = [shown.index(f" {name.replace('_', '-')} options ") for name in GROUPS]
    assert places == sorted(places)
    plain = " ".join(shown.replace("│", "").split())
    assert f"--outer-lr FLOAT {docstrings_of_config()['outer_lr']} (default: 0.002)" in plain
    for group in GROUPS.values():
        assert group.summary in plain


def docstrings_of_config() -> dict[str, str]:
    """The docstrings as the source has them, between the field and the next one."""
    source = inspect.getsource(Config)
    found = re.findall(
        r'^    (\w+): [^\n]* = [^\n]*\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL
    )
    return {name: " ".join(text.split()) for name, text in found}


def test_options_become_the_config():
    given: list[Config] = []

    def train(out: str, config: Config) -> None:
        """Take them."""
        given.append(config)

    start = defaults_for(["HalfCheetahVel", "--algorithm", "siamese"])
    train.__annotations__["config"] = train_command(start).__annotations__["config"]
    words = ["--out", "x", "--hidden", "8", "16", "--workers", "ray", "--no-normalise-advantages"]
    tyro.cli(train, args=words)
    changes: dict[str, Any] = {"hidden": (8, 16), "workers": "ray", "normalise_advantages": False}
    assert given == [dataclasses.replace(start, **changes)]


def test_docstrings_are_paragraphs():
    @dataclasses.dataclass
    class Settings:
        size: int = 3
        """How large
        it is."""
        name: str = ""

    documented(Settings)
    assert Settings.__annotations__["size"].__metadata__[0].help == "How large it is."
    assert Settings.__annotations__["name"] is str

    def command(size: int) -> None:
        """Do it.

        Args:
            size: How large
                it is.
        """

    once = readable(command).__doc__
    assert once == "Do it.\n\nArgs:\n    size: How large it is."
    assert readable(command).__doc__ == once


def test_a_terminal_has_colours_unless_they_are_unwanted():
    for unwanted in ("", "1"):
        environment = {**os.environ, "NO_COLOR": unwanted, "TERM": "xterm"}
        words = [sys.executable, "-m", "metarl", "demo", "--help"]
        shown = shown_in_a_terminal(words, environment)
        assert b"--total-timesteps" in shown
        assert (b"\x1b[" in shown) == (not unwanted)
