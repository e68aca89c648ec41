"""What methods are worth: `cezsar evaluate`, `cezsar compare` and `cezsar transfer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from cezsar.atomic import refuse_unwritable, write_json, write_text
from cezsar.cli import options
from cezsar.cli.console import Progress, save_and_tell
from cezsar.cli.rerun import record_of
from cezsar.data.datasets import named_descriptions, open_dataset
from cezsar.errors import InputError
from cezsar.formats import digest, stamp

if TYPE_CHECKING:
    from cezsar.training.cross_modal import Clips
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import Prepared, Sources

verbs = options.Verbs()


@verbs.verb(
    "cezsar evaluate --dataset demo --store workspace/features/demo-test --run workspace/runs/demo --protocol all",
    "cezsar evaluate --dataset ucf101 --store features/ucf101-bit --run runs/cezsar --protocol ucf101-0/50 --seed 0",
    "cezsar evaluate --dataset ucf101 --captions blip.json --captions git.json --protocol ucf101-0/50 --out r.json",
)
def evaluate(
    context: Context,
    dataset: Annotated[str, Option(
        help="demo, ucf101, hmdb51, kinetics400 (or a part of one: ucf101:test1), a name from `cezsar datasets`, a "
        "folder of class folders, a CSV with labels, or an index JSON, class name -> clip ids.")],
    store: Annotated[Path | None, Option(help="Feature store of its clips; captions alone need none.")] = None,
    protocol: Annotated[str, Option(
        help='"all", "half", "K-of-N" (random classes), a named one such as ucf101-0/50, ucf101-hard15 or '
        'ucf101-truze-v2 (see `cezsar datasets`), a JSON file with a class list, or "official": all classes, '
        "the mean over the official test splits of ucf101 or hmdb51.")] = "all",
    run: Annotated[Path | None, Option(help="A trained run. Without one: the sentence encoder's space, no VE.")] = None,
    method: Annotated[str | None, Option(
        help="cezsar, cross-modal, or one without training: objects, objects+captions, captions, image-text. The "
        "run's own by default, cezsar without a run.")] = None,
    captions: options.Captions = None,
    captions_as: options.CaptionsAs = "joined",
    prototypes: Annotated[str | None, Option(
        help="Class descriptions: JSON {class: sentence or list}, a folder of .txt, ucf101, kinetics400 ...")] = None,
    sentences: Annotated[str, Option(help="Sentence encoder, where there is no run.")] = "minilm",
    alpha: Annotated[float | None, Option(help="Weight of VE; the run's by default, 0 without one.")] = None,
    beta: Annotated[float | None, Option(help="Weight of the objects O.")] = None,
    gamma: Annotated[float | None, Option(help="Weight of the captions C.")] = None,
    several: options.SeveralSentences = "nearest",
    runs: options.Splits = 50,
    seed: Annotated[int, Option(min=0, help="Of the random splits.")] = 0,
    weights_file: Annotated[Path | None, Option(help="Weights of the frame encoder, for its objects.")] = None,
    out: Annotated[Path | None, options.output(
        "Where to write the result as JSON; a .csv and a .md go beside it.", suffix=".json",
        beside=(".csv", ".md"))] = None,
    keep: Annotated[bool, Option(help="Keep embeddings and scores in the workspace, for the app and later.")] = False,
) -> None:  # fmt: skip
    """Top-1, top-5 and mean per-class accuracy, for each modality and fused, over the splits of a protocol."""
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.runs import Run
    from cezsar.zeroshot import protocols, scored, tables

    sources = options.opened_sources(
        dataset, [store], captions, captions_as, prototypes, sentences, several, weights_file
    )
    data, opened = sources.dataset, Run.open(run) if run else None
    if keep:
        refuse_unwritable(scored.folder_for(opened, dataset, method=method or "cezsar"), folder=True)
    ready = options.prepared("embedding clips", method, sources, opened)
    for line in ready.embedded.notes:
        print(line)
    ready = replace(ready, weights=ready.weights.changed(alpha=alpha, beta=beta, gamma=gamma))
    if keep:
        place = scored.folder_for(ready.run, dataset, method=method or "cezsar")
        words = open_encoder(sources.sentence_encoder(ready.run))
        scored.keep(place, ready, words, sources.descriptions, dataset=data.name, paths=data.paths, several=several)
        print(f"kept in {place}")
    if protocol == "official":
        results = ready.table({name: ids for name, ids in data.parts.items() if name.startswith("test")})
    else:
        results = ready.table(protocols.parse(protocol, ready.scores.class_names, runs=runs, seed=seed))
    print(tables.table(results))
    if out:
        record = record_of(context, sources.fingerprints() | options.of_run(ready.run, sources.sentences))
        save_and_tell(out, lambda path: tables.save_all(results, path, record))


@verbs.verb(
    "cezsar compare --dataset ucf101 --store features/ucf101-bit --run runs/tau-0.8 --run runs/tau-0.7 --method cezsar",
    "cezsar compare --dataset ucf101 --protocol ucf101-0/50 --store features/ucf101-bit "
    "--store features/ucf101-clip\n--run runs/cezsar --captions blip.json --captions git.json --out compare.json",
)
def compare(
    context: Context,
    dataset: options.AsInEvaluate,
    protocol: options.AsInEvaluate = "all",
    store: Annotated[list[Path] | None, Option(help="Feature stores of its clips; each method takes its own.")] = None,
    run: Annotated[list[Path] | None, Option(help="Trained runs.")] = None,
    captions: options.Captions = None,
    captions_as: options.CaptionsAs = "joined",
    method: Annotated[list[str] | None, Option(
        help="As in `cezsar evaluate`; the others are compared with the first. By default all.")] = None,
    prototypes: options.Prototypes = None,
    sentences: Annotated[str, Option(help="Sentence encoder of methods without a run.")] = "minilm",
    several: options.SeveralSentences = "nearest",
    runs: options.Splits = 50,
    seed: Annotated[int, Option(min=0, help="Of the random splits, and of the bootstrap.")] = 0,
    resamples: Annotated[int, Option(min=1, help="Of the bootstrap.")] = 2000,
    out: options.ComparisonOut = None,
) -> None:  # fmt: skip
    """Methods side by side: accuracies, paired differences to the first with their 95 % interval, published figures."""
    import numpy as np

    from cezsar.analysis.comparison import method_table
    from cezsar.training.runs import Run
    from cezsar.zeroshot.protocols import parse

    sources = options.opened_sources(dataset, store or [], captions, captions_as, prototypes, sentences, several)
    ready = list(_every_method(sources, [Run.open(folder) for folder in run or []], method))
    for note in dict.fromkeys(line for each in ready for line in each.embedded.notes):
        print(note)
    classes, rng = parse(protocol, ready[0].scores.class_names, runs=runs, seed=seed), np.random.default_rng(seed)
    table = method_table(ready, classes, sources.dataset.name, rng, resamples=resamples)
    print(table.text())
    if out:
        inputs = sources.fingerprints() | {"runs": [each.run.fingerprint for each in ready if each.run]}
        record = record_of(context, inputs | options.of_run(None, sentences))
        save_and_tell(out, lambda path: table.save(path, record))


def _every_method(sources: Sources, runs: Sequence[Run], methods: Sequence[str] | None) -> Iterator[Prepared]:
    """Every method, once for each run of its own; CEZSAR with VE alone beside its fusion, as the field's tables do."""
    from cezsar.zeroshot.methods import possible

    names = list(dict.fromkeys(methods or possible(sources, runs)))
    if not names:
        raise InputError("there is nothing to compare; give --store and --run, --captions, or a store with objects")
    repeated = len({run.name for run in runs}) < len(runs)
    for name in names:
        used: Sequence[Run | None] = [run for run in runs if run.method == name] or [None]
        for run in used:
            ready = options.prepared(f"embedding clips for {name}", name, sources, run)
            if run and repeated:
                ready = replace(ready, title=f"{ready.method.title} ({run.folder})")
            yield ready
            if name == "cezsar" and "VE" in ready.scores.modalities and ready.modality != "VE":
                yield ready.only("VE")


