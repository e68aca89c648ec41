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


def test_a_job_is_followed_then_stopped(command):
    assert preparation.current() is None
    first = page()
    assert [button.label for button in first.button] == ["Prepare the demo"]
    assert first.subheader[0].value == "The stick-figure world, from scratch"  # true with a shipped run, too
    command(endless=True)
    first.button[0].click().run()
    wait_until(lambda: "60 of 120" in preparation.current().log)
    job = preparation.current()
    assert job.alive and job.stage == "drawing videos"
    assert job.share == pytest.approx(0.5 * preparation.STAGES["drawing videos"] / sum(preparation.STAGES.values()))
    wait_until(lambda: preparation.current().elapsed_s > 0.1)
    preparation.start()  # a second browser
    assert [each.id for each in jobs.jobs("demo")] == [job.id]
    shown = page()
    assert [button.label for button in shown.button] == ["Stop"]
    assert any("**Drawing videos**" in text.value for text in shown.markdown)
    shown.button[0].click().run()
    wait_until(lambda: not preparation.current().alive)
    assert offered() == ["Try again"]


def test_a_failure_shows_the_end_of_the_log_and_what_a_killed_start_left_is_no_job(command, empty_workspace):
    folder = empty_workspace / "jobs" / "demo-1"
    folder.mkdir(parents=True)
    for name in ("lock", "log.txt"):
        (folder / name).touch()
    assert preparation.current() is None
    command(endless=False)
    preparation.start()
    wait_until(lambda: not preparation.current().alive)
    shown = page()
    assert shown.error and "the disk is full" in shown.code[0].value
    command(endless=True)
    preparation.start()
    assert preparation.current().alive and len(jobs.jobs("demo")) == 2


def test_stages_are_those_of_the_demo(small_demo):
    assert list(preparation.STAGES) == list(small_demo[1].seconds)
