"""`cezsar photographs`: a run for real video from a classifier's weights, without any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import output

EXAMPLES = """[bold]Examples[/bold]

cezsar photographs --out runs/photographs

cezsar photographs --encoder bit --out runs/bit-photographs --store features/ordinary-clips
"""


def command(
    out: Annotated[Path, typer.Option(help="Folder of the run.", callback=output(folder=True))],
    encoder: Annotated[
        str, typer.Option(help="A frame encoder with a classifier: efficientnet, bit, timm:<model>.")
    ] = "efficientnet",
    sentences: Annotated[str, typer.Option(help="Sentence encoder.")] = "minilm",
    ridge: Annotated[float, typer.Option(help="Weight of the squared norm in the ridge regression.")] = 1.0,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Features of ordinary clips, ten at least: with them the run tells clips unlike all it knows."
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="File or folder of the frame encoder's weights.")] = None,
    ship: Annotated[
        Path | None,
        typer.Option(
            help="Write vectors of the objects' names and of Kinetics-400's descriptions there.",
            callback=output(folder=True),
        ),
    ] = None,
) -> None:
    """Make a run that ranks any labels for real video, from the rows of a classifier and their definitions.

    It takes seconds and no video. The run photographs, which comes along, was made so; `cezsar calibrate` then gives it
    probabilities and a "none of these".
    """
    from cezsar import encoders
    from cezsar.data import sentence_cache
    from cezsar.data.datasets import named_descriptions
    from cezsar.data.features import FeatureStore
    from cezsar.errors import MismatchError
    from cezsar.training.rows import run_of_rows

    frames = encoders.create(encoder, weights=weights, precision="fp32")
    clips = []
    if store is not None:
        opened = FeatureStore(store)
        if opened.provenance["fingerprint"] != frames.fingerprint:
            raise MismatchError(f"{store} holds features of {opened.provenance['encoder']}, not of {frames.name}")
        clips = [opened.features(clip) for clip in opened]
    words = sentence_cache.open_encoder(sentences)
    run = run_of_rows(out, frames, words, ridge=ridge, clips=clips)
    if ship is not None and (head := frames.object_head) is not None:
        described = [text for texts in named_descriptions("kinetics400").values() for text in texts]
        print(sentence_cache.ship(words.encoder, [*head.names, *described], ship))
    print(f"{run.folder}: ranks any labels; knows {run.config.domain}")