@verbs.verb(
    "cezsar transfer runs/cezsar --seen-dataset kinetics400 --seen-store features/kinetics400-bit "
    "--dataset ucf101\n--store features/ucf101-bit --protocol ucf101-0/50",
    "cezsar transfer runs/mine --seen-dataset seen/ --seen-store features/seen --dataset test/ "
    "--store features/test --head",
)
def transfer(
    context: Context,
    run: Annotated[Path, Argument(help="A trained run; its VE is one of the spaces.")],
    seen_dataset: Annotated[str, Option(help="Labelled clips of seen classes: as --dataset.")],
    seen_store: Annotated[Path, Option(help="Feature store of these clips, of the run's encoder.")],
    dataset: Annotated[str, Option(help="Clips of unseen classes to name, as in `cezsar evaluate`.")],
    store: Annotated[Path, Option(help="Feature store of these.")],
    protocol: options.AsInEvaluate = "all",
    head: Annotated[bool, Option(help="Train cross-modal heads on the seen clips, too: minutes or more.")] = False,
    trials: Annotated[int, Option(min=1, help="Halves of the seen classes that settings are chosen on.")] = 3,
    prototypes: Annotated[str | None, Option(help="Descriptions of the unseen classes.")] = None,
    seen_prototypes: Annotated[str | None, Option(help="Descriptions of the seen classes.")] = None,
    runs: options.Splits = 50,
    seed: Annotated[int, Option(min=0, help="Of halves, heads, splits and the bootstrap.")] = 0,
    out: options.ComparisonOut = None,
) -> None:  # fmt: skip
    """Name unseen classes by visual prototypes made of related seen ones; after Lin et al. (CVPR 2022).

    Semantic transfer, and no reproduction of that paper. K, T and λ are chosen on held-out seen classes.
    """
    import numpy as np

    from cezsar.analysis.comparison import method_table
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.cross_modal import clips_of
    from cezsar.training.runs import Run
    from cezsar.training.semantic_transfer import best_of
    from cezsar.zeroshot.fusion import Weights
    from cezsar.zeroshot.methods import Method, Prepared
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.spaces import Embedded
    from cezsar.zeroshot.transfer import transferred

    opened = Run.open(run)

    def clips(name: str, folder: Path, described: str | None) -> Clips:
        data, features = open_dataset(name), FeatureStore(folder)
        opened.check_feature_encoder(features.provenance["encoder"], features.provenance["fingerprint"])
        return clips_of(data, features, named_descriptions(described) if described else data.descriptions)

    seen, unseen = clips(seen_dataset, seen_store, seen_prototypes), clips(dataset, store, prototypes)
    words = open_encoder(opened.config.sentence_encoder["name"])
    with Progress("semantic transfer") as progress:
        found = transferred(opened, words, seen, unseen, seed=seed, with_head=head, trials=trials, on_progress=progress)
    if found.dropped:
        print("seen classes that an unseen one equals, left out: " + ", ".join(pair.seen for pair in found.dropped))
    for name, tried in found.settings.items():
        how = best_of(tried)
        chosen = f"chosen at {np.mean(tried[how]):.1%} on held-out seen classes"
        print(f"{name}: K = {how.k}, T = {how.temperature:g}, λ = {how.lam:g}, {chosen}")
    visual, embedded, ready = Weights.only("VE"), Embedded(found.unseen, [], []), []
    for name, scores in found.scores.items():
        method = Method(name, name, "labelled clips of seen classes", visual)
        title = f"CEZSAR ({opened.name})" if name == "CEZSAR" else name
        ready.append(Prepared(method, title, embedded, scores, visual))
    splits = parse(protocol, found.unseen.class_names, runs=runs, seed=seed)
    table = method_table(ready, splits, dataset, np.random.default_rng(seed))
    print(table.text())

    def write(path: Path) -> list[Path]:
        settings = path.with_name(f"{path.stem}-chosen.json")
        write_json(settings, stamp("transfer") | found.to_dict())
        stores = [FeatureStore(folder).fingerprint for folder in (seen_store, store)]
        inputs = {"stores": stores, "labels": [digest(each.labels) for each in (seen, unseen)]}
        record = record_of(context, inputs | options.of_run(opened, ""))
        return [*table.save(path, record), settings]

    if out:
        save_and_tell(out, write)


