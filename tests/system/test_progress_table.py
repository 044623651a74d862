"""Columns of `progress.csv`: as they are written, half-written, and of other files."""

from pathlib import Path

import pytest

from metarl.system.progress_table import columns


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path):
    path = tmp_path / "progress.csv"
    for text, expected in (("", []), ("steps,gain\r\n", []), ("steps,gain\r\n5,1\r\n7", [1.0])):
        path.write_text(text)
        assert [column.tolist() for column in columns(path, ["gain"])] == [expected]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"steps,loss\n5,1\n", "it lacks the column 'gain'"),
        (b"steps,gain\n5\n", "gain must be a number, got 'nothing'"),
        (b"steps,gain\n5,much\n", "gain must be a number, got 'much'"),
        (b"\xff\xfe\x00\n", "it is no text"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "progress.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"progress.csv cannot be read: {message}; move it away"):
        columns(path, ["steps", "gain"])
