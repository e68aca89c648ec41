"""The app as people meet it: a server of its own, and pages opened in a browser."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


class Server:
    """`streamlit run app/main.py` on a port of its own, with a workspace of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(self.port)]
        self.log = (self.home / "server.txt").open("ab")
        self.process = subprocess.Popen(
            [*command, "--server.fileWatcherType", "none"],
            cwd=ROOT,
            env=os.environ | {"CEZSAR_HOME": str(self.home)},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2).read()
                return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError((self.home / "server.txt").read_text()[-3000:])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def memory(self) -> float:
        """Resident memory in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1000


def visit(chromium, server: Server, address: str = "") -> Page:
    page = chromium.new_context(viewport=WIDE).new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{server.url}/{address}")
    settle(page)
    return page


def settle(page: Page, timeout_s: float = 90) -> None:
    """Wait until the script has run and nothing on the page is marked stale."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            return app && app.getAttribute('data-test-script-state') === 'notRunning'
                && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]');
        }""",
        timeout=timeout_s * 1000,
    )
    page.wait_for_timeout(250)
    assert not page.get_by_test_id("stException").count(), page.get_by_test_id("stException").first.inner_text()
