"""`cezsar evaluate`: a store and a run to the field's tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """[bold]Examples[/bold]

cezsar evaluate --dataset demo --store workspace/features/demo-test --run workspace/runs/demo --protocol all

cezsar evaluate --dataset ucf101 --store features/ucf101-bit --run runs/cezsar --protocol ucf101-0/50 --seed 0

cezsar evaluate --dataset UCF-101/ --store features/ucf101-bit --prototypes ucf101.json --protocol all --out r.json
"""


class Several(StrEnum):
    """What a class with several sentences is compared by."""

    nearest = "nearest"
    mean = "mean"


def command(
    dataset: Annotated[
        str,
        typer.Option(
            help="demo, ucf101, hmdb51, kinetics400 (or a part of one: ucf101:test1), a name from `cezsar datasets`, a "
            "folder of class folders, a CSV with labels, or an index JSON, class name -> clip ids."
        ),
    ],
    store: Annotated[Path, typer.Option(help="Feature store of its clips.")],
    protocol: Annotated[
        str,
        typer.Option(
            help='"all", "half", "K-of-N" (random classes), a named one such as ucf101-0/50, ucf101-hard15 or '
            "ucf101-truze-v2 (`cezsar datasets` lists them), or a JSON file with a class list."
        ),
    ] = "all",
    run: Annotated[
        Path | None, typer.Option(help="A trained run. Without one: the sentence encoder's own space, no VE.")
    ] = None,
    captions: Annotated[list[Path] | None, typer.Option(help="Caption files, one for each captioning model.")] = None,
    prototypes: Annotated[
        Path | None, typer.Option(help="Class descriptions: JSON {class: sentence or list}, or a folder of .txt.")
    ] = None,
    sentences: Annotated[str, typer.Option(help="Sentence encoder, where there is no run.")] = "minilm",
    alpha: Annotated[float | None, typer.Option(help="Weight of VE; the run's by default, 0 without one.")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the objects O.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the captions C.")] = None,
    several: Annotated[Several, typer.Option(help="Several sentences a class: compare with which.")] = Several.nearest,
    runs: Annotated[int, typer.Option(min=1, help="Random splits.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the random splits.")] = 0,
    weights_file: Annotated[Path | None, typer.Option(help="Weights of the frame encoder, for its objects.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the result as JSON; a .csv and a .md go beside it.")
    ] = None,
    keep: Annotated[
        bool, typer.Option(help="Keep embeddings and scores in the workspace, for the app and later questions.")
    ] = False,
) -> None:
    """Top-1, top-5 and mean per-class accuracy, for each modality and fused, over the splits of a protocol."""
    from cezsar.cli.console import Progress
    from cezsar.data.captions import load_captions
    from cezsar.data.datasets import open_dataset
    from cezsar.data.descriptions import load_descriptions
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.zeroshot import scored
    from cezsar.zeroshot.embed import embed_dataset, space_for
    from cezsar.zeroshot.evaluation import evaluate_each, table
    from cezsar.zeroshot.fusion import Weights
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.results import save_all
    from cezsar.zeroshot.scores import Scores

    data, features = open_dataset(dataset), FeatureStore(store)
    for warning in data.warnings:
        print(f"{data.name}: {warning}")
    descriptions = load_descriptions(prototypes) if prototypes else data.descriptions
    joined = {clip: " ".join(found) for clip, found in load_captions(captions).items()} if captions else None
    space, opened = space_for(run, sentences)
    with Progress("embedding clips") as progress:
        embedded = embed_dataset(space, features, data, descriptions, run=opened, captions=joined, progress=progress)
    for line in embedded.notes:
        print(line)
    scores = Scores.from_embeddings(embedded.embeddings, several=several.value)
    given = {"alpha": alpha, "beta": beta, "gamma": gamma}
    default = opened.config.fusion if opened else {"alpha": 0.0, "beta": 1.0, "gamma": 1.0}
    fused = Weights(**default | {name: weight for name, weight in given.items() if weight is not None})
    if keep:
        encoder = open_encoder(opened.config.sentence_encoder["name"] if opened else sentences)
        place = scored.folder_for(opened, dataset)
        scored.keep(
            place, embedded, features, encoder, descriptions, dataset=data.name, run=opened, paths=data.paths,
            several=several.value, weights=fused,
        )  # fmt: skip
        print(f"kept in {place}")
    results = evaluate_each(scores, parse(protocol, scores.class_names, runs=runs, seed=seed), fused)
    print(table(results))
    if out:
        print("wrote " + ", ".join(str(path) for path in save_all(results, out)))
