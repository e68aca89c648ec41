"""Speed of every task against the plain way and against the machine's limit, measured in the same run.

    python benchmarks/bench.py [task ...] [--scale 0.1] [--out table.md]

Each task runs in a process of its own, whose peak memory is told. Ends with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.speed import machine
from benchmarks.speed.rows import Row

TASKS = ("protocol", "mining", "training", "extraction", "decoding", "store", "sentences", "search", "weights", "start")
HEAD = ("task", "of", "ours", "plain way: ratio", "limit: ratio", "peak memory", "targets")


def run_here(task: str, scale: float) -> None:
    """Measure one task in this process, a row as a line of JSON at a time."""
    with tempfile.TemporaryDirectory() as folder:
        for row in import_module(f"benchmarks.speed.{task}").measure(Path(folder), scale):
            peak_gb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
            print("row", json.dumps(asdict(replace(row, peak_gb=row.peak_gb or peak_gb / 1e6))), flush=True)


def rows_of(task: str, scale: float) -> list[Row]:
    """Measure one task in a process of its own."""
    command = [sys.executable, __file__, task, "--scale", str(scale), "--here"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Row(**json.loads(line[4:])) for line in said.splitlines() if line.startswith("row ")]


def table(rows: list[Row]) -> str:
    """In Markdown, under what it was measured on."""
    cells = [list(HEAD), ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return f"{machine.heading()}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="task", help=", ".join(TASKS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size, for a quick look")
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--guard", action="store_true", help="want a third of the ratios, and nothing else")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        run_here(arguments.tasks[0], arguments.scale)
        return 0
    rows = []
    for task in arguments.tasks or TASKS:
        print(task, "...", file=sys.stderr, flush=True)
        rows += rows_of(task, arguments.scale)
    rows = [row.guarded() for row in rows] if arguments.guard else rows
    print(table(rows))
    if arguments.out:
        arguments.out.write_text(table(rows) + "\n", encoding="utf-8")
    return 1 if any(row.misses for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
