"""`cezsar demo`: everything, on the embedded data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import Progress, duration, output

EXAMPLES = """[bold]Examples[/bold]

cezsar demo

cezsar demo --workspace /data/cezsar --seed 7
"""


def command(
    workspace: Annotated[
        Path | None, typer.Option(help="Default: $CEZSAR_HOME, else ./workspace.", callback=output(folder=True))
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the world, mining and training.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw and decode videos.")] = 2,
    recipe: Annotated[str, typer.Option(help="demo, or paper: the paper's own training settings.")] = "demo",
    ship: Annotated[
        Path | None,
        typer.Option(
            help="Then pack run, scores and captions into this folder (a few MB).", callback=output(folder=True)
        ),
    ] = None,
) -> None:
    """Draw the stick-figure world, train on it, and name actions that training never showed. About three minutes."""
    import torch

    from cezsar.demo.run import PAPER, Recipe, run_demo
    from cezsar.demo.shipped import ship as pack
    from cezsar.errors import InputError
    from cezsar.world import SEED
    from cezsar.zeroshot.tables import table

    torch.set_num_threads(1)  # as fast as two for a model this small, and unmoved by what else the machine does
    recipes = {"demo": Recipe(), "paper": PAPER}
    if recipe not in recipes:
        raise InputError(f"recipe {recipe!r} is unknown; choose {' or '.join(recipes)}")
    run_name = "demo" if recipe == "demo" else f"demo-{recipe}"
    shown = {"stage": ""}
    progress = Progress("")

    def on_progress(stage: str, done: int, total: int, note: str) -> None:
        if stage != shown["stage"]:
            progress.end_line()
            shown["stage"], progress.title = stage, stage
            progress.restart()
        progress(done, total, note)

    with progress:
        report = run_demo(
            workspace,
            SEED if seed is None else seed,
            recipe=recipes[recipe],
            run_name=run_name,
            workers=workers,
            on_progress=on_progress,
        )
    print(table(report.results))
    print(f"\nlargest share of predictions that one class takes: {report.largest_share:.0%}")
    print(f"{duration(sum(report.seconds.values()))} in all; the run is {report.run}")
    print(f"next: cezsar classify {report.run.parents[1] / 'demo' / 'test'}/*/*-000.webm")
    if ship:
        print(f"packed into {ship}: {pack(report, ship, workspace) / 1e6:.1f} MB")
