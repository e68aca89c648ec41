"""The demo being prepared: `cezsar demo` as the one job of its kind, found again after a reload or an app restart."""

from __future__ import annotations

from cezsar import jobs, workspace
from cezsar.jobs import Job, Step, possible

__all__ = ["STAGES", "current", "possible", "start", "stop"]

STAGES: dict[str, float] = {
    "drawing videos": 24,
    "features of training videos": 50,
    "object recogniser": 2,
    "features of test clips": 9,
    "hard negatives": 6,
    "training": 8,
    "training on colour alone": 6,
    "evaluation": 1,
    "when none of the labels fits": 1,
}
"""Stages of `cezsar demo` in order, and how many seconds each takes on two cores: shares of the bar, nothing more."""

_KIND = "demo"


def current() -> Job | None:
    """The latest attempt, alive or ended; None if there never was one."""
    return next(iter(jobs.jobs(_KIND)), None)


def start() -> None:
    """Start `cezsar demo`, unless it is running. It goes on where an earlier one stopped, since the command does."""
    home = str(workspace.home().resolve())
    jobs.start(_KIND, "The demo", [Step("the demo", ["demo", "--workspace", home], STAGES)], only_one=True)


def stop() -> None:
    """End the job; what it has finished stays, and the next one goes on from there."""
    job = current()
    if job is not None and job.alive:
        jobs.cancel(job.id)
