"""Starting, finding, cancelling, resuming and forgetting jobs."""

from __future__ import annotations

import contextlib
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
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from cezsar import workspace
from cezsar.atomic import write_json
from cezsar.errors import CezsarError, InputError
from cezsar.jobs.reading import BROKEN, GRACE_S, Job, Step, locked, look, read

KILL_AFTER_S = GRACE_S + 1  # by who cancelled, if the runner has not done so
_ROOT = Path(__file__).resolve().parents[2]


def possible() -> bool:
    """Whether this system can keep such processes apart from the app; elsewhere `cezsar` is for a terminal."""
    return os.name == "posix"


def start(
    kind: str,
    title: str,
    steps: Sequence[Step],
    *,
    about: dict[str, Any] | None = None,
    at_once: bool = False,
    only_one: bool = False,
    home: str | Path | None = None,
) -> Job:
    """Start a job, or queue it: as many run side by side as `$CEZSAR_SLOTS` says, by default one for two processors.

    `kind` is of lower-case letters, digits and hyphens; `about` is anything JSON can hold. Light work that never waits
    and holds up nobody starts `at_once`. With `only_one`, a living job of this kind is returned and nothing started.
    """
    if not possible():
        raise CezsarError("jobs need a POSIX system; run the same `cezsar` command in a terminal")
    root = _root(home)
    with _alone(root):
        if only_one and (alive := [job for job in jobs(kind, home) if job.alive]):
            return alive[0]
        now, folder = time.time(), root / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        folder.mkdir()
        record = {
            "kind": kind, "title": title, "about": about or {}, "steps": [asdict(step) for step in steps],
            "at_once": at_once, "only_one": only_one, "cwd": str(Path.cwd()), "created_s": now, "queued_s": now,
        }  # fmt: skip
        _launch(folder, record, [])
        return look(folder)


def jobs(kind: str | None = None, home: str | Path | None = None) -> list[Job]:
    """All jobs, or those of a kind, the newest first. Folders that hold no readable job are skipped."""
    found = []
    for folder in _root(home).glob(f"{kind or '*'}-*"):
        with contextlib.suppress(*BROKEN):
            found.append(look(folder))
    return sorted((j for j in found if kind in (None, j.kind)), key=lambda job: (job.created_s, job.id), reverse=True)


def find(id: str, home: str | Path | None = None) -> Job | None:
    """The job of that id; None if there is none, or its folder cannot be read."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", id):
        return None  # it may come from an address bar
    try:
        return look(_root(home) / id)
    except BROKEN:
        return None


def cancel(id: str, home: str | Path | None = None) -> None:
    """End a job and its children without waiting for it; what it has finished stays. An ended job is left alone.

    Its process group gets SIGTERM, and some seconds later SIGKILL, by its runner or, if that is dead, from here.
    """
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
    """Start again at the first step that has not ended well; the commands go on where they stopped.

    A living job is left alone, and so is a done one. One that is just being cancelled is waited for, a few seconds.
    """
    with _alone(_root(home)):
        job = _found(id, home)
        if job.alive or job.state == "done":
            return job
        record = read(job.folder / "job.json") | {"queued_s": time.time()}
        if not Path(record["cwd"]).is_dir():
            raise InputError(f"job {id} worked in {record['cwd']}, which has gone; start it anew")
        status = job.folder / "status.json"
        _launch(job.folder, record, read(status)["codes"] if status.exists() else [])
        return look(job.folder)


def forget(id: str, home: str | Path | None = None) -> None:
    """Remove the folder of a job that has ended: its log and record, nothing that it made."""
    with _alone(_root(home)):
        job = _found(id, home)
        if job.alive:
            raise InputError(f"job {id} is {job.state}; cancel it first")
        with _taken(job.folder):
            shutil.rmtree(job.folder)


def _launch(folder: Path, record: dict[str, Any], codes: list[int]) -> None:
    """Write what the runner needs and start it with the lock in its hand; `codes` of the steps that need no running."""
    environment = os.environ | {
        "CEZSAR_HOME": str(folder.parents[1]),
        "CEZSAR_PROGRESS_EVERY_S": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
    }
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


def _alone(root: Path) -> FileLock:
    """One starter, resumer or canceller at a time, over all processes and threads that use the workspace."""
    root.mkdir(parents=True, exist_ok=True)
    return FileLock(root / ".lock")


@contextlib.contextmanager
def _taken(folder: Path) -> Iterator[IO[str]]:
    """The lock of an ended job, or of one that is just ending: that one is waited for, and killed if it takes long.

    Yields the open lock file, emptied, to take the id of the process group that gets the lock: a plain `flock`, which
    processes inherit.
    """
    import fcntl

    end = time.monotonic() + KILL_AFTER_S
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    _signal(folder, _group(folder), signal.SIGKILL)
                time.sleep(0.02)
        lock.truncate(0)
        yield lock


def _group(folder: Path) -> str:
    return (folder / "lock").read_text(encoding="ascii")


def _signal(folder: Path, group: str, number: int) -> None:
    """Signal a job's process group, if it is still that one. Its id is no other's as long as the lock is held."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if group and locked(folder) and _group(folder) == group:
            os.killpg(int(group), number)


def _root(home: str | Path | None) -> Path:
    return workspace.folder("jobs", home).resolve()


def _found(id: str, home: str | Path | None) -> Job:
    if (job := find(id, home)) is None:
        raise InputError(f"there is no job {id!r}; the list of jobs shows what there is")
    return job
