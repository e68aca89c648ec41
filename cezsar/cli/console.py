"""What verbs tell and write: progress that suits a terminal or a pipe, durations, and outputs that are never lost."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from cezsar.errors import InputError

T = TypeVar("T")
UNWRITABLE = {  # errors of the system that speak of a place rather than of this program
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EFBIG,
    errno.ENOSPC, errno.EDQUOT,
}  # fmt: skip


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 1 h 05 min."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02} s"
    return f"{total // 3600} h {total % 3600 // 60:02} min"


class Progress:
    """Progress on standard error: one line that is rewritten on a terminal, a plain line now and then in a pipe."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self._every_s = float(os.environ.get("CEZSAR_PROGRESS_EVERY_S") or 5)  # between plain lines
        self._terminal, self._width = sys.stderr.isatty(), 0
        self.restart()

    def restart(self) -> None:
        """Count time anew, for the next of several stages."""
        self._shown, self._first = float("-inf"), -1  # the first line comes at once

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` is done; `note` is added as it stands."""
        now = time.perf_counter()
        if self._first < 0:
            self._started, self._first = now, done  # what an earlier attempt had done says nothing of the speed
        if done < total and now - self._shown < (0.1 if self._terminal else self._every_s):
            return
        self._shown = now
        parts = [f"{self.title}: {done:,} of {total:,}"]
        if self._first < done < total:
            parts.append(f"{duration((now - self._started) * (total - done) / (done - self._first))} left")
        self.line(", ".join([*parts, note] if note else parts))

    def stage(self, title: str, done: int, total: int, note: str = "") -> None:
        """The same for work in stages, each on a line of its own."""
        if title != self.title:
            self.end_line()
            self.title = title
            self.restart()
        self(done, total, note)

    def failing(self, done: int, total: int, failed: int) -> None:
        """The same for work some of which may fail."""
        self(done, total, f"{failed} failed" if failed else "")

    def line(self, text: str) -> None:
        """Show `text` in place of what stood here."""
        if self._terminal:
            print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def end_line(self) -> None:
        """Let the line stand and begin a new one."""
        if self._terminal and self._width:
            print(file=sys.stderr)
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_line()


def save(outputs: Mapping[Path, Callable[[Path], T]]) -> list[T]:
    """Write each output with its function; returns what these return. What cannot be written there after all is written
    elsewhere, and an `InputError` says where."""
    made, failed = [], []
    for path, write in outputs.items():
        try:
            made.append(write(path))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            failed.append(f"{path} cannot be written: {reason}; {_rescued(path, write)}")
    if failed:
        raise InputError("; ".join(failed))
    return made


def save_and_tell(path: Path, write: Callable[[Path], object]) -> None:
    """Write `path` with a function and print so, or the files that it returns a list of."""
    (made,) = save({path: write})
    print("wrote " + ", ".join(map(str, made if isinstance(made, list) else [path])))


def _rescued(path: Path, write: Callable[[Path], object]) -> str:
    """Write beside `path`, or in the system's folder for temporary files; where it is now."""
    for folder in (lambda: path.parent, lambda: Path(tempfile.mkdtemp(prefix="cezsar-"))):
        with suppress(OSError):
            other = folder() / f"{path.stem}-saved{path.suffix}"
            write(other)
            return f"it is in {other}"
    return "there was no room for it anywhere"
