"""Bars: redrawn in a terminal, lines elsewhere, widgets in a notebook that has them."""

import importlib.machinery
import io
import subprocess
import sys
from pathlib import Path

import pytest
import tqdm as tqdm_package

from metarl.system import progress
from metarl.system.progress import bar
from tests.terminal import shown_in_a_terminal

SCRIPT = """\
from metarl.system.progress import bar
shown = bar(total=4, unit="task")
for number in range(4):
    shown.set_postfix_str(f"return {number}", refresh=False)
    shown.update(1)
shown.close()
print(list(bar(range(3), show=False)), flush=True)
"""


def test_a_file_has_a_line_at_the_start_and_one_at_the_end(tmp_path: Path):
    with (tmp_path / "log.txt").open("wb") as log:
        subprocess.run([sys.executable, "-c", SCRIPT], check=True, stdout=log, stderr=log)
    text = (tmp_path / "log.txt").read_bytes().decode()
    assert "\r" not in text
    assert "\x1b" not in text
    first, last, others = text.splitlines()
    assert first.startswith("  0 % of 4 tasks, ")
    assert last.startswith("100 % of 4 tasks, ")
    assert last.endswith(", return 3")
    assert others == "[0, 1, 2]"


def test_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    assert list(bar(range(3), unit="step")) == [0, 1, 2]
    parts = [line.split(",")[0].strip() for line in written.getvalue().splitlines()]
    expected = ["0 % of 3 steps", "33 % of 3 steps", "67 % of 3 steps", "100 % of 3 steps"]
    assert parts == [*expected, expected[-1]]


def test_a_terminal_has_a_bar():
    shown = shown_in_a_terminal([sys.executable, "-c", SCRIPT])
    assert b"\r100%|" in shown.replace(b"\r\r", b"\r")
    assert b"4/4" in shown


def test_a_notebook_has_widgets_if_they_are_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", sys)
    find = progress.importlib.util.find_spec
    spec = importlib.machinery.ModuleSpec("ipywidgets", None)
    for found in (spec, None):
        monkeypatch.setattr(
            progress.importlib.util,
            "find_spec",
            lambda name, found=found: found if name == "ipywidgets" else find(name),
        )
        kind = progress._of_notebooks()
        assert kind.__module__ == ("tqdm.notebook" if found else "tqdm.std")
    assert type(bar(total=1)) is tqdm_package.tqdm, "a bar of text in a notebook without widgets"
