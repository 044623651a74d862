"""Ctrl-C and SIGTERM: the first asks to stop, the second ends the process at once.

An interpreter that exits while threads of its own are in native code, such as a simulation's, ends
in a segmentation fault. So the first signal lets what runs come to its end, and the second does not
exit through the interpreter: the kernel ends all threads together.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import weakref
from types import FrameType
from typing import Any, NoReturn

CHILDREN: "weakref.WeakSet[subprocess.Popen[bytes]]" = weakref.WeakSet()
"""Processes that end with this one."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal asked to stop."""

    def __init__(self, number: int) -> None:
        """Take the signal's number."""
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number
        """What a shell expects a process to end with."""


class Stopping:
    """Handles both signals in a `with` block; of nested blocks, the innermost handles them.

    In a thread other than the main one, which Python gives no signals, it changes nothing.
    """

    def __init__(self, words: str = "") -> None:
        """Set what the first signal does.

        Args:
            words: said at the first signal, which then only sets `asked`; without words it raises
                `Stopped` wherever the main thread is.
        """
        self._words = words
        self._before: dict[int, Any] = {}
        self.asked = 0
        """The number of the signal that asked to stop; 0 before."""

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
            if outer := _stopping(handler):  # its next signal is the second one
                outer.asked = outer.asked or self.asked

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.asked:
            end_at_once(128 + number)
        self.asked = number
        if not self._words:
            raise Stopped(number)
        # no `print`: the signal may have come in the middle of one
        os.write(2, f"\n{self._words}\n".encode())


def exit_stopped(stopped: KeyboardInterrupt, words: str) -> NoReturn:
    """Say what follows from a stop, and exit with the code that a shell expects after it."""
    print(f"\n{words}", file=sys.stderr)
    sys.exit(getattr(stopped, "code", 128 + signal.SIGINT))


def _stopping(handler: Any) -> Stopping | None:  # noqa: ANN401, as `signal` has them
    """Return the block that a signal's handler is of; None for another handler."""
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, Stopping) else None


def end_at_once(code: int) -> NoReturn:
    """End this process and those it started, without waiting for anything."""
    for child in (*CHILDREN, *multiprocessing.active_children()):
        child.kill()  # does nothing to one that has ended
    os._exit(code)


def stop_with_parent() -> None:
    """Let this process stop, as at SIGTERM, when the one that began it is gone.

    Its standard input must be a pipe of that process's, which the kernel closes however that ends.
    """

    def watch() -> None:
        while os.read(0, 1):
            pass
        stopping = _stopping(signal.getsignal(signal.SIGTERM))
        # what stops already, as where all processes of a job were sent SIGTERM, may come to its end
        if not (stopping and stopping.asked):
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
