"""Why a method is right or wrong (`calibrate`, `analyse`, `project`), and the bound τ on hard negatives."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Context, Exit, Option

from cezsar.atomic import refuse_unwritable, write_json
from cezsar.cli import options
from cezsar.cli.console import Progress, save_and_tell
from cezsar.cli.rerun import record_of
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig, numbers
from cezsar.data.datasets import open_dataset
from cezsar.data.labels import load_groups, parse_labels, resolve
from cezsar.errors import InputError
from cezsar.formats import digest, stamp

if TYPE_CHECKING:
    from cezsar.zeroshot.methods import Prepared

verbs = options.Verbs()
NEAREST = 5  # pairs of near-duplicates that are shown
SHARES = (0.05, 0.5, 0.95)


@verbs.verb(
    "cezsar calibrate runs/cezsar --store features/hmdb51-bit --dataset hmdb51 --unknown-dataset ucf101\n"
    "--unknown-store features/ucf101-bit --rate 0.1",
)
def calibrate(
    run: Annotated[Path, Argument(help="A trained run; what is chosen is kept in its folder.")],
    store: Annotated[Path, Option(help="Feature store of the labelled clips.")],
    dataset: Annotated[str, Option(help="Labelled clips to choose on, of any set but the one you report figures on.")],
    unknown_dataset: Annotated[str | None, Option(
        help="Clips of other classes: at most RATE are accepted. Without, RATE is of known clips rejected.")] = None,
    unknown_store: Annotated[Path | None, Option(help="Store of the unknown clips; the same one by default.")] = None,
    rate: Annotated[float, Option(help="Share of clips that may be told wrongly, from 0 to below 1.")] = 0.05,
    kind: Annotated[Literal["cosine", "probability", "margin", "energy"], Option(
        help="What is held against the threshold. Cosine moves least with the number of labels.")] = "cosine",
    prototypes: Annotated[str | None, Option(help="Class descriptions of DATASET, as in `evaluate`.")] = None,
) -> None:  # fmt: skip
    """Fit the temperature that turns a run's similarities into probabilities, and choose when to say "none of these".

    Both are kept in the run's folder, where `cezsar classify`, `cezsar.load` and the app find them. They are for the
    run's own weights. Clips and labels to come are others than these, so what they say is a warning, no guarantee.
    """
    from cezsar.analysis.calibration import calibrate, labelled_scores, unknown_scores
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
    fitted, rejector = result.calibration, result.rejector
    print(f"{fitted.clips:,} known clips of {fitted.about}; {result.accuracy:.1%} of them are named right")
    errors = f"{fitted.ece_before:.1%} before (T = 1), {fitted.ece_after:.1%} after, on these clips"
    print(f"temperature T = {fitted.temperature:.4g}; expected calibration error {errors}")
    if fitted.stopped != "inside":
        print("careful: no T that was searched is best, so probabilities mean little; give more clips")
    print(f"threshold: a {rejector.title} of at least {rejector.threshold:.4g}, for at most {rejector.rate:.1%}")
    print(f"{result.known_rejected:,} of {fitted.clips:,} known clips are rejected (false rejects)")
    if result.auroc is None:
        print("nothing is known about clips of other classes; to choose by those, give --unknown-dataset")
    else:
        print(f"{result.unknown_accepted:,} of {rejector.clips:,} unknown clips are accepted (false accepts)")
        print(f"AUROC of known against unknown clips {result.auroc:.1%}")
    print("these figures are of the clips it was chosen on; for other clips and labels it is a warning, no guarantee")
    print("kept: " + ", ".join(map(str, result.keep(opened.folder))))


@verbs.verb(
    "cezsar analyse demo@demo --out report.html",
    "cezsar analyse runs/cezsar --store features/ucf101-bit --dataset ucf101 --train-store "
    "features/activitynet-bit\n--captions captions.json --out reports/ucf101.html",
)
def analyse(
    context: Context,
    method_of: Annotated[Path | None, Argument(
        help="A trained run; or what `cezsar evaluate --keep` wrote, which needs no --store. Without either: the "
        "sentence encoder's space.", metavar="[RUN]")] = None,
    store: Annotated[Path | None, Option(help="Feature store of the data set's clips.")] = None,
    dataset: options.AsInEvaluate = "demo",
    out: Annotated[Path, options.output(
        "HTML file to write; its numbers go beside it as .json.", suffix=".html", beside=[".json"]
    )] = Path("report.html"),
    train_store: Annotated[Path | None, Option(help="Store of the training videos, for the domain shift.")] = None,
    seen_dataset: Annotated[str | None, Option(help="Labelled clips of seen classes: generalised zero-shot.")] = None,
    seen_store: Annotated[Path | None, Option(help="Feature store of these clips.")] = None,
    method: Annotated[str | None, Option(help="As in `cezsar evaluate`.")] = None,
    captions: options.Captions = None,
    captions_as: options.CaptionsAs = "joined",
    prototypes: options.Prototypes = None,
    groups: Annotated[Path | None, Option(help="Hard groups, JSON {name: [classes]}; known ones by default.")] = None,
    sentences: Annotated[str, Option(help="Sentence encoder, where there is no run.")] = "minilm",
    several: options.SeveralSentences = "nearest",
    protocol: Annotated[str, Option(help="Random splits for means and spreads.")] = "half",
    runs: options.Splits = 50,
    seed: Annotated[int, Option(min=0, help="Of everything that is drawn.")] = 0,
) -> None:  # fmt: skip
    """One self-contained HTML report, with figures: accuracy, fusion, semantic gap, confusion, open set, and more."""
    import numpy as np

    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.report import subjects
    from cezsar.report.study import Study, domains_of, seen_and_unseen
    from cezsar.training.runs import Run
    from cezsar.world.actions import HARD_GROUPS
    from cezsar.zeroshot.protocols import PAPER_GROUPS, parse
    from cezsar.zeroshot.scored import Scored, clouds_of

    if bool(seen_dataset) != bool(seen_store):
        raise InputError("--seen-dataset and --seen-store go together; give both")
    folder = options.scored_folder(method_of) if method_of else None
    kept = Scored.open(folder) if folder else None
    if kept and (store or train_store or seen_dataset or captions):
        raise InputError(f"{method_of} holds scores already; stores and captions go with a run")
    if kept:
        name = kept.about["dataset"]
        ready, descriptions, several = kept.prepared(), kept.descriptions(), kept.several
        inputs: dict[str, Any] = {"scored": kept.fingerprint}
        own: dict[str, Any] = dict(zip(("rows", "clouds"), kept.clouds(), strict=True)) if kept.has_clouds else {}
    else:
        sources = options.opened_sources(dataset, [store], captions, captions_as, prototypes, sentences, several)
        name = sources.dataset.name
        descriptions = {label: list(given) for label, given in sources.descriptions.items()}
        ready = options.prepared("embedding clips", method, sources, Run.open(method_of) if method_of else None)
        for line in ready.embedded.notes:
            print(line)
        words = open_encoder(sources.sentence_encoder(ready.run))
        rows, clouds = clouds_of(ready.embedded, ready.store, words, sources.descriptions)
        own = {"rows": rows, "clouds": clouds}
        others = {"train store": train_store, "seen store": seen_store}
        opened = {name: FeatureStore(folder) for name, folder in others.items() if folder}
        inputs = sources.fingerprints() | options.of_run(ready.run, sentences)
        inputs |= {name: each.fingerprint for name, each in opened.items()}
        if train_store:
            own["domains"] = domains_of(opened["train store"], ready, np.random.default_rng(seed))
        if seen_dataset and seen_store:
            seen = open_dataset(seen_dataset)
            inputs["seen labels"] = digest(seen.labels)
            own["together"], own["seen"] = seen_and_unseen(ready, sources, seen, opened["seen store"])
    hard = load_groups(groups) if groups else {**PAPER_GROUPS, **HARD_GROUPS}
    splits = parse(protocol, ready.scores.class_names, runs=runs, seed=seed)
    study = Study(ready, name, descriptions, splits, hard, several=several, seed=seed, **own)
    with Progress("analysing") as progress:
        report = subjects.analyse(study, progress)
    save_and_tell(out, partial(subjects.save, study, report, record=record_of(context, inputs)))


@verbs.verb(
    "cezsar project demo@demo",
    'cezsar project cezsar@ucf101 --classes "horse riding, horse race, pommel horse" --out figure1.safetensors',
)
def project(
    scored: options.ScoredName,
    perplexity: Annotated[float, Option(help="About how many neighbours a point looks at, above 0.")] = 30.0,
    seed: Annotated[int, Option(min=0, help="Of the choice of clips and of t-SNE.")] = 0,
    sample: Annotated[int, Option(min=1, help="Clips at the most, as evenly over classes as can be.")] = 3000,
    classes: Annotated[
        str | None, Option(help='Fit these alone, separated by commas; a name with a comma in "".')] = None,
    out: Annotated[Path | None, options.output("Default: in the workspace, where the app looks for it.")] = None,
) -> None:  # fmt: skip
    """Lay clips and class prototypes out in the plane: t-SNE of raw features, sentence space and joint space."""
    from cezsar.analysis import maps

    item = options.open_scored(scored)
    names = resolve(parse_labels(classes).names, item.scores().class_names) if classes else []
    settings = maps.MapSettings(perplexity, seed, sample, tuple(names))
    target = out or maps.folder() / settings.file_name(item.fingerprint)
    refuse_unwritable(target)
    with Progress("t-SNE") as progress:
        save_and_tell(target, lambda path: maps.keep(item, settings, path, progress))


@verbs.verb(
    "cezsar tau workspace/demo/train.json",
    "cezsar tau activitynet-captions:val_1 --sentences distilroberta --taus 0.6,0.7,0.8,0.9 --json tau.json",
)
def tau(
    context: Context,
    annotations: Annotated[str, Argument(help="Timestamped captions, as in `cezsar mine`.")],
    sentences: Annotated[str, Option(help="Sentence encoder.")] = "minilm",
    taus: Annotated[str, Option(help="Bounds on the cosine distance, in (0, 2].")] = "0.5,0.6,0.7,0.8,0.9,1.0",
    negatives: Annotated[int, Option(min=1, help="Hard negatives that each sentence should have.")] = 10,
    anchors: Annotated[int, Option(min=1, help="Sentences that are compared with all, at most.")] = 3000,
    near: Annotated[float, Option(help="Cosine distance up to which two sentences say nearly the same.")] = 0.05,
    seed: Annotated[int, Option(min=0, help="Of the sentences and pairs that are drawn.")] = 0,
    json_out: Annotated[Path | None, options.output("Where to write everything as JSON.", "--json")] = None,
) -> None:  # fmt: skip
    """Pairs of sentences below each τ, candidates for hard negatives, sentences with too few, and near-duplicates."""
    import numpy as np
    import pandas as pd

    from cezsar.analysis import tau as laboratory
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.zeroshot.tables import text

    bounds = sorted(set(numbers("--taus", taus, float)))
    _, captions = options.annotated(annotations)
    videos, groups = np.unique([segment.video_id for segment in captions.segments], return_inverse=True)
    texts = [segment.sentence for segment in captions.segments]
    vectors = open_encoder(sentences).encode(texts)
    rng = np.random.default_rng(seed)
    spread = laboratory.distances(vectors, groups, rng)
    _, counts_TA = laboratory.candidates(vectors, groups, bounds, anchors, rng)
    alike = laboratory.near_duplicates(vectors, groups, near)
    sampled = "" if spread.exact else f", {spread.n_pairs:,} pairs drawn: shares ± {spread.error:.2%} (95 %)"
    print(f"{len(texts):,} sentences of {len(videos):,} videos, {sentences}{sampled}")
    for line in captions.repairs:
        print(f"  {line}")
    rows = []
    shown = [["τ", "pairs below", *(f"{share:.0%} have up to" for share in SHARES), f"fewer than {negatives}"]]
    for bound, counts in zip(bounds, counts_TA, strict=True):
        below, short, quantiles = spread.below(bound), float((counts < negatives).mean()), np.quantile(counts, SHARES)
        rows.append({"tau": bound, "pairs_below": below, "too_few": short, "candidates": quantiles.tolist()})
        shown.append([f"{bound:g}", f"{below:.2%}", *(f"{quantile:,.0f}" for quantile in quantiles), f"{short:.2%}"])
    print(text(pd.DataFrame(shown[1:], columns=shown[0])))
    count = f"{len(alike):,} pairs{' or more' if len(alike) >= 200 else ''}"
    print(f"different sentences nearer than {near:g}, false negatives at any τ above: {count}")
    for one, other, apart in alike[:NEAREST]:
        print(f"  {apart:.3f}  {texts[one]} | {texts[other]}")
    if json_out:
        encoder = open_encoder(sentences).fingerprint
        inputs = {"sentences": digest([groups.tolist(), texts]), "sentence encoder": encoder}
        everything = stamp("tau") | record_of(context, inputs) | {
            "sentences": len(texts), "videos": len(videos), "encoder": sentences, "negatives": negatives,
            "exact": spread.exact, "error": spread.error, "same": spread.same, "shares": SHARES, "taus": rows,
            "near_duplicates": [{"distance": d, "sentences": [texts[one], texts[other]]} for one, other, d in alike],
        }  # fmt: skip
        save_and_tell(json_out, lambda path: write_json(path, everything))


@verbs.verb(
    "cezsar tau-sweep workspace/demo/train.json --store workspace/features/demo-train --dataset demo\n"
    "--test-store workspace/features/demo-test --taus 0.4,0.8 --seeds 0,1 --negatives 20 --sub-clips 1 "
    "--objects 1\n--object-positives 0 --lr 1e-3 --batch 64 --epochs 3 --d-model 256 --ffn 512 --standardise "
    "--out workspace/scores/tau",
)
@options.with_settings(MiningConfig, ModelConfig, TrainingConfig, UseConfig, without=("tau", "seed"))
def tau_sweep(
    annotations: Annotated[str, Argument(help="Timestamped captions, as in `cezsar mine`.")],
    store: Annotated[Path, Option(help="Feature store of the annotated videos.")],
    dataset: Annotated[str, Option(help="What is tested on, as in `cezsar evaluate`.")],
    test_store: Annotated[Path, Option(help="Feature store of its clips.")],
    out: Annotated[Path, options.output(
        "Folder for runs and tables; the page Tune shows those in the workspace's scores.", folder=True)],
    taus: Annotated[str, Option(help="Bounds on the cosine distance, in (0, 2].")] = "0.6,0.7,0.8,0.9",
    seeds: Annotated[str, Option(help="Of sub-clips, negatives, weights and order: a run for each.")] = "0",
    protocol: options.AsInEvaluate = "all",
    splits: Annotated[int, Option(min=1, help="Random splits of the protocol.")] = 50,
    splits_seed: Annotated[int, Option(min=0, help="Of these, the same for every run.")] = 0,
    sentences: Annotated[str, Option(help="Sentence encoder, as in `cezsar mine`.")] = "minilm",
    most_short: Annotated[float, Option(min=0, max=1, help="Leave a τ out where more lack candidates.")] = 0.5,
    *,
    settings: options.Given,
    head: Annotated[Path | None, Option(help="An object recogniser, to mine with and to keep in each run.")] = None,
    prototypes: options.Prototypes = None,
    encoder_weights: Annotated[Path | None, Option(help="Weights of the store's encoder.")] = None,
    domain: options.Domain = "unnamed videos",
    device: options.Device = None,
) -> None:  # fmt: skip
    """Train one run for each τ and seed on the same videos and splits, and table accuracy against τ (Section 5).

    Options of training that are not given are the paper's. The same command goes on where a sweep was stopped.
    """
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.encoders.objects import LinearHead
    from cezsar.sweep import Material, sweep
    from cezsar.training.triplets import head_of_store
    from cezsar.zeroshot.methods import Sources

    file, captions = options.annotated(annotations)
    features, mining = FeatureStore(store), MiningConfig(**settings[MiningConfig])
    own = LinearHead.load(head) if head else None
    names = own or (head_of_store(features, encoder_weights) if mining.object_positives else None)
    sources = Sources.opened(dataset, prototypes, stores=[test_store])
    for line in captions.repairs:
        print(f"  {line}")
    material = Material(
        captions, features, open_encoder(sentences), sources, names, own, file, mining, settings[ModelConfig],
        settings[TrainingConfig], UseConfig(**settings[UseConfig]), domain, protocol, splits, splits_seed, most_short,
    )  # fmt: skip
    bounds, starts = numbers("--taus", taus, float), numbers("--seeds", seeds, int)
    with Progress() as progress:
        found = sweep(material, bounds, starts, out, device=device, on_progress=progress.stage)
    print(found.text())
    save_and_tell(out, found.save)
    if not any(found.accuracies().values()):
        raise Exit(1)
