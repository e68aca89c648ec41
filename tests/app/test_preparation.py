"""The demo as a job: started, followed, stopped, found again."""

import pytest
from conftest import wait_until
from streamlit.testing.v1 import AppTest

from app.parts import preparation
from cezsar import jobs

COMMAND = """
import sys, time
assert sys.argv[1:3] == ["demo", "--workspace"]
for done in (30, 60):
    print(f"drawing videos: {done} of 120, 9 s left", file=sys.stderr, flush=True)
if ENDLESS:
    time.sleep(60)
sys.exit("cezsar: the disk is full")
"""


@pytest.fixture
def command(fake_command):
    return lambda endless: fake_command(COMMAND.replace("ENDLESS", str(endless)))


def page():
    """What the pages show in place of a model."""

    def script():
        from app.parts.preparation import prepare_demo

        prepare_demo()

    shown = AppTest.from_function(script, default_timeout=60).run()
    assert not shown.exception
    return shown


def offered():
    return [button.label for button in page().button]


def current():
    return next(iter(jobs.jobs("demo")), None)


def press(label):
    next(button for button in page().button if button.label == label).click().run()


def test_a_job_is_followed_then_stopped(command):
    assert offered() == ["Prepare the demo"]
    assert page().subheader[0].value == "The stick-figure world, from scratch"  # true with a shipped run, too
    command(endless=True)
    press("Prepare the demo")
    wait_until(lambda: "60 of 120" in current().log)
    job = current()
    assert job.alive and job.stage == "drawing videos"
    assert job.share == pytest.approx(0.5 * preparation.STAGES["drawing videos"] / sum(preparation.STAGES.values()))
    assert offered() == ["Cancel"]
    press("Cancel")
    wait_until(lambda: not current().alive)
    assert offered() == ["Resume", "Remove from the list"]


def test_a_failure_shows_the_end_of_the_log_and_what_a_killed_start_left_is_no_job(command, empty_workspace):
    folder = empty_workspace / "jobs" / "demo-1"
    folder.mkdir(parents=True)
    for name in ("lock", "log.txt"):
        (folder / name).touch()
    command(endless=False)
    press("Prepare the demo")
    wait_until(lambda: not current().alive)
    assert "the disk is full" in page().error[0].value
    command(endless=True)
    press("Resume")
    wait_until(lambda: current().alive)


def test_stages_are_those_of_the_demo(small_demo):
    assert list(preparation.STAGES) == list(small_demo[1].seconds)
