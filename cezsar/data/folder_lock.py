"""One writer at a time for a folder, over processes and threads.

The operating system holds the lock and drops it when its owner dies, however it dies, so that no stale lock can be left
behind; the process id in the file is only there for the message.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from cezsar.errors import InputError


class FolderLock:
    """The right to write in `folder`, held from construction until `release()`.

    Raises:
        InputError: another writer, in this process or another, is at work in the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".writer-lock"
        try:
            self._descriptor: int | None = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"{folder} cannot be written ({error.strerror}); choose another folder") from error
        try:
            _lock(self._descriptor)
        except OSError as error:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() if os.name == "posix" else ""
            os.close(self._descriptor)
            self._descriptor = None
            raise InputError(
                f"{folder} is being written by another process ({f'pid {owner}' if owner else 'pid unknown'}): "
                "wait until it ends, stop it, or choose another folder"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode("ascii"))

    def release(self) -> None:
        """Let others write. The empty lock file stays: removing it would race with one who is just opening it."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(descriptor: int) -> None:
    """Take the lock or raise OSError at once."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # exists on Windows only
