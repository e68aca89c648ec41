"""`cezsar fetch`: an encoder's weights from the hub into the workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import Progress, output

EXAMPLES = """[bold]Examples[/bold]

cezsar fetch open_clip:PE-Core-B-16

cezsar fetch clip:clip-ViT-B-32

cezsar fetch bit

cezsar fetch distilroberta --workspace /data/cezsar
"""


def command(
    encoder: Annotated[
        str,
        typer.Argument(
            help="video:<model>, open_clip:<model>, clip:<model>, timm:<model>, bit, distilroberta, or a hub name."
        ),
    ],
    workspace: Annotated[
        Path | None, typer.Option(help="Default: $CEZSAR_HOME, else ./workspace.", callback=output(folder=True))
    ] = None,
) -> None:
    """Fetch an encoder's weights into models/ of the workspace. Goes on where it was stopped."""
    if workspace is not None:
        os.environ["CEZSAR_HOME"] = str(workspace)  # where encoders are looked for, too
    from cezsar.encoders import located
    from cezsar.encoders.fetching import fetch

    there = located(encoder)
    with Progress("") as progress:

        def on_progress(what: str, done: int, total: int) -> None:
            progress.title = f"fetching {what} ({total / 1e6:,.0f} MB)"
            progress(done, total)

        folder = fetch(encoder, on_progress)
    print(f"{encoder} is here already: {there}" if there else f"{encoder} is ready: {folder}")
