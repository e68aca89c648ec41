"""`cezsar project`: clips and class prototypes in the plane, for the page Semantic gap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import Progress, output, save

EXAMPLES = """[bold]Examples[/bold]

cezsar project demo@demo

cezsar project workspace/scores/cezsar@ucf101 --perplexity 50 --seed 1 --sample 5000

cezsar project cezsar@ucf101 --classes "horse riding, horse race, pommel horse, balance beam" --out figure1.safetensors
"""


def command(
    scored: Annotated[
        str, typer.Argument(help="What `cezsar evaluate --keep` wrote: a folder, or its name in the workspace.")
    ],
    perplexity: Annotated[float, typer.Option(help="About how many neighbours a point looks at, above 0.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of the choice of clips and of t-SNE.")] = 0,
    sample: Annotated[int, typer.Option(min=1, help="Clips at the most, as evenly over classes as can be.")] = 3000,
    classes: Annotated[
        str | None, typer.Option(help='Fit these alone, separated by commas; a name with a comma in "".')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Default: in the workspace, where the app looks for it.", callback=output())
    ] = None,
) -> None:
    """Lay clips and class prototypes out in the plane: t-SNE of raw features, sentence space and joint space."""
    from cezsar import workspace
    from cezsar.analysis import maps
    from cezsar.atomic import refuse_unwritable
    from cezsar.data.labels import parse_labels, resolve
    from cezsar.zeroshot.scored import Scored

    folder = Path(scored)
    named = workspace.folder("scores") / scored
    item = Scored.open(folder if (folder / "about.json").is_file() or not named.is_dir() else named)
    names = resolve(parse_labels(classes).names, item.scores().class_names) if classes else []
    settings = maps.MapSettings(perplexity, seed, sample, tuple(names))
    target = out or maps.folder() / settings.file_name(item.fingerprint)
    refuse_unwritable(target)
    with Progress("t-SNE") as progress:
        (path,) = save((target, lambda path: maps.keep(item, settings, path, progress)))
    print(f"wrote {path}")
