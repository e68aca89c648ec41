"""A job as its folder tells it: cheap enough to look at a hundred of them every second. Looking changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

ENDED = ("done", "failed", "cancelled", "interrupted")
BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError)  # what reading a folder that holds no job can raise
GRACE_S = 5.0  # between SIGTERM and SIGKILL
LEAST_SHARE = 0.03  # of the whole, done in this attempt, before the time left is estimated
_PROGRESS = re.compile(r"^(?P<stage>.{1,80}?): (?P<done>[\d,]+) of (?P<total>[\d,]+)(?:,|$)")
_TAIL_BYTES, _TAIL_LINES = 65536, 30


@dataclass(frozen=True)
class Step:
    """One `cezsar` command of a job."""

    title: str  # as shown, such as "mining"
    arguments: list[str]  # without "cezsar"
    stages: dict[str, float] = field(default_factory=dict)  # expected seconds of those that progress lines name
    accepts: tuple[int, ...] = (0,)  # statuses that count as done: (0, 1) for `extract`, 1 where it lists broken clips


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was looked at."""

    id: str
    kind: str
    title: str
    about: dict[str, Any]  # what its starter wanted to remember, such as the run it makes
    steps: list[Step]
    folder: Path
    created_s: float
    state: str  # "waiting" for its turn, "running", or one of `ENDED`; "interrupted": it died unannounced
    step: int  # index of the step it is at, or stopped at
    stage: str  # as the last progress line names it; "" if none did
    share: float  # of the whole, in [0, 1]
    elapsed_s: float  # of this attempt
    left_s: float | None  # estimate; None unless it is running and there is something to go by
    log: str  # the last lines that it wrote

    @property
    def alive(self) -> bool:
        """Waiting or running."""
        return self.state not in ENDED


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def locked(folder: Path) -> bool:
    """Whether a process of the job lives: all of them inherit its locked descriptor, and the operating system drops the
    lock when the last one dies. It is tried as a shared lock, so that two who look do not mislead each other."""
    import fcntl  # POSIX only, as jobs are

    with contextlib.suppress(FileNotFoundError, NotADirectoryError), (folder / "lock").open(encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def look(folder: Path) -> Job:
    """A job as it stands. Raises one of `BROKEN` if the folder holds none."""
    record = read(folder / "job.json")
    steps = [Step(**step | {"accepts": tuple(step["accepts"])}) for step in record["steps"]]
    living = locked(folder)  # before the status: the last status is written before the lock is dropped
    status: dict[str, Any] = {"state": "waiting", "codes": []}
    with contextlib.suppress(FileNotFoundError):
        status = read(folder / "status.json")
    state = status["state"]
    if state not in ENDED:
        state = "cancelled" if (folder / "cancel").exists() else state if living else "interrupted"
    start, raw = 0, b""
    with contextlib.suppress(FileNotFoundError), (folder / "log.txt").open("rb") as file:
        start = file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        raw = file.read(_TAIL_BYTES)
    lines = raw[max(0, status.get("log_from", 0) - start) :].decode("utf-8", "replace").split("\n")
    stage, share = position(steps, status, lines)
    # Bars of other libraries rewrite their line: what stands after the last return is what one would see.
    shown = [line.rstrip(b"\r").rpartition(b"\r")[2] for line in raw.strip(b"\n").split(b"\n")[-_TAIL_LINES:]]
    step, log = min(status.get("step", len(status["codes"])), len(steps) - 1), b"\n".join(shown)
    return Job(
        folder.name, record["kind"], record["title"], record["about"], steps, folder, float(record["created_s"]), state,
        step, stage, share, *times(folder, state, status, share), log.decode("utf-8", "replace"),
    )  # fmt: skip


def times(folder: Path, state: str, status: dict[str, Any], share: float) -> tuple[float, float | None]:
    """Seconds that this attempt has been running, and an estimate of those that are left."""
    if "started_s" not in status:
        return 0.0, None
    if state != "running":
        ended_s = status.get("ended_s") or (folder / "log.txt").stat().st_mtime
        return max(0.0, ended_s - status["started_s"]), None
    now, gained = time.time(), share - status.get("from_share", share)
    left_s = max(0.0, (now - status["from_s"]) * (1 - share) / gained) if gained > LEAST_SHARE else None
    return max(0.0, now - status["started_s"]), left_s


def position(steps: Sequence[Step], status: dict[str, Any], lines: Sequence[str]) -> tuple[str, float]:
    """The stage that the last progress line of the present step is about, and the share of the whole work that is done.
    A step that expects no seconds counts as much as the mean of the others."""
    told = [sum(step.stages.values()) for step in steps]
    weights = [seconds or fmean(filter(None, told) if any(told) else [1.0]) for seconds in told]
    before, whole, at = sum(weights[: len(status["codes"])]), sum(weights) or 1.0, len(status["codes"])
    if status.get("step", -1) != at or at == len(steps):  # not yet at a step, between two, or after the last
        return "", before / whole
    stages = steps[at].stages
    stage, share = next(iter(stages), ""), 0.0
    for line in reversed(lines):
        match = _PROGRESS.match(line)
        if match and (not stages or match["stage"] in stages):
            done, total = (int(match[name].replace(",", "") or 0) for name in ("done", "total"))
            stage, share = match["stage"], min(1.0, done / max(1, total))
            break
    if stages:
        names = list(stages)
        if share >= 1 and stage != names[-1]:
            stage, share = names[names.index(stage) + 1], 0.0
        earlier = sum(stages[name] for name in names[: names.index(stage)])
        share = (earlier + share * stages[stage]) / (told[at] or 1.0)
    return stage, (before + share * weights[at]) / whole
