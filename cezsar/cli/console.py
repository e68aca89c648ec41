"""What verbs share in printing: progress that suits a terminal or a pipe, and durations."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 1 h 05 min."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02} s"
    return f"{total // 3600} h {total % 3600 // 60:02} min"


class Progress:
    """Progress on standard error: one line that is rewritten on a terminal, a plain line now and then in a pipe.

    Args:
        title: what is being done.
        every_s: least time between plain lines; `$CEZSAR_PROGRESS_EVERY_S`, else 5, by default.
    """

    def __init__(self, title: str, every_s: float | None = None) -> None:
        self.title = title
        self.every_s = float(os.environ.get("CEZSAR_PROGRESS_EVERY_S") or 5) if every_s is None else every_s
        self._terminal = sys.stderr.isatty()
        self._width = 0
        self._started = time.perf_counter()
        self._shown = float("-inf")  # the first line comes at once
        self._first: int | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` is done; `note` is added as it stands."""
        now = time.perf_counter()
        if self._first is None:
            self._started, self._first = now, done  # what an earlier attempt had done says nothing of the speed
        last = done >= total
        if not last and now - self._shown < (0.1 if self._terminal else self.every_s):
            return
        self._shown = now
        parts = [f"{self.title}: {done:,} of {total:,}"]
        if self._first < done < total:
            parts.append(f"{duration((now - self._started) * (total - done) / (done - self._first))} left")
        if note:
            parts.append(note)
        self.line(", ".join(parts))

    def restart(self) -> None:
        """Begin to count time anew, for the next of several stages."""
        self._started, self._shown, self._first = time.perf_counter(), float("-inf"), None

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_line()
