"""A progress bar that suits where it is shown: a terminal, a notebook, or a file of lines."""

import importlib.util
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

LINE_EVERY = 30.0
"""Seconds between two lines where output is no terminal."""


def bar(iterable: Iterable[Any] | None = None, *, show: bool = True, **settings: Any) -> tqdm:  # noqa: ANN401
    """Return tqdm's bar over an iterable, or to be updated by hand.

    A terminal and a notebook get a bar that is redrawn. A file or a pipe gets a line now and then,
    which a carriage return would make unreadable.

    Args:
        iterable: what is gone through.
        show: whether there is one at all.
        settings: of tqdm, such as `total` and `unit`.
    """
    kind: type[tqdm] = tqdm
    if not show:
        settings["disable"] = True
    elif _in_notebook():
        kind = _of_notebooks()
    elif not sys.stderr.isatty():
        kind = _Lines
    return kind(iterable, dynamic_ncols=True, **settings)


class _Lines(tqdm):
    """A line at the start, one every `LINE_EVERY` seconds, and one at the end."""

    def __init__(self, iterable: Iterable[Any] | None = None, **settings: Any) -> None:  # noqa: ANN401
        words = "{percentage:3.0f} % of {total_fmt} {unit}s, {elapsed}, {remaining} left{postfix}"
        settings |= {"mininterval": LINE_EVERY, "maxinterval": LINE_EVERY, "miniters": 1}
        # without `leave` tqdm ends with an empty message in place of its line break
        super().__init__(iterable, bar_format=words, leave=False, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print how far it is."""
        print(self, file=self.fp, flush=True)


def _in_notebook() -> bool:
    """Return whether cells are run by a Jupyter kernel: as tqdm finds out."""
    return "ipykernel.zmqshell" in sys.modules


def _of_notebooks() -> type[tqdm]:
    """Return the bar of notebooks, or the one of text where ipywidgets is not installed."""
    if importlib.util.find_spec("ipywidgets") is None:
        return tqdm
    from tqdm.notebook import tqdm as with_widgets

    return with_widgets
