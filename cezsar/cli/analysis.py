"""Why a method is right or wrong: `cezsar calibrate`, `cezsar analyse` and `cezsar project`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from cezsar.cli import options
from cezsar.cli.console import Progress, output, save

if TYPE_CHECKING:
    from cezsar.analysis.calibration import Calibrated
    from cezsar.zeroshot.methods import Prepared

verbs = options.Verbs()


@verbs.verb(
    "cezsar calibrate runs/cezsar --store features/kinetics400-bit --dataset kinetics400",
    "cezsar calibrate runs/cezsar --store features/hmdb51-bit --dataset hmdb51 --unknown-dataset ucf101\n"
    "--unknown-store features/ucf101-bit --rate 0.1",
)
def calibrate(
    run: Annotated[Path, Argument(help="A trained run; what is chosen is kept in its folder.")],
    store: Annotated[Path, Option(help="Feature store of the labelled clips.")],
    dataset: Annotated[str, Option(
        help="Labelled clips whose classes the run may know: of seen classes, or of any data set but the one you "
        "report figures on. Written as in `cezsar evaluate`.")],
    unknown_dataset: Annotated[str | None, Option(
        help="Clips of other classes than DATASET has. With them, the threshold is the one at which at most RATE "
        "of them are accepted. Without, it is the one at which at most RATE of the known clips are rejected, and "
        "nothing is promised about unknown ones.")] = None,
    unknown_store: Annotated[
        Path | None, Option(help="Feature store of the unknown clips; the same one by default.")] = None,
    rate: Annotated[float, Option(help="Share of clips that may be told wrongly, from 0 to below 1.")] = 0.05,
    kind: Annotated[Literal["cosine", "probability", "margin", "energy"], Option(
        help="What is held against the threshold: the best cosine, the best probability, the margin over the "
        "second label, or the energy. Cosine moves least with the number of labels.")] = "cosine",
    prototypes: Annotated[str | None, Option(help="Class descriptions of DATASET, as in `evaluate`.")] = None,
) -> None:  # fmt: skip
    """Fit the temperature that turns a run's similarities into probabilities, and choose when to say "none of these".

    Both are kept in the run's folder, where `cezsar classify`, `cezsar.load` and the app find them. They are for the
    run's own weights. Clips and labels to come are others than these, so what they say is a warning, no guarantee.
    """
    from cezsar.analysis.calibration import calibrate, labelled_scores, unknown_scores
    from cezsar.atomic import refuse_unwritable
    from cezsar.errors import InputError
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import Sources
    from cezsar.zeroshot.rejection import allowed

    allowed(rate, 1)  # a wrong rate is told before clips are embedded
    if unknown_store is not None and unknown_dataset is None:
        raise InputError("--unknown-store needs --unknown-dataset, which says what its clips show")
    opened = Run.open(run)
    refuse_unwritable(opened.folder, folder=True)

    def embedded(name: str, folder: Path, described: str | None) -> Prepared:
        """A data set's scores with the run's own weights, as `cezsar evaluate` has them."""
        sources = Sources.opened(name, described, stores=[folder])
        ready = options.prepared(f"embedding clips of {name}", None, sources, opened)
        for line in (*sources.dataset.warnings, *ready.embedded.notes):
            print(f"{name}: {line}")
        return ready

    known = embedded(dataset, store, prototypes)
    unknown_UC, about_unknown = None, ""
    if unknown_dataset is not None:
        other = embedded(unknown_dataset, unknown_store or store, None)
        unknown_UC, ids = unknown_scores(other.embedded.embeddings, known.embedded.embeddings, known.weights)
        if left := len(other.embedded.embeddings.ids) - len(ids):
            print(f"{left:,} clips of {unknown_dataset} are of a class of {dataset} and are left out")
        about_unknown = f"{Path(unknown_dataset).name}, against the classes of {Path(dataset).name}"
    found, n_classes = labelled_scores(known.scores, known.weights), len(known.scores.class_names)
    about = f"{Path(dataset).name}, among {n_classes:,} classes"  # runs travel, so no path of this machine
    result = calibrate(found, unknown_UC, rate=rate, kind=kind, about=about, about_unknown=about_unknown)
    _show_calibrated(result)
    print("kept: " + ", ".join(map(str, result.keep(opened.folder))))


def _show_calibrated(result: Calibrated) -> None:
    fitted, rejector = result.calibration, result.rejector
    print(f"{fitted.clips:,} known clips of {fitted.about}; {result.accuracy:.1%} of them are named right")
    print(
        f"temperature T = {fitted.temperature:.4g}; expected calibration error {fitted.ece_before:.1%} before (T = 1), "
        f"{fitted.ece_after:.1%} after, on these clips"
    )
    if fitted.stopped != "inside":
        why = "the same for every T" if fitted.stopped == "flat" else f"best beyond the {fitted.stopped} T searched"
        print(f"careful: the likelihood is {why}, so probabilities mean little; give more clips")
    bound = f"threshold: a {rejector.title} of at least {rejector.threshold:.4g}"
    rejected = f"{result.known_rejected:,} of {fitted.clips:,} known clips are rejected"
    asked = f"at most {rejector.rate:.1%} were asked for"
    if result.auroc is None:
        print(f"{bound}; {rejected}, {asked} (false rejects)")
        print("chosen from known clips alone: nothing is known about clips of other classes; to choose by those, give "
              "--unknown-dataset")  # fmt: skip
    else:
        accepted = f"{result.unknown_accepted:,} of {rejector.clips:,} unknown clips are accepted"
        print(f"{bound}; {accepted}, {asked} (false accepts)")
        print(f"{rejected} at that threshold; AUROC of known against unknown clips {result.auroc:.1%}")
    print("these figures are of the clips it was chosen on; for other clips and labels it is a warning, no guarantee")


@verbs.verb(
    "cezsar analyse demo@demo --out report.html",
    "cezsar analyse workspace/runs/demo --store workspace/features/demo-test --dataset demo --out report.html",
    "cezsar analyse runs/cezsar --store features/ucf101-bit --dataset ucf101 --train-store "
    "features/activitynet-bit\n--captions captions.json --out reports/ucf101.html",
)
def analyse(
    method_of: Annotated[Path | None, Argument(
        help="A trained run; or what `cezsar evaluate --keep` wrote, which needs no --store. Without either: the "
        "sentence encoder's space.", metavar="[RUN]")] = None,
    store: Annotated[Path | None, Option(help="Feature store of the data set's clips.")] = None,
    dataset: options.AsInEvaluate = "demo",
    out: Annotated[Path, Option(
        help="HTML file to write; its numbers go beside it as .json.", callback=output(".html", ".json"),
    )] = Path("report.html"),
    train_store: Annotated[Path | None, Option(help="Store of the training videos, for the domain shift.")] = None,
    seen_dataset: Annotated[str | None, Option(
        help="Labelled clips of classes that training showed, for generalised zero-shot.")] = None,
    seen_store: Annotated[Path | None, Option(help="Feature store of these clips.")] = None,
    method: Annotated[str | None, Option(help="As in `cezsar evaluate`.")] = None,
    captions: options.Captions = None,
    captions_as: options.CaptionsAs = "joined",
    prototypes: options.Prototypes = None,
    groups: Annotated[Path | None, Option(
        help="Hard groups, JSON {name: [classes]}; known ones of the data set by default.")] = None,
    sentences: Annotated[str, Option(help="Sentence encoder, where there is no run.")] = "minilm",
    several: options.SeveralSentences = "nearest",
    protocol: Annotated[str, Option(help="Random splits for means and spreads.")] = "half",
    runs: options.Splits = 50,
    seed: Annotated[int, Option(help="Of everything that is drawn.")] = 0,
) -> None:  # fmt: skip
    """One self-contained HTML report, with figures: accuracy, fusion, semantic gap, confusion, open set, and more."""
    import numpy as np

    from cezsar.analysis.confusion import PAPER_GROUPS
    from cezsar.data.datasets import open_dataset
    from cezsar.data.features import FeatureStore
    from cezsar.data.labels import load_groups
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.errors import InputError
    from cezsar.report.study import Study, domains_of, seen_and_unseen
    from cezsar.report.subjects import analyse
    from cezsar.training.runs import Run
    from cezsar.world.actions import HARD_GROUPS
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.scored import Scored, clouds_of

    if bool(seen_dataset) != bool(seen_store):
        raise InputError("--seen-dataset and --seen-store go together; give both")
    folder = options.scored_folder(method_of) if method_of else None
    kept = Scored.open(folder) if folder else None
    if kept and (store or train_store or seen_dataset or captions):
        raise InputError(f"{method_of} holds scores already; stores and captions go with a run")
    if kept:
        name = kept.about["dataset"]
        ready, descriptions = kept.prepared(), kept.descriptions()
        own: dict[str, Any] = dict(zip(("rows", "clouds"), kept.clouds(), strict=True)) if kept.has_clouds else {}
    else:
        sources = options.opened_sources(
            dataset, prototypes, captions_as, stores=[store] if store else [], captions=captions or [],
            sentences=sentences, several=several,
        )  # fmt: skip
        name = sources.dataset.name
        descriptions = {label: list(given) for label, given in sources.descriptions.items()}
        ready = options.prepared("embedding clips", method, sources, Run.open(method_of) if method_of else None)
        for line in ready.embedded.notes:
            print(line)
        words = open_encoder(sources.sentence_encoder(ready.run))
        rows, clouds = clouds_of(ready.embedded, ready.store, words, sources.descriptions)
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
    print("wrote {} and {}".format(*save({out: report.save})[0]))


@verbs.verb(
    "cezsar project demo@demo",
    "cezsar project workspace/scores/cezsar@ucf101 --perplexity 50 --seed 1 --sample 5000",
    'cezsar project cezsar@ucf101 --classes "horse riding, horse race, pommel horse, balance beam" '
    "--out figure1.safetensors",
)
def project(
    scored: options.ScoredName,
    perplexity: Annotated[float, Option(help="About how many neighbours a point looks at, above 0.")] = 30.0,
    seed: Annotated[int, Option(help="Of the choice of clips and of t-SNE.")] = 0,
    sample: Annotated[int, Option(min=1, help="Clips at the most, as evenly over classes as can be.")] = 3000,
    classes: Annotated[
        str | None, Option(help='Fit these alone, separated by commas; a name with a comma in "".')] = None,
    out: Annotated[Path | None, Option(
        help="Default: in the workspace, where the app looks for it.", callback=output())] = None,
) -> None:  # fmt: skip
    """Lay clips and class prototypes out in the plane: t-SNE of raw features, sentence space and joint space."""
    from cezsar.analysis import maps
    from cezsar.atomic import refuse_unwritable
    from cezsar.data.labels import parse_labels, resolve

    item = options.open_scored(scored)
    names = resolve(parse_labels(classes).names, item.scores().class_names) if classes else []
    settings = maps.MapSettings(perplexity, seed, sample, tuple(names))
    target = out or maps.folder() / settings.file_name(item.fingerprint)
    refuse_unwritable(target)
    with Progress("t-SNE") as progress:
        (path,) = save({target: lambda path: maps.keep(item, settings, path, progress)})
    print(f"wrote {path}")
