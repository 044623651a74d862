"""The end of a message about an unknown word."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what was probably meant, and all there is."""
    known = list(known)
    if not known:
        return "; there are none"
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"{hint} (there are: {', '.join(known)})"
