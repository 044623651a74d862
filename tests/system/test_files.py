"""Files that appear whole or not at all."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from metarl.system.files import make_folder, remove_leftovers, whole_file, write_json


def test_the_file_appears_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "deep" / "er" / "numbers.json"
    with whole_file(path) as temporary:
        assert temporary.parent == path.parent, "a move within a file system is atomic"
        assert temporary.suffix == ".json"
        temporary.write_text("[1, 2]")
        assert not path.exists()
    assert path.read_text() == "[1, 2]"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "numbers.json"
    path.write_text("old")

    def interrupted() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_others_may_read_it_as_the_umask_says(tmp_path: Path, mask: int):
    """As `open` makes files; temporary ones are private."""
    before = os.umask(mask)
    try:
        with whole_file(tmp_path / "a") as temporary:
            temporary.write_text("a")
        (tmp_path / "b").write_text("b")
    finally:
        os.umask(before)
    ours, theirs = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab")
    assert ours == theirs == 0o666 & ~mask


def test_a_place_that_cannot_be_written_to_shows_before_the_work(tmp_path: Path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "a", tmp_path / "file" / "deep" / "a"):
        reason = f"^{tmp_path / 'file'} is a file; it must be a folder$"
        with pytest.raises(NotADirectoryError, match=reason), whole_file(place):
            pytest.fail("the block ran")
    reason = f"^{tmp_path} is a folder; it must be a file$"
    with pytest.raises(IsADirectoryError, match=reason), whole_file(tmp_path):
        pytest.fail("the block ran")


def test_a_folder_is_made_where_no_file_is_in_its_place(tmp_path: Path):
    for _ in range(2):
        make_folder(tmp_path / "deep" / "er")
    assert (tmp_path / "deep" / "er").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file; it must be a folder"):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, PermissionError), (errno.EROFS, OSError)]
)
def test_a_folder_that_cannot_be_written_to_keeps_its_file_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[OSError]
):
    path = tmp_path / "numbers.json"
    path.write_text("old")

    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("metarl.system.files.tempfile.mkstemp", refuse)
    reason = f"numbers.json cannot be written: {os.strerror(number)}; the file .* is unchanged"
    with pytest.raises(kind, match=reason), whole_file(path):
        pytest.fail("the block ran")
    assert path.read_text() == "old"


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="none"), whole_file(tmp_path / "film.mp4"):
        (tmp_path / "none").read_text()
    reason = r"film\.mp4 cannot be written: No such file"
    with pytest.raises(OSError, match=reason), whole_file(tmp_path / "film.mp4") as temporary:
        temporary.unlink()


def test_what_killed_writers_left_is_removed(tmp_path: Path):
    others = ["numbers.json", ".other-abc.json", ".numbers-abc.csv", "numbers-1.json"]
    for name in (*others, ".numbers-abc.json", ".numbers-x1_y.json"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "numbers.json")
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_plain_data_are_written_as_json(tmp_path: Path):
    path, data = tmp_path / "numbers.json", {"returns": [1.5, -2.0], "family": "Point2D"}
    write_json(path, data)
    assert path.read_text() == json.dumps(data, indent=2) + "\n"
    write_json(path, data, indent=None)
    assert path.read_text() == json.dumps(data) + "\n"
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"returns": tmp_path})
    assert json.loads(path.read_text()) == data, "what was there before is unchanged"
