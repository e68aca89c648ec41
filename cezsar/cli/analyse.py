"""`cezsar analyse`: one report about a method on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cezsar.cli.console import Progress, output, save
from cezsar.cli.evaluate import Captions, CaptionsAs, Several, SeveralSentences, Splits, Together

if TYPE_CHECKING:
    from cezsar.zeroshot.methods import Prepared, Sources
    from cezsar.zeroshot.scored import Scored

OUT = Path("report.html")

EXAMPLES = """[bold]Examples[/bold]

cezsar analyse demo@demo --out report.html

cezsar analyse workspace/runs/demo --store workspace/features/demo-test --dataset demo --out report.html

cezsar analyse runs/cezsar --store features/ucf101-bit --dataset ucf101 --train-store features/activitynet-bit
--captions captions.json --out reports/ucf101.html
"""


def command(
    method_of: Annotated[
        Path | None,
        typer.Argument(
            help="A trained run; or what `cezsar evaluate --keep` wrote, which needs no --store. Without either: the "
            "sentence encoder's space.",
            metavar="[RUN]",
        ),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Feature store of the data set's clips.")] = None,
    dataset: Annotated[str, typer.Option(help="As in `cezsar evaluate`.")] = "demo",
    out: Annotated[
        Path,
        typer.Option(help="HTML file to write; its numbers go beside it as .json.", callback=output(".html", ".json")),
    ] = OUT,
    train_store: Annotated[
        Path | None, typer.Option(help="Store of the training videos, for the domain shift.")
    ] = None,
    seen_dataset: Annotated[
        str | None, typer.Option(help="Labelled clips of classes that training showed, for generalised zero-shot.")
    ] = None,
    seen_store: Annotated[Path | None, typer.Option(help="Feature store of these clips.")] = None,
    method: Annotated[str | None, typer.Option(help="As in `cezsar evaluate`.")] = None,
    captions: Captions = None,
    captions_as: CaptionsAs = Together.joined,
    prototypes: Annotated[str | None, typer.Option(help="Class descriptions, as in `cezsar evaluate`.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Hard groups, JSON {name: [classes]}; known ones of the data set by default.")
    ] = None,
    sentences: Annotated[str, typer.Option(help="Sentence encoder, where there is no run.")] = "minilm",
    several: SeveralSentences = Several.nearest,
    protocol: Annotated[str, typer.Option(help="Random splits for means and spreads.")] = "half",
    runs: Splits = 50,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
) -> None:
    """One self-contained HTML report, with figures: accuracy, fusion, semantic gap, confusion, open set, and more."""
    import numpy as np

    from cezsar.analysis.confusion import PAPER_GROUPS
    from cezsar.data.datasets import open_dataset
    from cezsar.data.features import FeatureStore
    from cezsar.data.labels import load_groups
    from cezsar.errors import InputError
    from cezsar.report.study import Study, domains_of, seen_and_unseen
    from cezsar.report.subjects import analyse
    from cezsar.world.actions import HARD_GROUPS
    from cezsar.zeroshot.methods import Sources
    from cezsar.zeroshot.protocols import parse

    if bool(seen_dataset) != bool(seen_store):
        raise InputError("--seen-dataset and --seen-store go together; give both")
    kept = _kept(method_of)
    if kept and (store or train_store or seen_dataset or captions):
        raise InputError(f"{method_of} holds scores already; stores and captions go with a run")
    if kept:
        name = kept.about["dataset"]
        ready, descriptions = kept.prepared(), kept.descriptions()
        own: dict[str, Any] = dict(zip(("rows", "clouds"), kept.clouds(), strict=True)) if kept.has_clouds else {}
    else:
        sources = Sources.opened(
            dataset,
            prototypes,
            stores=[store] if store else [],
            captions=captions or [],
            averaged=captions_as is Together.averaged,
            sentences=sentences,
            several=several.value,
        )
        name = sources.dataset.name
        for warning in sources.dataset.warnings:
            print(f"{name}: {warning}")
        descriptions = {label: list(given) for label, given in sources.descriptions.items()}
        ready, rows, clouds = _made(method, sources, method_of)
        own = {"rows": rows, "clouds": clouds}
        if train_store:
            own["domains"] = domains_of(FeatureStore(train_store), ready, np.random.default_rng(seed))
        if seen_dataset and seen_store:
            seen = open_dataset(seen_dataset)
            own["together"], own["seen"] = seen_and_unseen(ready, sources, seen, FeatureStore(seen_store))
    hard = load_groups(groups) if groups else {**PAPER_GROUPS, **HARD_GROUPS}
    splits = parse(protocol, ready.scores.class_names, runs=runs, seed=seed)
    study = Study(ready, name, descriptions, splits, hard, seed=seed, **own)
    with Progress("analysing") as progress:
        report = analyse(study, progress)
    print("wrote {} and {}".format(*save((out, report.save))[0]))


def _kept(given: Path | None) -> Scored | None:
    """The scored data set of that folder, or of that name in the workspace; None if it is no such thing."""
    from cezsar import workspace
    from cezsar.zeroshot.scored import Scored

    if given is None:
        return None
    folders = (given, workspace.folder("scores") / given)
    return next((Scored.open(folder) for folder in folders if (folder / "about.json").is_file()), None)


def _made(method: str | None, sources: Sources, run: Path | None) -> tuple[Prepared, Any, Any]:
    """A method applied to a data set, and its clips in the spaces on the way."""
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import prepare
    from cezsar.zeroshot.scored import clouds_of

    with Progress("embedding clips") as progress:
        ready = prepare(method, sources, Run.open(run) if run else None, progress)
    for line in ready.embedded.notes:
        print(line)
    encoder = open_encoder(sources.sentence_encoder(ready.run))
    return ready, *clouds_of(ready.embedded, ready.store, encoder, sources.descriptions)
