"""What the app opens to others, and what it tells them: nothing. Seen from outside, by the system calls of all of its
processes."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SENT = re.compile(r"(?:connect|send(?:to|msg|mmsg))\(.*?sin6?_port=htons\((\d+)\).*?\"([0-9a-f.:]+)\"")
VISIT = """
import os, sys
from pathlib import Path
from streamlit import config
from streamlit.testing.v1 import AppTest
entry = Path("app/main.py").resolve()
config._main_script_path = str(entry)
page = AppTest.from_file(str(entry), default_timeout=120).run()
page.file_uploader[0].upload("film.mp4", Path(sys.argv[1]).read_bytes()).run()
assert not page.exception and not page.error, (page.exception, page.error)
said = " ".join(str(each.value) for kind in ("markdown", "caption") for each in page.get(kind))
assert "**photographs** answers" in said, said
print("answered", flush=True)
os._exit(0)  # threads of the app are still at work
"""
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")


@pytest.fixture
def traced(tmp_path):
    """Starts Python under the eyes of strace: (process, what gives the addresses and ports beyond this machine, and of
    name servers, that it or any process it started sent to)."""
    log = tmp_path / "calls"
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "DO_NOT_", "RAY_"))}
    trace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    running = []

    def start(*arguments):
        own = {"CEZSAR_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [*trace, sys.executable, *map(str, arguments)], cwd=ROOT, env=quiet | own, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        running.append(process)
        return process

    def sent():
        lines = log.read_text(errors="replace").splitlines()
        assert lines, "strace saw nothing, not even what stays on this machine"
        found = {match.groups()[::-1] for match in map(SENT.search, lines) if match}
        return {(to, port) for to, port in found if port == "53" or not to.startswith(("127.", "::1"))}

    yield start, sent
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_tracer_sees_what_is_sent(traced):
    start, sent = traced
    code = """import contextlib, socket
for kind, *to in ((2, "192.0.2.1", 9), (10, "2001:db8::1", 9), (2, "127.0.0.1", 53), (2, "127.0.0.1", 9)):
    with contextlib.suppress(OSError): socket.socket(kind, socket.SOCK_DGRAM).connect(tuple(to))  # sends nothing
"""
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    assert start("-c", child).wait(30) == 0
    assert sent() == {("192.0.2.1", "9"), ("2001:db8::1", "9"), ("127.0.0.1", "53")}


def test_a_classification_in_the_app_tells_nobody(traced, tmp_path):
    start, sent = traced
    pixels = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3)).astype(np.uint8)
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for picture in [*pixels, None]:
            container.mux(stream.encode(None if picture is None else av.VideoFrame.from_ndarray(picture, "rgb24")))
    process = start("-c", VISIT, tmp_path / "film.mp4")
    out = process.communicate(timeout=240)[0]
    assert "answered" in out, out
    assert sent() == set()


def put(port, path, headers):
    asked = urllib.request.Request(f"http://localhost:{port}{path}", b"", headers, method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=10)
    return refused.value.code


@pytest.mark.parametrize("address", [None, "0.0.0.0"])
def test_the_server_tells_nobody_that_it_is_there_and_takes_uploads_from_its_own_pages_only(traced, address):
    start, sent = traced
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    more = ["--server.address", address] if address else []
    process = start("-m", "cezsar", "app", "--server.port", port, "--server.fileWatcherType", "none", *more)
    answer, deadline = None, time.monotonic() + 90
    while answer is None and process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            answer = urllib.request.urlopen(f"http://localhost:{port}/", timeout=5)
        time.sleep(0.2)
    assert answer is not None and b"<html" in answer.read()
    with socket.socket() as other:  # of this machine's addresses, only by the usual one
        refused = other.connect_ex(("127.0.0.2", port)) != 0
    assert refused == (address is None)
    upload = "/_stcore/upload_file/no-such-session/no-such-file"
    health = urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=5)
    cookie = health.headers["Set-Cookie"].partition(";")[0]
    token = cookie.partition("=")[2]
    assert put(port, upload, {}) == put(port, upload, {"Cookie": cookie}) == 403
    assert put(port, upload, {"Cookie": cookie, "X-Xsrftoken": token}) == 400  # let through: there is no such session
    time.sleep(1)
    # Which of its addresses others see, Streamlit asks its own system with a datagram that it never sends.
    assert sent() <= ({("8.8.8.8", "1")} if address else set())
