"""One table of what `make test-hard` tried and lost. A test takes the fixture `row` and says
`row("kills of mining", tried=50, lost=0)`, if it knows with `refused=` and `accepted=`, or in words with `said=` what
depends on seed and machine, before it asserts that nothing was lost; whatever it draws begins with the fixture
`hard_seed`: `make test-hard SEED=7 TABLE=table.md`."""

import platform
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=0, help="what the randomness of the hard tests begins with")
    parser.addoption("--table", type=Path, help="where to write the table of the hard tests, as Markdown")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.hard)


@pytest.fixture
def hard_seed(request):
    return request.config.getoption("--seed", 0)


@pytest.fixture
def row(request):
    started = time.monotonic()

    def tell(what, *, tried, lost, refused=None, accepted=None, said=""):
        if refused is not None:
            said = f"{refused:,} refused by name, {accepted:,} taken"
        cells = (what, tried, lost, time.monotonic() - started, said)
        request.node.user_properties.append(("row", cells))  # travels from the processes of xdist with the report

    return tell


def pytest_terminal_summary(terminalreporter, config):
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")]
    rows = [
        value for report in reports if report.when == "call" for key, value in report.user_properties if key == "row"
    ]
    if not rows or hasattr(config, "workerinput"):  # the processes of xdist know a part each
        return
    used = ("cezsar", "torch", "h5py", "safetensors", "av", "streamlit")
    told = [f"{date.today()}, Python {platform.python_version()}", *(f"{name} {version(name)}" for name in used)]
    told.append(f"seed {config.getoption('--seed', 0)}")
    lines = ["| what was tried | how often | lost | seconds |", "|---|---:|---:|---:|"]
    lines += [f"| {what} | {tried:,} | {lost:,} | {seconds:.0f} |" for what, tried, lost, seconds, _ in sorted(rows)]
    terminalreporter.section("hard tests")
    terminalreporter.write_line("\n".join([", ".join(told), "", *lines, ""]))
    for what, *_, said in sorted(rows):
        if said:
            terminalreporter.write_line(f"{what}: {said}")
    if path := config.getoption("--table", None):
        path.write_text("\n".join([", ".join(told), "", *lines, ""]), encoding="utf-8")
