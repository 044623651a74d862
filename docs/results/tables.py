"""Tables as Markdown, and where they stand in pages: between two marks of their name."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from metarl.system.files import whole_file


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown; a row that is too short ends with empty cells."""
    empty = [""] * len(names)
    lines = [_line(names), "| --- " * len(names) + "|"]
    return "\n".join(lines + [_line([*row, *empty[len(row) :]]) for row in rows])


def write(page: Path, name: str, text: str) -> None:
    """Put text between the marks of a name in a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    with whole_file(page) as temporary:
        temporary.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
