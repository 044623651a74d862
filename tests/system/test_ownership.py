"""A folder of one process: refused to others, let go by a dead one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.system.ownership import LOCK, owned

HOLDER = """
import sys, time
from pathlib import Path
from metarl.system.ownership import owned
with owned(Path(sys.argv[1])):
    print("holds it", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_the_owner_is_dead(tmp_path: Path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "holds it\n"
        with pytest.raises(ValueError, match=rf"is in use by process {holder.pid} on .*: wait"):
            owned(tmp_path).__enter__()
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with owned(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()


def test_it_is_free_again_after_an_error(tmp_path: Path):
    for _ in range(2):
        with pytest.raises(RuntimeError), owned(tmp_path):
            raise RuntimeError


def test_what_the_lock_says_is_not_trusted(tmp_path: Path):
    with owned(tmp_path):
        (tmp_path / LOCK).write_text("process \x1b[31m1")
        with pytest.raises(ValueError, match="is in use by another process"):
            owned(tmp_path).__enter__()
