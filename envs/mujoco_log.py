"""MuJoCo's log, silenced where the caller handles what it would say."""

from collections.abc import Iterator
from contextlib import contextmanager

import mujoco


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MuJoCo from printing, and from writing MUJOCO_LOG.TXT into the working directory.

    What it would say here is about other people's models, or is handled by the caller: a
    simulation that blows up ends its episode.

    The configuration is the process's, not the thread's: of several threads that enter by
    themselves, the first to leave would switch the log on under the others. So whoever starts
    threads enters first; within that block, the log is off already and entering changes nothing.
    """
    config = mujoco.MjLogConfig.get()
    console, file = config.logto_console, config.logto_file
    if not (console or file):
        yield
        return
    config.logto_console = config.logto_file = False
    config.set()
    try:
        yield
    finally:
        config.logto_console, config.logto_file = console, file
        config.set()
