"""From videos to a run: `cezsar extract`, `cezsar caption`, `cezsar mine`, `cezsar train`, `cezsar photographs`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Exit, Option

from cezsar.cli import options
from cezsar.cli.console import Progress, duration, save
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig
from cezsar.data.datasets import find_known, is_name, named_descriptions, open_dataset, videos_of
from cezsar.data.manifest import Clip, passed_over, read_source
from cezsar.errors import InputError, MismatchError

if TYPE_CHECKING:
    from cezsar.data.extraction import ExtractionReport

verbs = options.Verbs()


@verbs.verb(
    "cezsar extract videos/ --encoder motion --out features/mine",
    "cezsar extract ucf101 --encoder bit --out features/ucf101-bit --precision bf16",
    "cezsar extract kinetics400:val --encoder bit --out features/kinetics400-bit",
    "cezsar extract clips.csv --encoder timm:resnet50.a1_in1k --weights model.safetensors --out features/r50",
    "cezsar extract kinetics400 --encoder bit --out features/k400-bit --engine ray --address auto --workers 8 --gpus 1",
)
def extract(
    source: Annotated[str, Argument(
        help="A folder of videos or of class folders, a CSV with path, id, label, or a data set by name: ucf101, "
        "kinetics400:val, a name from `cezsar datasets`. A folder of such a name is given as ./ucf101.")],
    encoder: Annotated[str, Option(help="efficientnet, bit, motion, or timm:, clip:, open_clip:, video: + model.")],
    out: options.StoreOut,
    workers: Annotated[int | None, Option(min=1, help="Decoder processes; one for each core by default.")] = None,
    precision: Annotated[str, Option(help="auto, fp32 or bf16.")] = "auto",
    batch: Annotated[int | None, Option(min=1, help="Pictures computed at once; by default 4, on a GPU 32.")] = None,
    compiled: Annotated[bool, Option("--compile", help="Compile the network first: it takes a minute, for long work "
        "on a GPU.")] = False,
    weights: Annotated[Path | None, Option(help="File or folder of weights, where no hub can be reached.")] = None,
    time_limit: Annotated[float, Option(help="Seconds one clip may take to decode.")] = 120.0,
    memory_limit: Annotated[float, Option(help="GiB one decoder process may use.")] = 4.0,
    engine: Annotated[Literal["local", "ray"], Option(help="This machine, or a Ray cluster that sees the same folders; "
        "--workers are then its processes, each with an encoder.")] = "local",
    address: Annotated[str | None, Option(help="Of the Ray cluster: auto, or ray://host:10001. Default: one of its own "
        "on this machine.")] = None,
    gpus: Annotated[float, Option(min=0, help="GPUs of each process of a Ray cluster; 0.5: two share one.")] = 0.0,
) -> None:  # fmt: skip
    """Turn videos into frame features, one row per second. Goes on where it was stopped; broken clips are listed."""
    from cezsar import encoders
    from cezsar.data.extraction import extract
    from cezsar.video import Limits

    clips = _clips(source)
    computed: dict[str, Any] = {"precision": precision, "batch": batch, "compiled": compiled}
    make = partial(encoders.create, encoder, weights=weights, **computed)
    limits = Limits(time_s=time_limit, memory_bytes=int(memory_limit * 2**30))
    with Progress(f"extracting {encoder}") as progress:
        how: dict[str, Any] = {"workers": workers, "limits": limits, "on_progress": progress.failing}
        if engine == "ray":
            from cezsar.data.extraction_on_ray import extract_on_ray

            report = extract_on_ray(clips, make, out, address=address, gpus=gpus, **how)
        else:
            report = extract(clips, make(), out, **how)
    if " and " in report.precision:
        print(f"  {out} has features computed in {report.precision}; for one alone, extract into another folder")
    _tell(out, report, "extracted")


@verbs.verb(
    "cezsar caption my-clips/ --model blip --out captions.json",
    "cezsar caption ucf101 --model git --every 2 --out git.json",
    "cezsar evaluate --dataset ucf101 --captions git.json --protocol ucf101-0/50",
)
def caption(
    source: Annotated[str, Argument(help="A film, a folder, a CSV, or a data set, as for `cezsar extract`.")],
    model: Annotated[str, Option(help="blip, git, or caption: + model: a name of the hub, or a folder.")],
    out: Annotated[Path, options.output("The caption file to write or go on with.", suffix=".json")],
    every: Annotated[float | None, Option(help="Seconds of film for one caption; 3 by default.")] = None,
    workers: Annotated[int | None, Option(min=1, help="Decoder processes; one for each core by default.")] = None,
    precision: Annotated[str, Option(help="auto, fp32 or bf16.")] = "auto",
    batch: Annotated[int | None, Option(min=1, help="Pictures computed at once; by default 4, on a GPU 32.")] = None,
    weights: Annotated[Path | None, Option(help="Folder of the model, where no hub can be reached.")] = None,
) -> None:  # fmt: skip
    """Write what films show, a sentence every few seconds: captions for --captions of `cezsar evaluate`.

    Goes on where it was stopped; films without pictures are listed.
    """
    from cezsar.data.captioning import caption
    from cezsar.encoders.captioners import EVERY_S, load_captioner

    clips = _clips(source)
    settings: dict[str, Any] = {"every_s": EVERY_S if every is None else every, "precision": precision, "batch": batch}
    captioner = load_captioner(model, weights, **settings)
    with Progress(f"captioning by {model}") as progress:
        report = caption(clips, captioner, out, workers=workers, on_progress=progress.failing)
    _tell(out, report, "captioned")


def _tell(out: Path, report: ExtractionReport, done: str) -> None:
    """What came of the clips; those that failed are listed, and end the command with status 1."""
    for clip in (*report.partly, *report.failed):
        print(f"  {clip.path}: {clip.reason.removeprefix(f'{clip.path}: ')}")
    if report.changed:
        print(f"  {report.changed} clips have changed since they were {done}, and were read anew")
    partly = f" ({len(report.partly)} of them read in part)" if report.partly else ""
    there = f"{report.skipped} were there already, {len(report.failed)} failed"
    print(f"{out}: {report.done} clips {done}{partly}, {there}")
    if report.failed:
        raise Exit(1)


def _clips(source: str) -> list[Clip]:
    """The clips of a path or a data set; says how many files are passed over, how many clips of a data set missing."""
    if not is_name(source):
        clips, folder = read_source(source), Path(source).expanduser()
        if folder.is_dir() and (others := passed_over(folder)):
            print(others)
        return clips
    clips, missing = videos_of(source)
    if missing:
        known = find_known(source.partition(":")[0])
        names = f"; `cezsar datasets {known.name} --missing FILE` writes their ids" if known else ""
        print(f"{source}: {len(clips):,} clips have a video, {len(missing):,} have none{names}")
    return clips


@verbs.verb(
    "cezsar mine activitynet-captions --store features/activitynet-bit --sentences distilroberta "
    "--out triplets.safetensors",
)
@options.with_settings(MiningConfig)
def mine(
    annotations: Annotated[str, Argument(
        help="Timestamped captions in ActivityNet Captions form, activitynet-captions, or its part :val_1.")],
    store: Annotated[Path, Option(help="Feature store of the annotated videos.")],
    out: Annotated[Path, options.output("The triplets file to write.")],
    sentences: Annotated[str, Option(help="minilm, distilroberta, a sentence-transformers name or folder.")] = "minilm",
    *,
    settings: options.Given,
    head: Annotated[Path | None, Option(help="An object recogniser, in place of the encoder's own.")] = None,
    encoder_weights: Annotated[Path | None, Option(help="Weights of the store's encoder, for its objects.")] = None,
) -> None:  # fmt: skip
    """Cut random sub-clips and draw hard negatives for them: close to their sentences, but not the same."""
    import numpy as np

    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.encoders.objects import LinearHead
    from cezsar.training.triplets import build, head_of_store

    file, captions = options.annotated(annotations)
    features, mining = FeatureStore(store), MiningConfig(**settings[MiningConfig])
    own = LinearHead.load(head) if head else None
    names = own or (head_of_store(features, encoder_weights) if mining.object_positives else None)
    rng, words = np.random.default_rng(mining.seed), open_encoder(sentences)
    record = {"annotations": file, "seed": mining.seed}
    with Progress("mining") as progress:
        triplets = build(captions, features, words, rng, mining, head=names, record=record, on_progress=progress)
    save({out: triplets.save})
    told, few = triplets.record, triplets.record["sub_clips_with_too_few_candidates"]
    of = f"{told['segments']:,} segments of {told['videos']:,} videos"
    print(f"{out}: {told['triplets']:,} triplets from {of}, tau = {mining.tau}")
    if mining.object_positives and names is None:
        print("  human sentences only: this store's encoder names no objects")
    if told["videos_without_features"]:
        print(f"  {told['videos_without_features']:,} annotated videos are not in the store and were left out")
    for line in captions.repairs:
        print(f"  {line}")
    if told["segments_beyond_the_film"]:
        print(f"  {told['segments_beyond_the_film']:,} segments begin after the end of their film and were left out")
    if few:
        lacking = f"{few:,} sub-clips have fewer than {mining.negatives} candidates"
        print(f"  {lacking} (the fewest: {told['fewest_candidates']}); they get what there is, a larger tau gives more")


@verbs.verb(
    "cezsar train triplets.safetensors --store features/activitynet-bit --out runs/cezsar",
    "cezsar train t.safetensors --store features/mine --out runs/mine --lr 1e-3 --d-model 256 --standardise",
    "cezsar train t.safetensors --store features/mine --out runs/mine --head props.safetensors "
    "--prototypes classes.json",
    "cezsar train triplets.safetensors --store features/activitynet-bit --out runs/cezsar --resume",
    "cezsar train demo:train --method cross-modal --store workspace/features/demo-train "
    "--out workspace/runs/cross-modal",
)
@options.with_settings(ModelConfig, TrainingConfig, UseConfig)
def train(
    source: Annotated[str, Argument(
        help="A file of `cezsar mine`; for the cross-modal method a labelled data set.", metavar="TRIPLETS")],
    store: Annotated[Path, Option(help="The feature store of the videos.")],
    out: Annotated[Path, options.output("The run folder to write.", folder=True)],
    settings: options.Given,
    method: Annotated[Literal["cezsar", "cross-modal"], Option(
        help="cezsar, or a Transformer over frames and label tokens with semantic transfer, after Lin et al. Its "
        "defaults are 30 epochs, patience 6, batch 64, lr 1e-3, weight decay 0.01, width 256, 4 heads.")] = "cezsar",
    sentences: Annotated[str, Option(help="Sentence encoder of the cross-modal method.")] = "minilm",
    seen_prototypes: Annotated[str | None, Option(help="Descriptions of the labelled classes, if not its own.")] = None,
    head: Annotated[Path | None, Option(help="An object recogniser (.safetensors) to keep in the run.")] = None,
    prototypes: Annotated[str | None, Option(help="Class descriptions to rank by default, kept there too.")] = None,
    domain: options.Domain = "unnamed videos",
    device: options.Device = None,
    compiled: Annotated[bool, Option("--compile", help="Compile the model first, for long training on a GPU; not the "
        "cross-modal method's.")] = False,
    resume: Annotated[bool, Option(help="Go on with the run in --out, to the same result.")] = False,
) -> None:  # fmt: skip
    """Train the joint space with the triplet loss. Stopped runs go on with --resume and end with the same weights."""
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.encoders.objects import LinearHead
    from cezsar.training import cross_modal, loop, processes
    from cezsar.training.triplets import Triplets

    chosen: dict[str, Any] = {
        "model": settings[ModelConfig], "training": settings[TrainingConfig], "domain": domain, "resume": resume,
        "device": device, "descriptions": named_descriptions(prototypes) if prototypes else None,
    }  # fmt: skip
    epochs = settings[TrainingConfig].get("epochs", 0)
    with Progress("training") as progress:
        if method == "cross-modal":
            if head:
                raise InputError("--head goes with CEZSAR: the cross-modal method uses no objects")
            if processes.rank() is not None:
                raise InputError("the cross-modal method trains in one process; start it without torchrun")
            data = open_dataset(source)
            described = named_descriptions(seen_prototypes) if seen_prototypes else data.descriptions
            clips = cross_modal.clips_of(data, FeatureStore(store), described)
            show = partial(_show_trials, progress, epochs or cross_modal.TRAINING["epochs"], cross_modal.TRIALS)
            run = cross_modal.train(clips, open_encoder(sentences), out, on_progress=show, **chosen)
        else:
            chosen |= {"compiled": compiled, "use": UseConfig(**settings[UseConfig])}
            chosen |= {"head": LinearHead.load(head) if head else None}
            show = partial(_show_epochs, progress, epochs or TrainingConfig.epochs)
            run = loop.train(Triplets.load(source), FeatureStore(store), out, on_progress=show, **chosen)
    if not processes.rank():
        best = "best epoch {best_epoch} of {epochs}, validation loss {validation_loss:.4f}".format(**run.record())
        print(f"{run.folder}: {best}, {duration(run.record()['seconds'])}")


def _show_trials(progress: Progress, epochs: Any, trials: int, line: dict[str, Any]) -> None:
    """One line of a training history of trials and, without a trial, of all classes; progress is over all epochs."""
    trial = line.get("trial", trials + 1)
    part = f"trial {trial}" if trial <= trials else "all classes"
    note = f"{part}, epoch {line['epoch']}, held-out {line['held_out_top1']:.1%}"
    progress((trial - 1) * epochs + line["epoch"], (trials + 1) * epochs, note)


def _show_epochs(progress: Progress, epochs: int, line: dict[str, Any]) -> None:
    """One line of a training history; progress is over all epochs."""
    if line["kind"] == "epoch":
        told = "epoch {epoch}: loss {train_loss:.4f}, validation {validation_loss:.4f}, dead units {dead_units:.0%}"
        progress.line(told.format(**line) + (" (best)" if line["best"] else ""))
        progress.end_line()
    else:
        before, steps = line["epoch"] - 1, line["steps"]
        note = f"epoch {line['epoch']} of {epochs}, loss {line['loss']:.4f}, {line['triplets_per_s']:,.0f} triplets/s"
        progress(before * steps + line["step"], epochs * steps, note)


@verbs.verb(
    "cezsar photographs --out runs/photographs",
)
def photographs(
    out: Annotated[Path, options.output("Folder of the run.", folder=True)],
    encoder: Annotated[str, Option(help="A classifier: efficientnet, bit, timm:<model>.")] = "efficientnet",
    sentences: Annotated[str, Option(help="Sentence encoder.")] = "minilm",
    ridge: Annotated[float, Option(help="Weight of the squared norm in the ridge regression.")] = 1.0,
    store: Annotated[Path | None, Option(help="Ten ordinary clips or more, to tell clips unlike all it knows.")] = None,
    weights: options.EncoderWeights = None,
) -> None:  # fmt: skip
    """Make a run that ranks any labels for real video, from the rows of a classifier and their definitions.

    It takes seconds and no video. The run photographs, which comes along, was made so; `cezsar calibrate` then gives it
    probabilities and a "none of these".
    """
    from cezsar import encoders
    from cezsar.data import sentence_cache
    from cezsar.data.features import FeatureStore
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
    print(f"{run.folder}: ranks any labels; knows {run.config.domain}")
