"""Servers and Debian's Chromium without a window."""

import shutil
import time

import pytest
from playwright.sync_api import Page, sync_playwright
from visiting import Server, visit

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="session")
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """The app with an empty workspace: what a first-time visitor meets."""
    server = Server(tmp_path_factory.mktemp("fresh"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def built(tmp_path_factory, chromium):
    """The app after somebody pressed the button that builds the demo from scratch, and waited."""
    server = Server(tmp_path_factory.mktemp("built"))
    page = visit(chromium, server, "library")
    page.get_by_role("button", name="Prepare the demo").click()
    page.get_by_role("button", name="Cancel").wait_for()
    deadline = time.monotonic() + 900
    while not (server.home / "runs" / "demo" / "results" / "demo all.json").is_file():
        assert time.monotonic() < deadline, "the demo was not built"
        time.sleep(1)
    page.get_by_role("button", name="Cancel").wait_for(state="detached", timeout=60_000)
    page.context.close()
    yield server
    server.stop()


@pytest.fixture
def open_at(chromium):
    """Open an address of a server in a browser session of its own; what went wrong in the browser fails the test."""
    opened = []

    def open_page(server: Server, address: str = "") -> Page:
        page = visit(chromium, server, address)
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        complaints = list(page.complaints)
        page.context.close()
        assert complaints == []
