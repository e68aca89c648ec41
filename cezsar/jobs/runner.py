"""The process that carries a job: waits for its turn, then runs its commands one after another. `python -m
cezsar.jobs.runner FOLDER LOCK`, where LOCK is the inherited descriptor of the job's lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cezsar.atomic import write_json
from cezsar.jobs import BROKEN, GRACE_S, locked, look, read

POLL_S = 0.2
LEAP = 0.05  # of the whole within a second: work that was found done, no measure of speed


class Runner:
    """Runs the job in `folder`; its commands inherit the descriptor `lock` in turn."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self.lock, self.steps = folder, lock, look(folder).steps
        self.record, self.status = read(folder / "job.json"), read(folder / "status.json")
        self.seen = 0.0  # the share when last looked at
        self.told = False  # to end, by the system or by who cancelled
        signal.signal(signal.SIGTERM, self._end)

    def run(self) -> None:
        """To the end of the last step, of the first that fails, or until it is told to stop."""
        while not self._has_turn():
            if self._stopped():
                return self._note(state=self._stop_word())
            time.sleep(POLL_S)
        self._note(state="running", started_s=time.time())
        state = "done"
        for index in range(len(self.status["codes"]), len(self.steps)):
            code = None if self._stopped() else self._run_step(index)
            if code not in self.steps[index].accepts:
                state = self._stop_word() if code is None else "failed"
                break
            self._note(codes=[*self.status["codes"], code])
        self._note(state=state, ended_s=time.time())

    def _run_step(self, index: int) -> int | None:
        """Exit status of a step; None if the job was told to stop meanwhile."""
        self._note(step=index, log_from=(self.folder / "log.txt").stat().st_size)
        process = subprocess.Popen([sys.executable, "-m", "cezsar", *self.steps[index].arguments], pass_fds=[self.lock])
        looked_s = 0.0
        while process.poll() is None and not self._stopped():
            time.sleep(POLL_S)
            if time.monotonic() - looked_s >= 1:
                looked_s, job = time.monotonic(), look(self.folder)
                if job.stage and ("from_s" not in self.status or job.share - self.seen > LEAP):
                    self._note(from_s=time.time(), from_share=job.share)  # from here speed is measured
                self.seen = job.share
        if self._stopped():
            os.killpg(0, signal.SIGTERM)  # this process only takes note of it
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._note(state=self._stop_word(), ended_s=time.time())
                os.killpg(0, signal.SIGKILL)
            return None
        if process.returncode < 0:
            name = signal.Signals(-process.returncode).name
            why = "; the system may be out of memory" if name == "SIGKILL" else ""
            sys.stderr.write(f"cezsar: {self.steps[index].title} was ended by {name}{why}\n")
        return process.returncode

    def _has_turn(self) -> bool:
        """Whether fewer living jobs queued earlier than may run side by side, and none that excludes this one."""
        if self.record["at_once"]:
            return True
        own, earlier = (self.record["queued_s"], self.folder.name), []
        for folder in self.folder.parent.iterdir():
            with suppress(*BROKEN):
                other = read(folder / "job.json") if locked(folder) else None
                if other and (other["queued_s"], folder.name) < own:
                    earlier.append(other)
        same = self.record["only_one"] and any(other["kind"] == self.record["kind"] for other in earlier)
        wanted = os.environ.get("CEZSAR_SLOTS", "")
        slots = int(wanted) if wanted.isdecimal() and int(wanted) else max(1, (os.cpu_count() or 1) // 2)
        return not same and sum(not other["at_once"] for other in earlier) < slots

    def _stopped(self) -> bool:
        return self.told or (self.folder / "cancel").exists()

    def _stop_word(self) -> str:
        return "cancelled" if (self.folder / "cancel").exists() else "interrupted"  # the latter: a system going down

    def _end(self, *_: object) -> None:
        self.told = True

    def _note(self, **changes: object) -> None:
        self.status |= changes
        write_json(self.folder / "status.json", self.status)


if __name__ == "__main__":
    Runner(Path(sys.argv[1]), int(sys.argv[2])).run()
