"""Long work as processes of its own: started, followed, cancelled, resumed, found again from disk.

```
workspace/jobs/<id>/job.json     what it is: kind, title, steps, when it was queued
workspace/jobs/<id>/status.json  how far it got, written by its runner at each change
workspace/jobs/<id>/log.txt      what its commands wrote
workspace/jobs/<id>/lock         locked by the runner and its command as long as one of them lives
workspace/jobs/<id>/cancel       there once cancelling was asked for
```

A job is a row of `cezsar` commands, of verbs in a fixed list, as words and never through a shell; no other program is
run, whatever its folder says. Its runner is a session of its own: it outlives pages, browsers and the app.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import IO, Any

from filelock import FileLock

from cezsar import workspace
from cezsar.atomic import write_json
from cezsar.errors import CezsarError, FormatError, InputError
from cezsar.formats import check_stamp, stamp

__all__ = ["Job", "Step", "cancel", "find", "forget", "jobs", "possible", "resume", "start"]

ENDED = ("done", "failed", "cancelled", "interrupted")
# Of what is no job's folder.
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
VERBS = ("demo", "evaluate", "extract", "fetch", "mine", "project", "tau-sweep", "train")  # that jobs run
GRACE_S = 5.0  # between SIGTERM and SIGKILL by the runner
KILL_AFTER_S = GRACE_S + 1  # by who cancelled, if the runner has not done so
LEAST_SHARE = 0.03  # of the whole, done in this attempt, before the time left is estimated
_ROOT = Path(__file__).resolve().parents[2]
_PROGRESS = re.compile(r"^(?P<stage>.{1,80}?): (?P<done>[\d,]+) of (?P<total>[\d,]+)(?:,|$)")
_TAIL_BYTES, _TAIL_LINES = 65536, 30


@dataclass(frozen=True)
class Step:
    """One `cezsar` command of a job."""

    title: str  # as shown, such as "mining"
    arguments: list[str]  # without "cezsar"
    stages: dict[str, float] = field(default_factory=dict)  # expected seconds of those that progress lines name
    accepts: tuple[int, ...] = (0,)  # statuses that count as done: (0, 1) for `extract`, 1 where it lists broken clips

    def __post_init__(self) -> None:
        words = [*self.arguments]
        if self.arguments != words or not all(isinstance(word, str) for word in words) or words[0] not in VERBS:
            raise ValueError(f"{self.arguments!r:.80} is no command that a job runs")


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


def possible() -> bool:
    """Whether this system can keep such processes apart from the app; elsewhere `cezsar` is for a terminal."""
    return os.name == "posix"


def start(
    kind: str, title: str, steps: Sequence[Step], *, about: dict[str, Any] | None = None, at_once: bool = False,
    only_one: bool = False, home: str | Path | None = None,
) -> Job:  # fmt: skip
    """Start a job, or queue it: as many run side by side as `$CEZSAR_SLOTS` says, by default one for two processors.
    `kind` is of lower-case letters, digits and hyphens; `about` is anything JSON can hold. Light work that never waits
    and holds up nobody starts `at_once`. With `only_one`, a living job of this kind is returned and nothing started."""
    if not possible():
        raise CezsarError("jobs need a POSIX system; run the same `cezsar` command in a terminal")
    root = _root(home)
    with _alone(root):
        if only_one and (alive := [job for job in jobs(kind, home) if job.alive]):
            return alive[0]
        now, folder = _turn_s(root), root / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        folder.mkdir()
        record = {
            **stamp("job"), "kind": kind, "title": title, "about": about or {},
            "steps": [asdict(step) for step in steps], "at_once": at_once, "only_one": only_one,
            "cwd": str(Path.cwd()), "created_s": now, "queued_s": now,
        }  # fmt: skip
        return _launch(folder, record, [])


def jobs(kind: str | None = None, home: str | Path | None = None) -> list[Job]:
    """All jobs, or those of a kind, the newest first. Folders that hold no readable job are skipped."""
    found = []
    for folder in _root(home).glob(f"{kind or '*'}-*"):
        with suppress(*BROKEN, FormatError):
            found.append(look(folder))
    return sorted((j for j in found if kind in (None, j.kind)), key=lambda job: (job.created_s, job.id), reverse=True)


def find(id: str, home: str | Path | None = None) -> Job | None:
    """The job of that id; None if there is none, or its folder cannot be read."""
    with suppress(*BROKEN):
        if re.fullmatch(r"[a-z0-9][a-z0-9-]*", id):  # it may come from an address bar
            return look(_root(home) / id)
    return None


def cancel(id: str, home: str | Path | None = None) -> None:
    """End a job and its children without waiting for it; what it has finished stays. Its process group gets SIGTERM,
    and some seconds later SIGKILL, by its runner or, if that is dead, from here."""
    with _alone(_root(home)):
        job = _found(id, home)
        if job.alive:
            (job.folder / "cancel").touch()
            group = _group(job.folder)
            _signal(job.folder, group, signal.SIGTERM)
            later = threading.Timer(KILL_AFTER_S, _signal, (job.folder, group, signal.SIGKILL))
            later.daemon = True
            later.start()


def resume(id: str, home: str | Path | None = None) -> Job:
    """Start again at the first step that has not ended well, a living or done job excepted; the commands go on where
    they stopped. One that is just being cancelled is waited for, a few seconds."""
    with _alone(_root(home)):
        job = _found(id, home)
        if job.alive or job.state == "done":
            return job
        record = read(job.folder / "job.json") | {"queued_s": _turn_s(job.folder.parent)}
        if not Path(record["cwd"]).is_dir():
            raise InputError(f"job {id} worked in {record['cwd']}, which has gone; start it anew")
        return _launch(job.folder, record, _status(job.folder)["codes"])


def forget(id: str, home: str | Path | None = None) -> None:
    """Remove the folder of a job that has ended: its log and record, nothing that it made."""
    with _alone(_root(home)):
        job = _found(id, home)
        if job.alive:
            raise InputError(f"job {id} is {job.state}; cancel it first")
        with _taken(job.folder):
            shutil.rmtree(job.folder)


def _turn_s(root: Path) -> float:
    """The time of queuing: after that of every living job, also where the clock was set back meanwhile."""
    queued = [0.0]
    for folder in root.iterdir():
        with suppress(*BROKEN):
            if locked(folder):
                queued.append(read(folder / "job.json")["queued_s"] + 0.001)
    return max(time.time(), *queued)


# Processes and their locks -------------------------------------------------------------------------------------------


def _launch(folder: Path, record: dict[str, Any], codes: list[int]) -> Job:
    """Write what the runner needs and start it with the lock in its hand; `codes` of the steps that need no running."""
    environment = os.environ | {
        "CEZSAR_HOME": str(folder.parents[1]), "CEZSAR_PROGRESS_EVERY_S": "1", "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONSAFEPATH": "1",  # a package "cezsar" in the folder it works in is not this one
    }  # fmt: skip
    with _taken(folder) as lock, (folder / "log.txt").open("ab") as log:
        write_json(folder / "job.json", record)
        write_json(folder / "status.json", {"state": "waiting", "codes": codes})
        (folder / "cancel").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "cezsar.jobs.runner", str(folder), str(lock.fileno())], cwd=record["cwd"],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            pass_fds=[lock.fileno()],
        )  # fmt: skip
        lock.write(str(process.pid))
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return look(folder)


def _alone(root: Path) -> FileLock:
    """One starter, resumer or canceller at a time, over all processes and threads that use the workspace."""
    root.mkdir(parents=True, exist_ok=True)
    return FileLock(root / ".lock")


@contextmanager
def _taken(folder: Path) -> Iterator[IO[str]]:
    """The emptied lock file of an ended job, locked, to take the id of the process group that inherits the lock. A job
    that is just ending is waited for, and killed if it takes long."""
    import fcntl  # POSIX only, as jobs are

    end = time.monotonic() + KILL_AFTER_S
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        while locked(folder):
            if time.monotonic() > end:
                _signal(folder, _group(folder), signal.SIGKILL)
            time.sleep(0.02)
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        yield lock


def locked(folder: Path) -> bool:
    """Whether a process of the job lives: all of them inherit its locked descriptor, and the operating system drops the
    lock when the last one dies. It is tried as a shared lock, so that two who look do not mislead each other."""
    import fcntl

    with suppress(FileNotFoundError, NotADirectoryError), (folder / "lock").open(encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _group(folder: Path) -> str:
    return (folder / "lock").read_text(encoding="ascii")


def _signal(folder: Path, group: str, number: int) -> None:
    """Signal a job's process group, if it is still that one. Its id is no other's as long as the lock is held."""
    with suppress(FileNotFoundError, ProcessLookupError):
        if group.isdecimal() and int(group) > 1 and locked(folder) and _group(folder) == group:
            os.killpg(int(group), number)


# A job as its folder tells it: cheap enough to look at a hundred every second; looking changes nothing ---------------


def _root(home: str | Path | None) -> Path:
    return workspace.folder("jobs", home).resolve()


def _found(id: str, home: str | Path | None) -> Job:
    if (job := find(id, home)) is None:
        raise InputError(f"there is no job {id!r}; the list of jobs shows what there is")
    return job


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _status(folder: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError):
        return read(folder / "status.json")
    return {"state": "waiting", "codes": []}


def look(folder: Path) -> Job:
    """A job as it stands. Raises one of `BROKEN` if the folder holds none."""
    record: dict[str, Any] = {"cezsar": "job", "version": 1} | read(folder / "job.json")
    check_stamp(folder, "job", record, "remove its folder")
    steps = [Step(**step | {"accepts": tuple(step["accepts"])}) for step in record["steps"]]
    kinds = {"kind": str, "title": str, "about": dict}
    if not steps or not all(isinstance(record[key], kind) for key, kind in kinds.items()):
        raise TypeError(f"{folder} holds no job")
    living = locked(folder)  # before the status: the last status is written before the lock is dropped
    status = _status(folder)
    state = status["state"]
    if state not in ENDED:
        state = "cancelled" if (folder / "cancel").exists() else state if living else "interrupted"
    start, raw = 0, b""
    with suppress(FileNotFoundError), (folder / "log.txt").open("rb") as file:
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
    for match in filter(None, map(_PROGRESS.match, reversed(lines))):
        if not stages or match["stage"] in stages:
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