@verbs.verb(
    "cezsar shots demo@demo",
    "cezsar shots cezsar@ucf101 --examples 1 --examples 5 --draws 50 --out shots.csv",
    "cezsar shots cezsar@ucf101 --seen cezsar@kinetics400 --examples 1",
)
def shots(
    scored: Annotated[str, Argument(help="A data set kept by `cezsar evaluate --keep`: its folder, or its name.")],
    examples: Annotated[list[int] | None, Option(min=0, help="Examples a class; 0, 1, 2, 4 and 8 by default.")] = None,
    draws: Annotated[int, Option(min=2, help="Random draws of examples.")] = 20,
    worth: Annotated[float | None, Option(
        min=0, help="How many examples the sentences of a class count as: λ = n / (n + WORTH); 1 by default.")] = None,
    seen: Annotated[str | None, Option(help="Choose WORTH on this one, kept of seen classes.")] = None,
    alpha: Annotated[float | None, Option(help="Weight of VE; as it was kept by default.")] = None,
    beta: Annotated[float | None, Option(help="Weight of the objects O.")] = None,
    gamma: Annotated[float | None, Option(help="Weight of the captions C.")] = None,
    seed: Annotated[int, Option(min=0, help="Of the draws.")] = 0,
    out: Annotated[Path | None, options.output(
        "Where to write the table as CSV; a .md, a .tex and an .html with the figure go beside it.", suffix=".csv",
        beside=(".md", ".tex", ".html"))] = None,
) -> None:  # fmt: skip
    """What examples of a class are worth beside its sentences, or alone: not zero-shot any more.

    Clips are drawn of each class to stand for it; all numbers of examples are told on the same other clips.
    """
    from cezsar.zeroshot import shots as library
    from cezsar.zeroshot.tables import text

    if seen is not None and worth is not None:
        raise InputError("--seen chooses what --worth says; give one of them")
    kept = options.open_scored(scored)
    weights = kept.weights.changed(alpha=alpha, beta=beta, gamma=gamma)
    if seen is not None:
        other = options.open_scored(seen)
        worth = library.chosen_worth(other.embeddings(), weights, other.several, seed=seed)
        print(f"sentences count as {worth:g} examples, which was best on {other.name}")
    found = library.shots(
        kept.embeddings(), weights, kept.several, counts=examples or library.COUNTS, draws=draws, seed=seed,
        worth=library.WORTH if worth is None else worth,
    )  # fmt: skip
    print(f"{kept.title}, {kept.about['dataset']}: top-1, {draws} draws, {found.tested[0]:,} other clips each")
    print(text(found.frame()))

    def write(path: Path) -> list[Path]:
        from cezsar.report import page, subjects

        about = {"method": kept.title, "dataset": kept.about["dataset"], "draws": f"{draws}, seed {seed}"}
        texts = found.texts() | {".html": page.html_of(about, [subjects.of_shots(found)])}
        for suffix, content in texts.items():
            write_text(path.with_suffix(suffix), content)
        return [path.with_suffix(suffix) for suffix in texts]

    if out:
        save_and_tell(out, write)
