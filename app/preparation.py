"""The demo being prepared: `cezsar demo` as a process of its own, found again after a reload or an app restart.

```
workspace/jobs/demo/lock       locked by the process as long as it lives; whoever can take it knows that it has ended
workspace/jobs/demo/job.json   its id and when it was started
workspace/jobs/demo/log.txt    its plain progress lines
```
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cezsar import workspace
from cezsar.atomic import write_json

ROOT = Path(__file__).resolve().parents[1]

STAGES = {
    "drawing videos": 24,
    "features of training videos": 50,
    "object recogniser": 2,
    "features of test clips": 9,
    "hard negatives": 6,
    "training": 8,
    "training on colour alone": 6,
    "evaluation": 1,
}
"""Stages of `cezsar demo` in order, and how many seconds each takes on two cores: shares of the bar, nothing more."""

_LINE = re.compile(r"^(?P<stage>[a-z ]+): (?P<done>[\d,]+) of (?P<total>[\d,]+)")
_TAIL_LINES = 15


@dataclass(frozen=True)
class Job:
    """The demo's job as it stands.

    Attributes:
        running: its process lives.
        stage: one of `STAGES`, as far as it got.
        share: of the whole work, in [0, 1].
        elapsed_s: since it was started.
        left_s: estimate, None as long as there is nothing to go by.
        log: the last lines it wrote.
    """

    running: bool
    stage: str
    share: float
    elapsed_s: float
    left_s: float | None
    log: str


def possible() -> bool:
    """Whether this system can keep such a process apart from the app; elsewhere `cezsar demo` is for a terminal."""
    return os.name == "posix"


def current() -> Job | None:
    """The job, running or ended; None if there never was one."""
    folder = _folder()
    try:
        started_s = float(json.loads((folder / "job.json").read_text(encoding="utf-8"))["started_s"])
        log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, KeyError, ValueError):  # none, or one that was killed while it was being set up
        return None
    stage, share = _position(log)
    elapsed_s = max(0.0, time.time() - started_s)
    left_s = elapsed_s * (1 - share) / share if share > 0.04 else None
    tail = "\n".join(log.strip().splitlines()[-_TAIL_LINES:])
    return Job(_locked(folder), stage, share, elapsed_s, left_s, tail)


def start() -> None:
    """Start `cezsar demo`, unless it is running. It goes on where an earlier one stopped."""
    import fcntl

    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another browser was quicker
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cezsar", "demo", "--workspace", str(workspace.home().resolve())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],  # the lock is the process's now, until it ends in whatever way
            )
        write_json(folder / "job.json", {"pid": process.pid, "started_s": time.time()})


def stop() -> None:
    """End the job and its children; what it has finished stays, and the next one goes on from there."""
    folder = _folder()
    if _locked(folder):
        os.killpg(int(json.loads((folder / "job.json").read_text(encoding="utf-8"))["pid"]), signal.SIGTERM)


def _folder() -> Path:
    return workspace.folder("jobs") / "demo"


def _locked(folder: Path) -> bool:
    import fcntl

    try:
        with (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _position(log: str) -> tuple[str, float]:
    """The stage that the last progress line is about, and the share of the whole work that is done."""
    stage, within = next(iter(STAGES)), 0.0
    for line in log.splitlines():
        if (match := _LINE.match(line)) and match["stage"] in STAGES:
            stage = match["stage"]
            within = int(match["done"].replace(",", "")) / max(1, int(match["total"].replace(",", "")))
    names = list(STAGES)
    if within >= 1 and stage != names[-1]:
        stage, within = names[names.index(stage) + 1], 0.0
    before = sum(STAGES[name] for name in names[: names.index(stage)])
    return stage, (before + within * STAGES[stage]) / sum(STAGES.values())
