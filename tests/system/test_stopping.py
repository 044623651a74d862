"""Ctrl-C, once and again: a run that can be resumed, and nothing left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import metarl
from metarl.system import stopping
from metarl.system.stopping import Stopped, Stopping


def ask(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes that the process would have ended with."""
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(stopping.os, "_exit", end)
    return codes


def test_the_first_signal_is_noted_and_the_second_ends_at_once(ended: list[int], capfd):
    with Stopping("stopping soon") as asked:
        assert not asked.asked
        ask()
        assert asked.asked == signal.SIGINT
        assert not ended
        assert capfd.readouterr().err == "\nstopping soon\n"
        with pytest.raises(SystemExit):
            ask(signal.SIGTERM)
    assert ended == [143]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_words_the_first_signal_raises(ended: list[int]):
    with pytest.raises(Stopped, match="SIGTERM") as stopped, Stopping():
        ask(signal.SIGTERM)
    assert stopped.value.code == 143
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert not ended


def test_the_signal_after_that_of_an_inner_block_is_a_second_one(ended: list[int]):
    with Stopping():
        with Stopping("soon"):
            ask()
        with pytest.raises(SystemExit):
            ask()
    assert ended == [130]


def test_other_threads_change_nothing():
    found = []

    def in_a_thread() -> None:
        with Stopping("soon"):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_processes_end_with_this_one(ended: list[int]):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stopping.CHILDREN.add(child)
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    with pytest.raises(SystemExit):
        stopping.end_at_once(3)
    assert child.wait(10) == -signal.SIGKILL
    other.join(10)
    assert other.exitcode == -signal.SIGKILL
    assert ended == [3]


def running(session: int) -> list[str]:
    """Command lines of the processes of a session, and of sampling processes begun under it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"STOPPED_TEST={session}".encode() in environment and words:
            found.append(words)
    return found


@pytest.mark.parametrize(
    ("signals", "workers"),
    [
        (3, 1),
        pytest.param(1, 1, marks=pytest.mark.slow),
        pytest.param(1, 2, marks=pytest.mark.slow),
        pytest.param(2, 2, marks=pytest.mark.slow),
        pytest.param(3, 2, marks=pytest.mark.slow),
    ],
)
def test_training_stops_without_a_crash_and_leaves_nothing(
    signals: int, workers: int, tmp_path: Path
):
    """While two threads are in native code, whose interpreter must not exit under them."""
    folder = tmp_path / "run"
    words = ["train", "HalfCheetahDir", "--out", folder, "--tasks", "8", "--rollouts", "10"]
    words += ["--workers", workers, "--threads", "2", "--horizon", "300"]
    process = subprocess.Popen(
        [sys.executable, "-m", "metarl", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STOPPED_TEST": str(id(folder))},
    )
    progress = folder / "progress.csv"
    for _ in range(1200):
        # an iteration is over, so that all processes are up: `import mujoco` starts one of its own
        # for a moment, which complains when it is cut off
        if progress.exists() and progress.stat().st_size:
            break
        time.sleep(0.05)
    time.sleep(0.5)
    for number in range(signals):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05 * (number < signals - 1))
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "Fatal" not in said
    assert "stopping when this iteration is done and saved; once more stops at once" in said
    learner = metarl.load(folder)
    if signals == 1:
        assert f"stopped; resume with: metarl resume {folder}" in said
        assert learner.iteration >= 1, "the iteration was finished and saved"
    deadline = time.monotonic() + 10.0
    while running(id(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running(id(folder)) == []
