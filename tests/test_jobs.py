"""Jobs: processes that outlive who started them. Their commands here are a small script in place of `cezsar`."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cezsar
from cezsar import jobs
from cezsar.errors import InputError
from cezsar.jobs import Step, position, times

VERBS = ("say", "fail", "until", "fail-once", "stubborn", "where")  # of the script
REAL = Path(cezsar.__file__).parent
COMMANDS = """
import os, pathlib, signal, sys, time
verb, *rest = sys.argv[1:]
say = lambda text: print(text, file=sys.stderr)
if verb == "say":
    [say(line) for line in rest]
elif verb == "fail":
    say("cezsar: the disk is full")
    sys.exit(int(rest[0]))
elif verb == "until":  # ends once a file is there
    pathlib.Path(rest[0] + ".begun").touch()
    while not pathlib.Path(rest[0]).exists():
        time.sleep(0.02)
elif verb == "fail-once":
    if not pathlib.Path(rest[0]).exists():
        pathlib.Path(rest[0]).touch()
        sys.exit(3)
elif verb == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path(rest[0]).touch()
    time.sleep(60)
elif verb == "where":
    say(os.environ["CEZSAR_HOME"])
    say(os.getcwd())
    say(os.environ["CEZSAR_PROGRESS_EVERY_S"])
    say(repr(sys.stdin.read()))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty workspace, a folder to work in, and the script as the command line found there."""
    fake = tmp_path / "cezsar"
    fake.mkdir()
    quick = f"import cezsar.jobs; cezsar.jobs.GRACE_S = 0.5; cezsar.jobs.VERBS = {VERBS}"  # in the runner
    (fake / "__init__.py").write_text(f"__path__.append({str(REAL)!r})\n{quick}\n")
    monkeypatch.setattr("cezsar.jobs._ROOT", tmp_path)
    monkeypatch.setattr("cezsar.jobs.VERBS", VERBS)
    (fake / "__main__.py").write_text(COMMANDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CEZSAR_HOME", "home")
    monkeypatch.setenv("CEZSAR_SLOTS", "1")
    yield tmp_path
    for end in (jobs.cancel, jobs.forget):
        for job in jobs.jobs():
            end(job.id)
    assert jobs.jobs() == []


def wait(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return value


def ended(job):
    return wait(lambda: (now := jobs.find(job.id)) and not now.alive and now)


def step(*arguments, **more):
    return Step(arguments[0], list(arguments), **more)


def living(job):
    listing = subprocess.run(["ps", "-eo", "sid,pid,args"], capture_output=True, text=True, check=True).stdout
    runner = (job.folder / "lock").read_text()
    return [line for line in listing.splitlines() if line.split()[0] == runner and "defunct" not in line]


def test_steps_run_in_order_and_the_job_is_found_again(place):
    job = jobs.start("train", "A run", [step("say", "one"), step("say", "two")], about={"run": "runs/a"})
    assert job.alive and job.id.startswith("train-20") and job.folder == place / "home" / "jobs" / job.id
    done = ended(job)
    assert (done.state, done.share, done.left_s, done.log) == ("done", 1.0, None, "one\ntwo")
    assert (done.kind, done.title, done.about, done.step) == ("train", "A run", {"run": "runs/a"}, 1)
    assert done.steps == [step("say", "one"), step("say", "two")]
    code = f"from cezsar import jobs; print(jobs.find({job.id!r}))"  # another process, as after a restart
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert again.strip() == str(done)
    lines = ended(jobs.start("where", "Where", [step("where")])).log.splitlines()  # what a command gets
    assert lines == [str(place / "home"), str(place), "1", "''"]


def test_the_first_failing_step_ends_the_job_unless_its_status_is_accepted(place):
    job = ended(jobs.start("train", "A run", [step("say", "one"), step("fail", "2"), step("say", "never")]))
    assert (job.state, job.step) == ("failed", 1) and job.share == pytest.approx(1 / 3)
    assert "the disk is full" in job.log and "never" not in job.log
    steps = [step("fail", "1", accepts=(0, 1)), step("say", "one"), step("fail-once", "flag"), step("say", "three")]
    job = ended(jobs.start("extract", "Features", steps))
    assert (job.state, job.step) == ("failed", 2)
    resumed = jobs.resume(job.id)  # it begins at the step that failed
    assert resumed.id == job.id and resumed.created_s == job.created_s
    job = ended(job)
    assert job.state == "done" and job.log.split("\n")[-2:] == ["one", "three"]


def test_a_killed_command_is_explained(place):
    job = jobs.start("train", "A run", [step("until", "never")])
    wait(Path("never.begun").exists)
    (line,) = [line for line in living(job) if line.endswith("until never")]
    os.kill(int(line.split()[1]), signal.SIGKILL)
    job = ended(job)
    assert job.state == "failed" and "SIGKILL" in job.log and "out of memory" in job.log


def test_cancelling_does_not_wait_and_leaves_no_process(place):
    job = jobs.start("train", "A run", [step("until", "never")])
    wait(Path("never.begun").exists)
    assert len(living(job)) == 2
    assert jobs.find(job.id).state == "running"
    jobs.cancel(job.id)
    assert jobs.find(job.id).state == "cancelled"
    wait(lambda: not living(job), 3)
    Path("never").touch()
    jobs.resume(job.id)
    assert ended(job).state == "done"


def test_a_stubborn_command_without_runner_is_killed_by_who_cancels_and_never_by_who_looks(place, monkeypatch):
    monkeypatch.setattr("cezsar.jobs.KILL_AFTER_S", 2.0)
    job = jobs.start("train", "A run", [step("stubborn", "begun")])
    wait(Path("begun").exists)
    os.kill(int((job.folder / "lock").read_text()), signal.SIGKILL)
    assert jobs.find(job.id).state == "running", "its command still works"
    jobs.cancel(job.id)
    os.utime(job.folder / "cancel", (time.time() - 60, time.time() - 60))
    assert jobs.find(job.id).state == "cancelled"
    time.sleep(0.5)
    assert living(job), "a look has killed it"
    wait(lambda: not living(job), 4)


def test_a_job_that_dies_is_interrupted_and_goes_on(place):
    job = jobs.start("train", "A run", [step("say", "growing: 40 of 100"), step("until", "go")])
    for number in (signal.SIGKILL, signal.SIGTERM):  # the latter: a system that goes down
        wait(Path("go.begun").exists)
        os.killpg(int((job.folder / "lock").read_text()), number)
        job = ended(job)
        assert (job.state, job.step, job.share) == ("interrupted", 1, 0.5)
        Path("go.begun").unlink()
        if number == signal.SIGTERM:
            Path("go").touch()
        jobs.resume(job.id)
    job = ended(job)
    assert job.state == "done" and job.log.count("growing") == 1


def test_jobs_take_turns_and_light_ones_do_not_wait(place, monkeypatch):
    first = jobs.start("train", "First", [step("until", "go-1")])
    wait(Path("go-1.begun").exists)
    second = jobs.start("train", "Second", [step("until", "go-2")])
    with monkeypatch.context() as patch:
        patch.setattr("cezsar.jobs.time.time", lambda now=time.time: now() - 3600)  # the clock is set back
        third = jobs.start("train", "Third", [step("until", "go-3")])
    light = jobs.start("tsne", "Light", [step("until", "go-light")], at_once=True)
    wait(Path("go-light.begun").exists)
    assert [job.title for job in jobs.jobs()] == ["Light", "Third", "Second", "First"]
    assert [job.state for job in jobs.jobs("train")] == ["waiting", "waiting", "running"]
    assert jobs.find(second.id).elapsed_s == 0
    jobs.cancel(second.id)
    Path("go-1").touch()
    wait(Path("go-3.begun").exists)
    assert jobs.find(first.id).state == "done" and jobs.find(light.id).state == "running"
    assert not Path("go-2.begun").exists() and jobs.find(second.id).state == "cancelled"
    jobs.resume(second.id)  # it queues anew, behind the third
    time.sleep(0.8)
    assert jobs.find(second.id).state == "waiting"
    Path("go-3").touch()
    wait(Path("go-2.begun").exists)
    assert jobs.find(third.id).state == "done"


def test_two_browsers_press_one_button(place):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: jobs.start("demo", "D", [step("until", "go")], only_one=True), range(8)))
    assert len({job.id for job in found}) == len(jobs.jobs()) == 1
    jobs.cancel(found[0].id)
    assert jobs.start("demo", "D", [step("say", "x")], only_one=True).id != found[0].id


def test_time_left_by_hand(monkeypatch, tmp_path):
    """Measured on the share gained since the work of an earlier attempt was found done."""
    monkeypatch.setattr("cezsar.jobs.time.time", lambda: 140.0)
    status = {"started_s": 100.0, "from_s": 110.0, "from_share": 0.2}
    assert times(tmp_path, "running", status, 0.5) == (40.0, pytest.approx(30 * 0.5 / 0.3))
    assert times(tmp_path, "running", status, 0.21) == (40.0, None)  # too early to tell
    assert times(tmp_path, "done", status | {"ended_s": 130.0}, 1.0) == (30.0, None)
    assert times(tmp_path, "waiting", {}, 0.0) == (0.0, None)


STAGES = {"drawing": 30.0, "training": 10.0}


@pytest.mark.parametrize(("steps", "status", "log", "expected"), [
    ([step("mine"), step("train")], {"codes": []}, "", ("", 0.0)),
    ([step("mine"), step("train")], {"codes": [0], "step": 1}, "x: 1 of 4\nx: 2 of 4, 3 s left", ("x", 0.75)),
    ([step("mine"), step("train")], {"codes": [0, 0], "step": 1}, "x: 2 of 4", ("", 1.0)),
    ([step("mine")], {"codes": [], "step": 0}, "timm:r50: 1,000 of 4,000, 2 failed", ("timm:r50", 0.25)),
    ([step("mine")], {"codes": [], "step": 0}, "x: 1 of 4\nbest of 3\nepoch 1: 3 of a kind\nx: 2 of", ("x", 0.25)),
    ([step("mine", stages=STAGES)], {"codes": [], "step": 0}, "drawing: 1 of 2\nother: 2 of 2", ("drawing", 0.375)),
    ([step("mine", stages=STAGES)], {"codes": [], "step": 0}, "drawing: 2 of 2", ("training", 0.75)),
    ([step("mine", stages=STAGES), step("mine", stages={"c": 60})], {"codes": [0], "step": 1}, "c: 1 of 2", ("c", 0.7)),
])  # fmt: skip
def test_share_by_hand(steps, status, log, expected):
    stage, share = position(steps, status, log.split("\n"))
    assert (stage, share) == (expected[0], pytest.approx(expected[1]))


def test_the_log_is_shown_as_one_would_see_it(place):
    bars = "\r".join(f"{percent} %" for percent in range(101))
    odd = "é\udce9".encode("utf-8", "surrogateescape").decode("latin-1")
    job = ended(jobs.start("say", "S", [step("say", *map(str, range(50)), bars, odd)]))
    lines = job.log.splitlines()
    assert len(lines) == 30 and lines[0] == "22" and lines[-2] == "100 %"
    (job.folder / "log.txt").write_bytes(b"\xff\xfe" * 100_000 + b"\nlast\n")
    assert jobs.find(job.id).log.endswith("\nlast")


def test_what_is_no_job_is_skipped(place):
    good = ended(jobs.start("train", "A run", [step("say", "x")]))
    root = good.folder.parent
    for name, content in {"a": "", "b": "{", "d": "{}", "e": '{"kind": 3, "steps": []}'}.items():
        (root / f"train-{name}").mkdir()
        (root / f"train-{name}" / "job.json").write_text(content)
    broken = root / "train-f"
    broken.mkdir()
    (broken / "job.json").write_text((good.folder / "job.json").read_text())
    (broken / "status.json").write_text("[1, 2]")
    assert [job.id for job in jobs.jobs()] == [good.id]
    (broken / "status.json").unlink()  # the starter was killed before it started anything
    assert jobs.find("train-f").state == "interrupted"
    assert ended(jobs.resume("train-f")).state == "done"
    for id in ("../jobs", "", "train-a", "train-none", "/etc"):
        assert jobs.find(id) is None
        with pytest.raises(InputError, match="no job"):
            jobs.forget(id)


def test_a_folder_that_was_tampered_with_runs_nothing_else(place, tmp_path_factory):
    """Another verb, a shell's line, another program, a package of the same name where it works, another's process."""
    job = ended(jobs.start("train", "A run", [step("fail", "1")]))
    record, flag = json.loads((job.folder / "job.json").read_text()), place / "flag"
    good = record["steps"][0]
    for arguments in (["app"], ["touch", str(flag)], f"say;touch {flag}", [["say"]], [], ["say", 3], {"say": 1}, None):
        (job.folder / "job.json").write_text(json.dumps(record | {"steps": [good | {"arguments": arguments}]}))
        assert jobs.find(job.id) is None and jobs.jobs() == []
        with pytest.raises(InputError, match="no job"):
            jobs.resume(job.id)
    for key, value in {"title": 3, "about": [], "kind": None, "steps": []}.items():
        (job.folder / "job.json").write_text(json.dumps(record | {key: value}))
        assert jobs.find(job.id) is None
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "cezsar").mkdir()
    (elsewhere / "cezsar" / "__init__.py").write_text(f"open({str(flag)!r}, 'w')")
    words = {"arguments": ["say", f"$(touch {flag})", f"; touch {flag}"]}
    (job.folder / "job.json").write_text(json.dumps(record | {"cwd": str(elsewhere), "steps": [good | words]}))
    jobs.resume(job.id)
    assert ended(job).log.endswith(f"$(touch {flag})\n; touch {flag}") and not flag.exists()
    job = jobs.start("train", "A run", [step("until", "never")])
    wait(Path("never.begun").exists)
    own = (job.folder / "lock").read_text()
    for group in ("0", "-1", "1", f"-{os.getpid()}", "x"):
        (job.folder / "lock").write_text(group)
        jobs.cancel(job.id)  # would end this process, or all
    (job.folder / "lock").write_text(own)
    assert ended(job).state == "cancelled"  # as the runner found asked
    wait(lambda: not living(job), 3)


def test_mistakes_are_refused(place):
    job = jobs.start("train", "A run", [step("until", "go")])
    with pytest.raises(InputError, match="cancel it first"):
        jobs.forget(job.id)
    jobs.cancel(job.id)
    record = json.loads((job.folder / "job.json").read_text()) | {"cwd": str(place / "gone")}
    (job.folder / "job.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="has gone"):
        jobs.resume(job.id)
    jobs.forget(job.id)
    assert not job.folder.exists()


def test_the_real_command_line_runs_as_a_job(tmp_path):
    job = jobs.start("info", "What is here", [Step("help", ["demo", "--help"])], home=tmp_path)
    job = wait(lambda: (now := jobs.find(job.id, tmp_path)) and not now.alive and now, 60)
    assert job.state == "done" and "Draw the stick-figure world" in job.log
