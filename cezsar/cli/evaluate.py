"""`cezsar evaluate`: a store and a run to the field's tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import Progress, output, save

EXAMPLES = """[bold]Examples[/bold]

cezsar evaluate --dataset demo --store workspace/features/demo-test --run workspace/runs/demo --protocol all

cezsar evaluate --dataset ucf101 --store features/ucf101-bit --run runs/cezsar --protocol ucf101-0/50 --seed 0

cezsar evaluate --dataset ucf101 --captions blip.json --captions git.json --protocol ucf101-0/50

cezsar evaluate --dataset ucf101 --store features/ucf101-bit --method objects --protocol ucf101-0/101 --out r.json
"""


class Several(StrEnum):
    """What a class with several sentences is compared by."""

    nearest = "nearest"
    mean = "mean"


class Together(StrEnum):
    """What several captions of a clip become."""

    joined = "joined"
    averaged = "averaged"


# Options that other verbs have, too
Captions = Annotated[list[Path] | None, typer.Option(help="Caption files, one for each captioning model.")]
CaptionsAs = Annotated[
    Together, typer.Option(help="Several captions a clip: one sentence, or the mean of their embeddings.")
]
SeveralSentences = Annotated[Several, typer.Option(help="Several sentences a class: compare with which.")]
Splits = Annotated[int, typer.Option(min=1, help="Random splits.")]
ComparisonOut = Annotated[
    Path | None,
    typer.Option(
        help="Where to write everything as JSON; .csv, .md and .tex go beside it.",
        callback=output(".json", ".csv", ".md", ".tex"),
    ),
]


def command(
    dataset: Annotated[
        str,
        typer.Option(
            help="demo, ucf101, hmdb51, kinetics400 (or a part of one: ucf101:test1), a name from `cezsar datasets`, a "
            "folder of class folders, a CSV with labels, or an index JSON, class name -> clip ids."
        ),
    ],
    store: Annotated[
        Path | None, typer.Option(help="Feature store of its clips. Not needed where captions alone speak for them.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help='"all", "half", "K-of-N" (random classes), a named one such as ucf101-0/50, ucf101-hard15 or '
            'ucf101-truze-v2 (see `cezsar datasets`), a JSON file with a class list, or "official": all classes, '
            "the mean over the official test splits of ucf101 or hmdb51."
        ),
    ] = "all",
    run: Annotated[
        Path | None, typer.Option(help="A trained run. Without one: the sentence encoder's own space, no VE.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="cezsar, cross-modal, or one without training: objects, objects+captions, captions, image-text. The "
            "run's own by default, cezsar without a run."
        ),
    ] = None,
    captions: Captions = None,
    captions_as: CaptionsAs = Together.joined,
    prototypes: Annotated[
        str | None,
        typer.Option(
            help="Class descriptions: JSON {class: sentence or list}, a folder of .txt, or ucf101, hmdb51, kinetics400 "
            "for those that come along."
        ),
    ] = None,
    sentences: Annotated[str, typer.Option(help="Sentence encoder, where there is no run.")] = "minilm",
    alpha: Annotated[float | None, typer.Option(help="Weight of VE; the run's by default, 0 without one.")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the objects O.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the captions C.")] = None,
    several: SeveralSentences = Several.nearest,
    runs: Splits = 50,
    seed: Annotated[int, typer.Option(help="Of the random splits.")] = 0,
    weights_file: Annotated[Path | None, typer.Option(help="Weights of the frame encoder, for its objects.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the result as JSON; a .csv and a .md go beside it.",
            callback=output(".json", ".csv", ".md"),
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option(help="Keep embeddings and scores in the workspace, for the app and later questions.")
    ] = False,
) -> None:
    """Top-1, top-5 and mean per-class accuracy, for each modality and fused, over the splits of a protocol."""
    from dataclasses import replace

    from cezsar.atomic import refuse_unwritable
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.runs import Run
    from cezsar.zeroshot import scored
    from cezsar.zeroshot.methods import Sources, prepare
    from cezsar.zeroshot.model_choice import changed
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.tables import save_all, table

    sources = Sources.opened(
        dataset,
        prototypes,
        stores=[store] if store else [],
        captions=captions or [],
        averaged=captions_as is Together.averaged,
        sentences=sentences,
        several=several.value,
        encoder_weights=weights_file,
    )
    data = sources.dataset
    for warning in data.warnings:
        print(f"{data.name}: {warning}")
    opened = Run.open(run) if run else None
    if keep:
        refuse_unwritable(scored.folder_for(opened, dataset, method=method or "cezsar"), folder=True)
    with Progress("embedding clips") as progress:
        ready = prepare(method, sources, opened, progress)
    for line in ready.embedded.notes:
        print(line)
    ready = replace(ready, weights=changed(ready.weights, alpha=alpha, beta=beta, gamma=gamma))
    if keep:
        place = scored.folder_for(ready.run, dataset, method=method or "cezsar")
        scored.keep(
            place, ready, open_encoder(sources.sentence_encoder(ready.run)), sources.descriptions,
            dataset=data.name, paths=data.paths, several=several.value,
        )  # fmt: skip
        print(f"kept in {place}")
    if protocol == "official":
        results = ready.table({name: ids for name, ids in data.parts.items() if name.startswith("test")})
    else:
        results = ready.table(parse(protocol, ready.scores.class_names, runs=runs, seed=seed))
    print(table(results))
    if out:
        print("wrote " + ", ".join(map(str, *save((out, lambda path: save_all(results, path))))))
