"""How long until something is there: help, a ranking of one's own clip, the app."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed import films
from benchmarks.speed.rows import Row

LABELS = "riding a bike,playing piano,swimming,archery,cooking"


def command_s(*arguments: str, times: int = 5) -> float:
    """Median seconds of a command in a fresh process."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cezsar", *arguments], check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def app_s(folder: Path, chromium: str) -> tuple[float, float]:
    """Seconds from the app's start until its first page is filled, and until another is."""
    from playwright.sync_api import Page, sync_playwright

    def settle(page: Page) -> None:
        page.wait_for_function("""() => {
            const app = document.querySelector('[data-testid="stApp"]');
            return app && app.getAttribute('data-test-script-state') === 'notRunning'
                && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]');
        }""", timeout=90_000)  # fmt: skip

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        started = time.perf_counter()
        server = subprocess.Popen([sys.executable, "-m", "cezsar", "app", "--server.port", str(port)],
                                  env=os.environ | {"CEZSAR_HOME": str(folder)}, stdout=subprocess.DEVNULL)  # fmt: skip
        try:
            while True:
                try:
                    page.goto(f"http://localhost:{port}/")
                    break
                except Exception:  # not there yet
                    if time.perf_counter() - started > 60:
                        raise
                    time.sleep(0.05)
            settle(page)
            first_s = time.perf_counter() - started
            started = time.perf_counter()
            page.get_by_role("link", name="Evaluate").first.click()
            page.get_by_role("heading", name="Evaluate").first.wait_for()
            settle(page)
            return first_s, time.perf_counter() - started
        finally:
            server.terminate()
            server.wait()
            browser.close()


def measure(folder: Path, scale: float) -> Iterator[Row]:
    os.environ["CEZSAR_HOME"] = str(folder)
    yield Row("cezsar --help", "median of five", command_s("--help"), at_most_s=0.5)
    film = films.drawn(folder / "film.mp4", 10, 640, 480)
    yield Row("cezsar classify", "a clip of 10 s, cold, median of five", command_s("classify", str(film), "--labels",
              LABELS), at_most_s=5)  # fmt: skip
    if chromium := shutil.which("chromium") or shutil.which("chromium-browser"):
        first_s, second_s = app_s(folder, chromium)
        yield Row("the app", "from its start to a filled first page", first_s, at_most_s=6)
        yield Row("the app", "another page", second_s, at_most_s=2)
