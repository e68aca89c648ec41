"""`cezsar analyse`: one report about a method on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.evaluate import Several, Together

EXAMPLES = """[bold]Examples[/bold]

cezsar analyse workspace/runs/demo --store workspace/features/demo-test --dataset demo --out report.html

cezsar analyse runs/cezsar --store features/ucf101-bit --dataset ucf101 --train-store features/activitynet-bit
--captions captions.json --out reports/ucf101.html
"""


def command(
    run: Annotated[
        Path | None, typer.Argument(help="A trained run. Without one: the sentence encoder's space.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Feature store of the data set's clips.")] = None,
    dataset: Annotated[str, typer.Option(help="As in `cezsar evaluate`.")] = "demo",
    out: Annotated[Path, typer.Option(help="HTML file to write; its numbers go beside it as .json.")] = Path(
        "report.html"
    ),
    train_store: Annotated[
        Path | None, typer.Option(help="Store of the training videos, for the domain shift.")
    ] = None,
    seen_dataset: Annotated[
        str | None, typer.Option(help="Labelled clips of classes that training showed, for generalised zero-shot.")
    ] = None,
    seen_store: Annotated[Path | None, typer.Option(help="Feature store of these clips.")] = None,
    method: Annotated[str, typer.Option(help="As in `cezsar evaluate`.")] = "cezsar",
    captions: Annotated[list[Path] | None, typer.Option(help="Caption files, one for each captioning model.")] = None,
    captions_as: Annotated[
        Together, typer.Option(help="Several captions a clip: joined or averaged.")
    ] = Together.joined,
    prototypes: Annotated[str | None, typer.Option(help="Class descriptions, as in `cezsar evaluate`.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Hard groups, JSON {name: [classes]}; the data set's by default.")
    ] = None,
    sentences: Annotated[str, typer.Option(help="Sentence encoder, where there is no run.")] = "minilm",
    several: Annotated[Several, typer.Option(help="Several sentences a class: compare with which.")] = Several.nearest,
    protocol: Annotated[str, typer.Option(help="Random splits for means and spreads.")] = "half",
    runs: Annotated[int, typer.Option(min=1, help="Random splits.")] = 50,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
) -> None:
    """One self-contained HTML report, with figures: accuracy, fusion, semantic gap, confusion, open set, and more."""
    import numpy as np

    from cezsar.analysis.confusion import PAPER_GROUPS
    from cezsar.cli.console import Progress
    from cezsar.data.captions import load_captions
    from cezsar.data.datasets import named_descriptions, open_dataset
    from cezsar.data.features import FeatureStore
    from cezsar.data.groups import load_groups
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.errors import InputError
    from cezsar.report import analyse
    from cezsar.report.study import Study, domains_of, seen_and_unseen
    from cezsar.training.runs import Run
    from cezsar.world.actions import HARD_GROUPS
    from cezsar.zeroshot.methods import Sources, prepare
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.scored import clouds_of
    from cezsar.zeroshot.scores import Scores

    data = open_dataset(dataset)
    for warning in data.warnings:
        print(f"{data.name}: {warning}")
    sources = Sources(
        data,
        named_descriptions(prototypes) if prototypes else data.descriptions,
        [FeatureStore(store)] if store else [],
        load_captions(captions) if captions else None,
        averaged=captions_as is Together.averaged,
        sentences=sentences,
        several=several.value,
    )
    with Progress("embedding clips") as progress:
        ready = prepare(method, sources, Run.open(run) if run else None, progress)
    for line in ready.embedded.notes:
        print(line)
    encoder = open_encoder(ready.run.config.sentence_encoder["name"] if ready.run else sentences)
    rows, clouds = clouds_of(ready.embedded, ready.store, encoder, sources.descriptions)
    if bool(seen_dataset) != bool(seen_store):
        raise InputError("--seen-dataset and --seen-store go together; give both")
    together: Scores | None = None
    seen: list[str] = []
    if seen_dataset and seen_store:
        together, seen = seen_and_unseen(ready, sources, open_dataset(seen_dataset), FeatureStore(seen_store))
    study = Study(
        ready,
        data.name,
        sources.descriptions,
        parse(protocol, ready.scores.class_names, runs=runs, seed=seed),
        load_groups(groups) if groups else {**PAPER_GROUPS, **HARD_GROUPS},
        rows,
        clouds,
        together,
        seen,
        domains_of(FeatureStore(train_store), ready, np.random.default_rng(seed)) if train_store else {},
        seed,
    )
    with Progress("analysing") as progress:
        report = analyse(study, progress)
    print("wrote {} and {}".format(*report.save(out)))
