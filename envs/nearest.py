"""What an error about an unknown name ends with: the names that were probably meant, and all."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of an error message: a spelling hint if there is one, and all known names.

    Args:
        word: the unknown name.
        known: the valid ones.
    """
    known = list(known)
    if not known:
        return "; there are none"
    by_letters = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(
        word.casefold(), by_letters, n=3, cutoff=0.5
    )  # cutoff: similarity ratio, 0 to 1
    hint = f"; did you mean {' or '.join(by_letters[name] for name in close)}?" if close else ""
    return f"{hint} (there are: {', '.join(known)})"


def check_preset(family: str, preset: str, known: Iterable[str]) -> None:
    """Check that a family has a preset.

    Args:
        family: its name.
        preset: the preset asked for; every family has `default`.
        known: the family's others.

    Raises:
        ValueError: when it has not.
    """
    known = tuple(known)
    if preset not in ("default", *known):
        raise ValueError(f"{family} has no preset {preset!r}{nearest(preset, known)}")
