"""`Remote`: an object that lives in a process of its own.

    with Remote("counting process", Counter, 5) as remote:
        remote.call("add", 3)
        remote.answer()

Such processes are started afresh and do not run the user's script again, so that it needs no main
guard: neither does a notebook. What is defined there is sent by value.
"""

import contextlib
import os
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NamedTuple

import cloudpickle
import torch

from metarl.system.stopping import CHILDREN

_START = "from metarl.system.remote import serve; serve({pipe})"


class LostError(RuntimeError):
    """A process ended by itself, or gave no answer in time."""


class Remote:
    """An object in another process, as seen from here; it lives as long as the `with` block."""

    def __init__(
        self,
        name: str,
        make: Callable[..., object],
        *arguments: object,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start the process and let it make the object; `answer` tells when it is there.

        Args:
            name: of the process, for messages.
            make: the object's class, or a function that returns it.
            arguments: what it is made of.
            descriptors: of files that the process needs, under the same numbers.
        """
        self._name = name
        message = cloudpickle.dumps((make, arguments))  # before there is a process, as it may raise
        self.pipe, theirs = Pipe()
        # -P, and every folder that is searched here: without it Python puts the current folder
        # first, where files of the user's may have the names of the standard library's
        searched = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START.format(pipe=theirs.fileno())],
            pass_fds=(theirs.fileno(), *descriptors),
            env={**os.environ, "PYTHONPATH": searched},
            start_new_session=True,  # Ctrl-C is for the process that can save the run
        )
        CHILDREN.add(self.process)
        theirs.close()
        self._send(message)

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.process.kill()  # no one waits for what it is doing
        self.close()

    def call(self, method: str, *arguments: object) -> None:
        """Begin a call of one of the object's methods; `answer` waits for its end."""
        self._send(cloudpickle.dumps((method, arguments)))

    def answer(self, within: float | None = None) -> Any:  # noqa: ANN401
        """Wait for the last call and return its result.

        Args:
            within: time limit [s], after which the process is killed; None to wait without one.

        Raises:
            Exception: what the call raised, with the process's traceback as a note; a RuntimeError
                with its name and message where it cannot be carried over.
            LostError: when the process ended by itself, or gave no answer in time.
        """
        with self._explained():
            if within is not None and not self.pipe.poll(within):
                self.process.kill()
                self.process.wait()
                raise LostError(f"{self._name} gave no answer for {within:.0f} s")
            failure, result = cloudpickle.loads(self.pipe.recv_bytes())
        if failure is not None:
            raise failure.error(self._name)
        return result

    def close(self) -> None:
        """End the process."""
        self.pipe.close()  # it ends when there is no one to answer
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _send(self, message: bytes) -> None:
        with self._explained():
            self.pipe.send_bytes(message)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            code = self.process.wait()
            raise LostError(
                f"{self._name} ended with code {code}"
                + ("; memory may have run out" if code == -9 else "")
            ) from None


class Failure(NamedTuple):
    """An exception on its way to another process."""

    pickled: bytes | None
    """The exception; None when a copy would not be the same, or would end the other process too."""
    summary: str
    """Its type and message."""
    trace: str
    """Its traceback."""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return a failure that can be sent, whatever the exception is made of.

        Pickle makes a copy by calling the exception's class with its `args`, which are what was
        handed to `Exception.__init__`: a constructor of another form raises there, or builds a
        message out of a message. So a copy is made here, to see.
        """
        pickled = None
        with contextlib.suppress(Exception):
            data = cloudpickle.dumps(error)
            copy = cloudpickle.loads(data)
            if isinstance(copy, Exception) and type(copy) is type(error):
                pickled = data if str(copy) == str(error) else None
        return cls(
            pickled,
            "".join(traceback.format_exception_only(error)).strip(),
            "".join(traceback.format_exception(error)),
        )

    def error(self, process: str) -> Exception:
        """Return the exception, or one that says the same, with its traceback as a note."""
        error: Exception = RuntimeError(self.summary)
        if self.pickled is not None:
            with contextlib.suppress(Exception):
                error = cloudpickle.loads(self.pickled)
        error.add_note(f"in {process}:\n{self.trace}")
        return error


def spread(
    remotes: Sequence[Remote], method: str, jobs: Sequence[tuple[object, ...]]
) -> Iterator[Any]:
    """Yield the results of calls in their order; whichever process is free makes the next.

    Args:
        remotes: idle ones; the answer to their construction must have been read.
        method: of their objects.
        jobs: the arguments of each call.
    """
    left = deque(enumerate(jobs))
    busy: dict[Connection, tuple[Remote, int]] = {}
    results: dict[int, Any] = {}
    expected = 0

    def employ(remote: Remote) -> None:
        if left:
            job, arguments = left.popleft()
            remote.call(method, *arguments)
            busy[remote.pipe] = remote, job

    for remote in remotes:
        employ(remote)
    while busy:
        for pipe in wait(list(busy)):
            remote, job = busy.pop(pipe)  # type: ignore[arg-type]
            results[job] = remote.answer()
            employ(remote)
        while expected in results:
            yield results.pop(expected)
            expected += 1


def serve(pipe: int) -> None:
    """Make an object and call its methods until there is no one to ask; a process's body.

    Args:
        pipe: descriptor of the connection.
    """
    torch.set_num_threads(1)
    connection = Connection(pipe)
    with contextlib.ExitStack() as stack:
        target: object = None
        while True:
            try:
                message = connection.recv_bytes()
            except EOFError:
                return
            try:
                # what cannot be loaded here is as much of an answer as what a call raises
                function, arguments = cloudpickle.loads(message)
                if target is None:
                    result, target = None, function(*arguments)
                    stack.callback(getattr(target, "close", lambda: None))
                else:
                    result = getattr(target, function)(*arguments)
                answer = cloudpickle.dumps((None, result))
            except BaseException as error:  # SystemExit too: a call of sys.exit is an error here
                answer = cloudpickle.dumps((Failure.of(error), None))
            with contextlib.suppress(BrokenPipeError):
                connection.send_bytes(answer)
