"""Who lives: a job's processes inherit its locked descriptor, so whoever can take the lock knows that they have ended.

The operating system drops the lock when the last of them dies, however it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

GRACE_S = 5.0  # between SIGTERM and SIGKILL


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """One starter, resumer or canceller at a time, over all processes and threads that use the workspace."""
    import fcntl

    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def taken(folder: Path) -> Iterator[IO[str]]:
    """The lock of an ended job, or of one that is just ending: that one is waited for, and killed if it takes long.

    Yields:
        The open lock file, emptied; what is written to it is the id of the process group that gets the lock.
    """
    import fcntl

    end = time.monotonic() + GRACE_S + 1
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    send(folder, signal.SIGKILL)
                time.sleep(0.02)
        lock.truncate(0)
        yield lock


def locked(folder: Path) -> bool:
    """Whether a process of the job lives. The lock is tried as a shared one, so that two who look do not mislead."""
    import fcntl

    try:
        with (folder / "lock").open("r", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    return False


def send(folder: Path, number: int) -> None:
    """Signal a job's process group. Its id cannot have become another's as long as the lock is held."""
    group = (folder / "lock").read_text(encoding="ascii")
    if group and locked(folder):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(group), number)
