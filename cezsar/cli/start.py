"""`cezsar app`: the app, from wherever the package is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cezsar.workspace import BESIDE

EXAMPLES = """[bold]Examples[/bold]

cezsar app

cezsar app --workspace /data/cezsar --server.port 8502 --server.address 0.0.0.0
"""


def command(
    streamlit: Annotated[list[str] | None, typer.Argument(help="Options of `streamlit run`.")] = None,
    workspace: Annotated[Path | None, typer.Option(help="Default: $CEZSAR_HOME, else ./workspace.")] = None,
) -> None:
    """Start the app, on http://localhost:8501 unless told otherwise."""
    if workspace is not None:
        os.environ["CEZSAR_HOME"] = str(workspace)
    script = str(BESIDE / "app" / "main.py")
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", script, *(streamlit or [])])
