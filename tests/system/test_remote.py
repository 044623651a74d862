"""Objects in other processes: calls, errors of any kind, deaths; and nothing is left running."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metarl.system.remote import Failure, Remote, spread


class Counter:
    def __init__(self, start: int) -> None:
        if start < 0:
            raise ValueError(f"cannot start at {start}")
        self.value = start

    def add(self, number: int) -> int:
        self.value += number
        return self.value

    def fail(self, make, *arguments):
        raise make(*arguments)


class TwoArgumentsError(Exception):
    def __init__(self, joint: str, torque: float) -> None:
        super().__init__(f"{joint} broke at {torque} Nm")


class BuiltError(Exception):
    def __init__(self, joint: str) -> None:
        super().__init__(f"joint {joint} broke")


class LockedError(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class UsersError(Exception):
    pass


@pytest.fixture(scope="module")
def counter() -> Iterator[Remote]:
    with Remote("counter", Counter, 0) as remote:
        remote.answer()
        yield remote


def test_an_object_is_made_and_called_elsewhere():
    with Remote("counter", Counter, 5) as remote:
        assert remote.answer() is None
        for number, expected in ((2, 7), (3, 10)):
            remote.call("add", number)
            assert remote.answer() == expected
        process = remote.process
    assert process.poll() == 0


@pytest.mark.parametrize(
    ("make", "arguments", "kind", "message"),
    [
        (ValueError, ("bad value",), ValueError, "bad value"),
        (UsersError, ("of the user's",), UsersError, "of the user's"),
        (
            TwoArgumentsError,
            ("knee", 3.5),
            RuntimeError,
            "TwoArgumentsError: knee broke at 3.5 Nm",
        ),
        (BuiltError, ("knee",), RuntimeError, "BuiltError: joint knee broke"),
        (LockedError, ("locked",), RuntimeError, "LockedError: locked"),
        (SystemExit, (3,), RuntimeError, "SystemExit: 3"),
        (KeyError, ("id",), KeyError, "'id'"),
    ],
)
def test_an_error_arrives_with_file_line_and_message(
    counter: Remote, make, arguments, kind, message
):
    counter.call("fail", make, *arguments)
    with pytest.raises(kind) as raised:
        counter.answer()
    assert str(raised.value).removeprefix(f"{__name__}.") == message
    (note,) = raised.value.__notes__
    assert note.startswith("in counter:\n")
    assert f'"{Path(__file__)}", line ' in note
    assert "raise make(*arguments)" in note
    counter.call("add", 0)
    assert counter.answer() == 0, "the object is still there"


def test_an_object_that_cannot_be_made_is_told():
    with Remote("counter", Counter, -1) as remote, pytest.raises(ValueError, match="start at -1"):
        remote.answer()


def test_a_process_that_dies_is_named():
    with Remote("counter", Counter, 0) as remote:
        remote.answer()
        os.kill(remote.process.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="counter ended with code -9; memory may have run"):
            call_and_wait(remote)


def call_and_wait(remote: Remote) -> None:
    """Either may be the first to see that the process is gone."""
    remote.call("add", 1)
    remote.answer()


def test_what_cannot_be_sent_starts_nothing():
    with pytest.raises(TypeError, match="pickle"):
        Remote("counter", Counter, threading.Lock())


def test_calls_are_spread_and_their_results_in_order():
    remotes = [Remote(f"counter {n}", Counter, 0) for n in range(3)]
    for remote in remotes:
        remote.answer()
    results = list(spread(remotes, "add", [(1,)] * 20))
    assert len(results) == 20
    assert results[0] == 1
    for remote in remotes:
        remote.call("add", 0)
    assert sum(remote.answer() for remote in remotes) == 20, "each call was made once"
    assert list(spread(remotes, "add", [])) == []
    for remote in remotes:
        remote.close()


def test_a_failure_that_cannot_be_loaded_says_the_same():
    failure = Failure(b"no pickle", "KneeError: broke", "line 3")
    error = failure.error("process 4")
    assert repr(error) == "RuntimeError('KneeError: broke')"
    assert error.__notes__ == ["in process 4:\nline 3"]


SCRIPT = """
from metarl.system.remote import Remote
class Here:
    def where(self):
        import json, pathlib
        return json.loads("1"), pathlib.Path.cwd().name
with Remote("a process", Here) as remote:
    remote.answer()
    remote.call("where")
    print(remote.answer())
"""


def test_files_in_the_current_folder_hide_no_modules(tmp_path: Path):
    """As for the script itself, which stands in another folder than it is started from."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(SCRIPT)
    (tmp_path / "json.py").write_text("raise ImportError('not this one')")
    done = subprocess.run(
        [sys.executable, "scripts/script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == f"(1, '{tmp_path.name}')\n", done.stderr
