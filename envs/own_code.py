"""What is told of an error that came up in code of the user's own: where, and in what words."""

import sysconfig
import traceback
from pathlib import Path

_OURS = Path(__file__).parents[1]
_LIBRARIES = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")]


def place(error: Exception) -> str:
    """Return where in the user's own code an error came up, or nothing when it never ran.

    Where metarl or a library raised it, this is the user's line that called them.
    """
    if isinstance(error, SyntaxError):
        return f" ({error.filename}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_file()
        and "importlib" not in frame.filename
        and not Path(frame.filename).is_relative_to(_OURS)
    ]
    # an installed package may be the user's own
    own = [frame for frame in frames if not _of_a_library(frame.filename)] or frames
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def in_words(error: Exception) -> str:
    """Return an error's kind and message, in one line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}"


def _of_a_library(file: str) -> bool:
    return any(Path(file).resolve().is_relative_to(folder) for folder in _LIBRARIES)
