"""The package installed as a wheel: everything comes along, and nothing looks for the checkout."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALONG = ("app", "assets", "pages")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build leaves files in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("cezsar", *ALONG):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    subprocess.run([*pip, "wheel", *options, source], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs Python, elsewhere, with the wheel's package: `installed(*arguments)` is a started process."""
    site, elsewhere = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site), "CEZSAR_HOME": str(elsewhere / "workspace")}

    def start(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.Popen(command, cwd=elsewhere, env=environment, text=True, stdout=-1, stderr=-1)

    return start


def test_a_wheel_holds_the_package_the_app_and_the_assets(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "cezsar").rglob("*.py")}
    for path in (path for name in ALONG for path in (ROOT / name).rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts and "screenshots" not in path.parts:
            wanted.add(f"cezsar/bundle/{path.relative_to(ROOT)}")
    assert held == wanted


def test_an_installed_app_answers(installed):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    process = installed("-m", "cezsar", "app", "--server.port", port, "--server.fileWatcherType", "none")
    answer, deadline = b"", time.monotonic() + 60
    while not answer and process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            answer = urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=2).read()
        time.sleep(0.2)
    process.terminate()
    out, err = process.communicate()
    assert answer == b"ok", err
    assert f"http://localhost:{port}" in out  # its own settings were read: without them it listens to every address


OPEN = """
import os
from streamlit.testing.v1 import AppTest
from cezsar.workspace import ASSETS, BESIDE
assert BESIDE.name == "bundle" and ASSETS.is_dir(), BESIDE
page = AppTest.from_file(str(BESIDE / "app/main.py"), default_timeout=120).run()
for name in ("classify", "evaluate", "library"):
    page = page.switch_page(f"../pages/{name}.py").run()
    assert not page.exception, page.exception
import app, cezsar
print(app.__path__[0], cezsar.__file__, flush=True)
os._exit(0)  # threads of the app are still at work
"""


@pytest.mark.heavy
def test_an_installed_demo_reaches_its_figures_and_pages_open(installed):
    demo = installed("-m", "cezsar", "demo")
    out, err = demo.communicate()
    assert demo.returncode == 0, err
    row = next(line for line in out.splitlines() if line.startswith("VE + O"))
    assert float(row.removeprefix("VE + O").split()[0]) > 70, out  # 78.1; a seed is worth a few points
    pages = installed("-c", OPEN)
    out, err = pages.communicate()
    assert pages.returncode == 0, err
    assert str(ROOT) not in out
