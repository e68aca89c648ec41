"""The demo as a process of its own: started, followed, stopped, found again."""

import sys
import time

import pytest
from conftest import open_page

from app import preparation

SCRIPT = """
import sys, time
for done in (30, 60):
    print(f"drawing videos: {done} of 120, 9 s left", file=sys.stderr, flush=True)
if ENDLESS:
    time.sleep(60)
sys.exit("cezsar: the disk is full")
"""


@pytest.fixture
def command(empty_workspace, monkeypatch):
    """`start` runs a script in place of the real demo; anything left running is stopped."""
    real = preparation.subprocess.Popen

    def use(script):
        monkeypatch.setattr(
            preparation.subprocess, "Popen", lambda given, **options: real([sys.executable, "-c", script], **options)
        )

    yield use
    preparation.stop()


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_job_is_followed_then_stopped(command):
    assert preparation.current() is None
    command(SCRIPT.replace("ENDLESS", "True"))
    preparation.start()
    wait_until(lambda: "60 of 120" in preparation.current().log)
    job = preparation.current()
    assert job.running and job.stage == "drawing videos"
    assert job.share == pytest.approx(0.5 * preparation.STAGES["drawing videos"] / sum(preparation.STAGES.values()))
    assert job.left_s > 0
    preparation.start()  # a second browser
    assert preparation.current().log == job.log
    page = open_page()
    assert not page.exception
    assert [button.label for button in page.button] == ["Stop"]
    page.button[0].click().run()
    wait_until(lambda: not preparation.current().running)
    page = open_page()
    assert [button.label for button in page.button] == ["Try again"]


def test_a_failure_shows_the_end_of_the_log(command):
    command(SCRIPT.replace("ENDLESS", "False"))
    preparation.start()
    wait_until(lambda: not preparation.current().running)
    page = open_page()
    assert not page.exception
    assert page.error
    assert "the disk is full" in page.code[0].value


def test_what_a_killed_start_left_is_no_job(empty_workspace):
    folder = empty_workspace / "jobs" / "demo"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "log.txt").touch()
    assert preparation.current() is None


def test_stages_are_those_of_the_demo(small_demo):
    assert list(preparation.STAGES) == list(small_demo[1].seconds)
