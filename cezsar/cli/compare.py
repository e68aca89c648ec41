"""`cezsar compare`: methods and runs in one table, on the same splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cezsar.cli.console import Progress, save
from cezsar.cli.evaluate import Captions, CaptionsAs, ComparisonOut, Several, SeveralSentences, Splits, Together

if TYPE_CHECKING:
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import Prepared, Sources

EXAMPLES = """[bold]Examples[/bold]

cezsar compare --dataset demo --store workspace/features/demo-test --run workspace/runs/demo --protocol half

cezsar compare --dataset ucf101 --store features/ucf101-bit --run runs/tau-0.8 --run runs/tau-0.7 --method cezsar

cezsar compare --dataset ucf101 --protocol ucf101-0/50 --store features/ucf101-bit --store features/ucf101-clip
--run runs/cezsar --captions blip.json --captions git.json --out compare.json
"""


def command(
    dataset: Annotated[str, typer.Option(help="As in `cezsar evaluate`.")],
    protocol: Annotated[str, typer.Option(help="As in `cezsar evaluate`.")] = "all",
    store: Annotated[
        list[Path] | None,
        typer.Option(help="Feature stores of its clips, of several encoders if need be; each method takes its own."),
    ] = None,
    run: Annotated[list[Path] | None, typer.Option(help="Trained runs.")] = None,
    captions: Captions = None,
    captions_as: CaptionsAs = Together.joined,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="cezsar, cross-modal, objects, objects+captions, captions, image-text; the others are compared with "
            "the first. All that can be had by default."
        ),
    ] = None,
    prototypes: Annotated[str | None, typer.Option(help="Class descriptions, as in `cezsar evaluate`.")] = None,
    sentences: Annotated[str, typer.Option(help="Sentence encoder of methods without a run.")] = "minilm",
    several: SeveralSentences = Several.nearest,
    runs: Splits = 50,
    seed: Annotated[int, typer.Option(help="Of the random splits, and of the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(min=1, help="Of the bootstrap.")] = 2000,
    out: ComparisonOut = None,
) -> None:
    """Methods side by side: accuracies, paired differences to the first with their 95 % interval, published figures."""
    import numpy as np

    from cezsar.analysis.comparison import method_table
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import Sources
    from cezsar.zeroshot.protocols import parse

    sources = Sources.opened(
        dataset,
        prototypes,
        stores=store or [],
        captions=captions or [],
        averaged=captions_as is Together.averaged,
        sentences=sentences,
        several=several.value,
    )
    data = sources.dataset
    for warning in data.warnings:
        print(f"{data.name}: {warning}")
    ready = list(_prepared(sources, [Run.open(folder) for folder in run or []], method))
    for note in dict.fromkeys(line for each in ready for line in each.embedded.notes):
        print(note)
    classes = parse(protocol, ready[0].scores.class_names, runs=runs, seed=seed)
    table = method_table(ready, classes, data.name, np.random.default_rng(seed), resamples=resamples)
    print(table.text())
    if out:
        print("wrote " + ", ".join(map(str, *save((out, table.save)))))


def _prepared(sources: Sources, runs: Sequence[Run], methods: Sequence[str] | None) -> Iterator[Prepared]:
    """Every method, once for each run of its own; CEZSAR with VE alone beside its fusion, as the field's tables do."""
    from cezsar.errors import InputError
    from cezsar.zeroshot.methods import possible, prepare

    names = list(dict.fromkeys(methods or possible(sources, runs)))
    if not names:
        raise InputError("there is nothing to compare; give --store and --run, --captions, or a store with objects")
    repeated = len({run.name for run in runs}) < len(runs)
    for name in names:
        used: Sequence[Run | None] = [run for run in runs if run.method == name] or [None]
        for run in used:
            with Progress(f"embedding clips for {name}") as progress:
                ready = prepare(name, sources, run, progress)
            if run and repeated:
                ready = replace(ready, title=f"{ready.method.title} ({run.folder})")
            yield ready
            if name == "cezsar" and "VE" in ready.scores.modalities and ready.modality != "VE":
                yield ready.only("VE")
