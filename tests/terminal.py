"""A terminal for the programs that tests start."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence


def shown_in_a_terminal(
    words: Sequence[str], environment: Mapping[str, str] | None = None
) -> bytes:
    """Run a program with a terminal of 24 lines of 80; return what it shows.

    Args:
        words: its command line; it must end with code 0.
        environment: its environment variables; None for those of this process.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(words, stdout=its, stderr=its, env=environment)
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # Linux's end of a terminal
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown
