"""Actions named in videos: `cezsar demo`, `cezsar classify`, `cezsar spans` and `cezsar search`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Exit, Option

from cezsar.atomic import refuse_unwritable, write_text
from cezsar.cli.console import Progress, duration, save, save_and_tell
from cezsar.cli.options import EncoderWeights, Verbs, WorkspaceOut, output
from cezsar.data.datasets import named_descriptions
from cezsar.data.documents import printable
from cezsar.data.labels import parse_labels
from cezsar.data.manifest import passed_over, read_source
from cezsar.errors import InputError

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Classifier, EmbeddedClip, Labels, Ranking
    from cezsar.zeroshot.examples import KeptLabels
    from cezsar.zeroshot.fusion import Weights
    from cezsar.zeroshot.spans import Timeline

verbs = Verbs()
SHOWN = 20  # hits that are printed; files hold all


@verbs.verb("cezsar demo", "cezsar demo --workspace /data/cezsar --seed 7")
def demo(
    workspace: WorkspaceOut = None,
    seed: Annotated[int | None, Option(min=0, help="Of the world, mining and training.")] = None,
    workers: Annotated[int, Option(min=1, help="Processes that draw and decode videos.")] = 2,
    recipe: Annotated[str, Option(help="demo, or paper: the paper's own training settings.")] = "demo",
) -> None:
    """Draw the stick-figure world, train on it, and name actions that training never showed. About three minutes."""
    import torch

    from cezsar.demo import PAPER, Recipe, run_demo
    from cezsar.world import SEED
    from cezsar.zeroshot.tables import table

    torch.set_num_threads(1)  # as fast as two for a model this small, and unmoved by what else the machine does
    recipes = {"demo": Recipe(), "paper": PAPER}
    if recipe not in recipes:
        raise InputError(f"recipe {recipe!r} is unknown; choose {' or '.join(recipes)}")
    seed, run_name = SEED if seed is None else seed, "demo" if recipe == "demo" else f"demo-{recipe}"
    with Progress() as progress:
        report = run_demo(
            workspace, seed, recipe=recipes[recipe], run_name=run_name, workers=workers, on_progress=progress.stage
        )
    print(table(report.results))
    print(f"\nlargest share of predictions that one class takes: {report.largest_share:.0%}")
    print(f"{duration(sum(report.seconds.values()))} in all; the run is {report.run}")
    print(f"next: cezsar classify {report.run.parents[1] / 'demo' / 'test'}/*/*-000.webm")


@verbs.verb(
    'cezsar classify clip.mp4 --labels "playing guitar, mopping floor, arm wrestling"',
    "cezsar classify clips/*.mp4 --run workspace/runs/demo --csv answers.csv",
    "cezsar classify clip.mp4 --encoder clip:clip-ViT-B-32 --prototypes ucf101 --top 3 --json",
)
def classify(
    clips: Annotated[list[Path], Argument(help="Video files, or folders of them.", metavar="CLIP...")],
    run: Annotated[Path | None, Option(help="A run, by folder or name; see below.")] = None,
    encoder: Annotated[str | None, Option(help="Rank without a run: open_clip:<model>, video:<model>, bit ...")] = None,
    beside: Annotated[str | None, Option(help="A second run or encoder, whose rankings are shown beside.")] = None,
    labels: Annotated[str | None, Option(help='"a, b, c". Default: those of the run, or Kinetics-400.')] = None,
    prototypes: Annotated[str | None, Option(
        help="Class descriptions: JSON {class: sentence or list}, a folder of .txt, a list, ucf101 ...; or labels "
        "shown by clips and pictures: a folder of a folder a label, JSON {label: {sentences, examples}}, or labels "
        "that were saved.")] = None,
    top: Annotated[int, Option(min=1, help="Labels to show for each clip.")] = 5,
    alpha: Annotated[float | None, Option(help="Weight of VE.")] = None,
    beta: Annotated[float | None, Option(help="Weight of the objects O.")] = None,
    prompt: Annotated[list[str] | None, Option(help="What a bare label is put into, with {}. May be repeated.")] = None,
    objects: Annotated[str | None, Option(help="How O is made: names, definitions, or sentence (the paper's).")] = None,
    middle: Annotated[bool, Option("--middle", help="Of a long clip, the middle alone: the paper's rule.")] = False,
    weights: EncoderWeights = None,
    csv_out: Annotated[Path | None, output("Write a table, a row for each clip and label.", "--csv")] = None,
    labels_out: Annotated[Path | None, output(
        "Save the labels for --prototypes, their examples embedded, as .safetensors.", "--save-labels")] = None,
    why: Annotated[bool, Option("--why", help="Say what put the best label before the next.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of text.")] = False,
) -> None:  # fmt: skip
    """Rank labels for video files. Labels need not have occurred in training.

    Each label comes with its cosine similarity and, where the run was calibrated (`cezsar calibrate`), with its
    probability among the labels given; a clip that seems to show none of them is told. Unless you name a run or an
    encoder, the best model for real video on this machine answers, and a film that looks like the demo's drawn world
    goes to the demo's run.
    """
    from cezsar.zeroshot.model_choice import Chooser, named
    from cezsar.zeroshot.tables import rankings_csv, rankings_json

    in_text = csv_out is None and not as_json
    if (why or beside is not None) and not in_text:
        raise InputError("--why and --beside are told in text; leave --json and --csv out")
    if labels_out is not None and labels_out.suffix.lower() != ".safetensors":
        raise InputError(f"{labels_out} would hold labels with embeddings; give it the suffix .safetensors")
    asked, paths = _asked(labels, prototypes), list(_videos(clips))
    run, encoder = _shown_to(asked, run, encoder)
    rankings: list[Ranking] = []
    other = None if beside is None else named(beside).open()
    with (
        Chooser(run=run, encoder=encoder, weights=weights, prompts=prompt) as chooser,
        Progress("classifying") as progress,
    ):
        for index, path in enumerate(paths):
            try:
                classifier, clip = chooser.read(path, objects=objects, middle=middle)
            except InputError as error:
                _pass_over(error, paths)
                continue
            fused, wanted = classifier.weights.changed(alpha=alpha, beta=beta), _labels(asked, classifier)
            ranking = classifier.rank(clip, wanted, top=top, weights=fused)
            if in_text:
                if classifier.name not in {each.model for each in rankings}:
                    print(classifier.trust)
                _show_ranking(ranking, chooser.why)
                if other is not None:
                    print(f"  beside, by {other.name}:")
                    try:
                        for name, similarity in other.classify(path, _labels(asked, other), top=top).labels:
                            print(f"  {similarity:6.3f}  {name}")
                    except InputError as error:
                        print(f"  {error}")
                if why:
                    _explain(classifier, clip, wanted, fused)
            rankings.append(ranking)
            if len(rankings) == 1:
                if labels_out is not None:
                    save({labels_out: classifier.label_set(wanted).save})
                    print(f"{labels_out}: labels as {classifier.name} was shown them", file=sys.stderr)
                progress.restart()  # loading the models took longer than any clip will
            if len(paths) > 1 and not in_text:
                progress(index + 1, len(paths))
    failed = len(paths) - len(rankings)
    if as_json:
        print(rankings_json(rankings), end="")
    if csv_out is not None:
        save({csv_out: partial(write_text, text=rankings_csv(rankings))})
        print(f"{csv_out}: {len(rankings)} clips, {failed} failed", file=sys.stderr)
    if labels_out is not None and not rankings:
        print(f"{labels_out}: not written, since no film was ranked", file=sys.stderr)
    if failed:
        raise Exit(1)


@verbs.verb(
    'cezsar spans film.mp4 --labels "playing guitar, mopping floor, arm wrestling"',
    "cezsar spans films/ --prototypes kinetics400 --json submission.json --csv spans.csv",
    "cezsar spans films/ --find juggling",
    'cezsar spans film.mp4 --labels "serve, rally, break" --vtt film.vtt --label-studio tasks.json',
)
def spans(
    films: Annotated[list[Path], Argument(help="Video files of any length, or folders of them.", metavar="FILM...")],
    run: Annotated[Path | None, Option(help="A trained run.")] = None,
    encoder: Annotated[str | None, Option(help="Rank without a run, by this encoder.")] = None,
    labels: Annotated[str | None, Option(help='Labels to choose from: "a, b, c".')] = None,
    prototypes: Annotated[str | None, Option(help="Class descriptions, as for `cezsar classify`.")] = None,
    find: Annotated[str | None, Option(
        metavar="LABEL", help="Where is this one thing? Held against the labels given, or Kinetics-400's.")] = None,
    window: Annotated[int | None, Option(min=1, help="Seconds that are looked at together; 3 by default.")] = None,
    none: Annotated[bool, Option("--none/--no-none", help='Allow "none of these", after `cezsar calibrate`.')] = True,
    weights: EncoderWeights = None,
    csv_out: Annotated[Path | None, output("Write a table, a row for each span.", "--csv")] = None,
    json_out: Annotated[Path | None, output("Write ActivityNet's submission form.", "--json")] = None,
    vtt_out: Annotated[Path | None, Option("--vtt", help="Write subtitles; of several films, a folder.")] = None,
    label_studio: Annotated[Path | None, output("Write pre-annotations for Label Studio.")] = None,
) -> None:  # fmt: skip
    """When it happens: films of any length to spans (start, end, label).

    Each second is looked at with its neighbours, and a label lasts until another one is clearly better.
    """
    from cezsar.zeroshot import spans as library
    from cezsar.zeroshot.model_choice import Chooser

    asked, paths = _asked(labels, prototypes), list(_videos(films))
    run, encoder = _shown_to(asked, run, encoder)
    if find is None and asked is not None and len(names := _names(asked)) == 1:
        (alone,) = names
        raise InputError(f"one label has nothing to be compared with: say --find {alone!r}, or give more labels")
    subtitles: dict[str, Path] = {}
    if vtt_out:  # of several films, it names a folder
        names = [str(path) for path in paths]
        files = [vtt_out] if len(paths) == 1 else [vtt_out / f"{id}.vtt" for id in library.ids(names)]
        subtitles = dict(zip(names, files, strict=True))
    for path in subtitles.values():
        refuse_unwritable(path)
    timelines: list[Timeline] = []
    with Chooser(run=run, encoder=encoder, weights=weights) as chooser:
        for path in paths:
            try:
                with Progress(f"{path.name}, seconds") as progress:
                    classifier = chooser.classifier(path)
                    wanted = _labels(asked, classifier)
                    film = library.read(classifier, path, window_s=window or library.WINDOW_S, progress=progress)
                if find is None:
                    found = library.spans(classifier, film, wanted, none=none)
                else:
                    found = library.find(classifier, film, find, wanted)
            except InputError as error:
                _pass_over(error, paths)
                continue
            timelines.append(
                library.Timeline(str(path), classifier.name, film.fps, found, classifier.by_example(wanted))
            )
            notes = [note for note in (film.reading, film.warning, timelines[-1].note) if note]
            if find is None:
                _show_timeline(timelines[-1], [chooser.why or f"{classifier.name} answers", *notes])
            else:
                for note in notes:
                    print(f"cezsar: {path}: {note}", file=sys.stderr)
    if find is not None:
        _show_hits(find, timelines)
    forms = ((csv_out, library.to_csv), (json_out, library.to_activitynet), (label_studio, library.to_label_studio))
    texts = {out: form(timelines) for out, form in forms if out is not None}
    texts |= {subtitles[each.path]: library.to_webvtt(each) for each in timelines if subtitles}
    save({out: partial(write_text, text=text) for out, text in texts.items()})
    if len(timelines) < len(paths):
        raise Exit(1)


@verbs.verb(
    'cezsar search --store features/k400-bit --run runs/cezsar --labels "juggling, pouring tea" --top 20',
    "cezsar search --store features/mine-clip --prototypes mine.json --out found.csv",
    "cezsar search --store features/k400-bit --run runs/cezsar --among sentences.txt --clip abc --clip def",
)
def search(
    store: Annotated[Path, Option(help="Feature store of the clips.")],
    run: Annotated[Path | None, Option(help="A trained run; the store of an image-text encoder needs none.")] = None,
    labels: Annotated[str | None, Option(help='Which clips show these? "a, b, c".')] = None,
    prototypes: Annotated[str | None, Option(help="The same for described classes: JSON, texts, or ucf101 ...")] = None,
    among: Annotated[Path | None, Option(
        help="The other way round: which of these sentences suit each clip? A text file, one to a line.")] = None,
    clip: Annotated[list[str] | None, Option(help="With --among: of these clips only, by id.")] = None,
    top: Annotated[int, Option(min=1, help="How many, best first.")] = 10,
    alpha: Annotated[float | None, Option(help="Weight of VE; the run's by default.")] = None,
    beta: Annotated[float | None, Option(help="Weight of the objects O.")] = None,
    index: Annotated[Literal["exact", "faiss"], Option(
        help="faiss: faster and approximate, by an index that is kept; needs cezsar\\[faiss].")] = "exact",
    half: Annotated[bool, Option("--half", help="Keep float16: half the disk; the fourth digit may differ.")] = False,
    weights: EncoderWeights = None,
    out: Annotated[Path | None, output("Write a table, as .csv or .json, instead of printing it.")] = None,
) -> None:  # fmt: skip
    """Search a whole feature store: the clips that show something, or the sentences that suit each clip.

    Similarities are those of `cezsar evaluate`. Embeddings are kept in the workspace, so that the next question is
    answered at once.
    """
    from cezsar.training.runs import Run
    from cezsar.zeroshot import search as library

    wanted = _wanted(labels, prototypes)
    if (wanted is None) == (among is None):
        raise InputError("say what to look for by --labels or --prototypes, or name sentences by --among; one of these")
    if clip and among is None:
        raise InputError("--clip chooses clips whose sentences are looked for; give --among, too")
    texts = [] if among is None else library.read_sentences(among)
    with Progress("embedding clips") as progress:
        gallery = library.open_gallery(
            store, Run.open(run) if run else None, alpha=alpha, beta=beta, half=half, encoder_weights=weights,
            progress=progress,
        )  # fmt: skip
    with Progress("embedding sentences") as progress:
        sentences = None if among is None else library.open_sentences(gallery, texts, half, progress)
    with Progress("searching") as progress:
        if sentences is not None:
            hits = library.suiting(gallery, sentences, top, clip or (), index == "faiss", progress)
        else:
            hits = library.showing(gallery, wanted or {}, top, index == "faiss", progress)
    if out is not None:
        save_and_tell(out, lambda path: library.write(path, hits))
        return
    for hit in hits:
        about, told = [hit.clip, *filter(None, (hit.label, hit.path))], hit.text
        if among is not None:
            about, told = [told], "  ".join(about)
        if hit.rank == 1:
            print(f"\n{told}")
        print(f"  {hit.similarity:6.3f}  {'  '.join(about)}")


def _wanted(labels: str | None, prototypes: str | None) -> Sequence[str] | dict[str, list[str]] | None:
    """What --labels or --prototypes ask for in words; None leaves it to the classifier."""
    if labels is not None and prototypes is not None:
        raise InputError("give --labels or --prototypes, not both")
    if labels is None:
        return None if prototypes is None else named_descriptions(prototypes)
    parsed = parse_labels(labels)
    if parsed.repeated:
        print(f"cezsar: labels given twice count once: {', '.join(parsed.repeated)}", file=sys.stderr)
    return parsed.names


def _asked(labels: str | None, prototypes: str | None) -> Labels | KeptLabels:
    """What they ask for in words or by examples."""
    from cezsar.zeroshot.examples import KeptLabels, not_read, read_labels

    if prototypes is None or labels is not None:
        return _wanted(labels, prototypes)
    if others := not_read(prototypes):
        print(f"cezsar: {others}", file=sys.stderr)
    return KeptLabels.load(prototypes) if prototypes.lower().endswith(".safetensors") else read_labels(prototypes)


def _names(asked: Labels | KeptLabels) -> list[str]:
    from cezsar.zeroshot.examples import KeptLabels

    return list((asked.labels if isinstance(asked, KeptLabels) else asked) or ())


def _labels(asked: Labels | KeptLabels, classifier: Classifier) -> Labels:
    """As a classifier takes them, with embedded examples. Raises `MismatchError` for labels that were shown to another
    one, `InputError` for an example that cannot be used."""
    from cezsar.zeroshot.examples import KeptLabels

    labels = classifier.labels_of(asked) if isinstance(asked, KeptLabels) else asked
    return classifier.shown(labels) if classifier.by_example(labels) else labels


def _shown_to(asked: Labels | KeptLabels, run: Path | None, encoder: str | None) -> tuple[Path | None, str | None]:
    """The run or encoder that was asked for, else the one that saved labels were shown to, if it is here."""
    from cezsar.encoders import CARDS
    from cezsar.zeroshot.examples import KeptLabels
    from cezsar.zeroshot.model_choice import named

    if not isinstance(asked, KeptLabels) or run is not None or encoder is not None:
        return run, encoder
    if not any(label.examples for label in asked.labels.values()):
        return None, None
    if run := named(asked.model).run:
        return run, None
    if asked.model not in CARDS and ":" not in asked.model:
        raise InputError(f"they were shown to the run {printable(asked.model)}, which is not here; name it by --run")
    return None, asked.model


def _videos(given: Sequence[Path]) -> Iterator[Path]:
    """The files that are named, and those in the folders that are named; says how many files there are no videos."""
    for path in given:
        if path.is_dir():
            yield from (clip.path for clip in read_source(path))
            if others := passed_over(path):
                print(f"cezsar: {others}", file=sys.stderr)
        else:
            yield path


def _pass_over(error: Exception, paths: Sequence[Path]) -> None:
    """Tell of a file that cannot be read and go on, unless it was the only one."""
    if len(paths) == 1:
        raise error
    print(f"cezsar: {error}", file=sys.stderr)


def _show_ranking(ranking: Ranking, why: str) -> None:
    doubt = f"none of these labels seems right ({ranking.judgement})" if ranking.none_of_these else ""
    print("\n" + "\n  ".join([printable(ranking.path), *filter(None, (why, *ranking.notes, ranking.warning, doubt))]))
    for index, (name, similarity) in enumerate(ranking.labels):
        likely = "" if ranking.probabilities is None else f"  {ranking.probabilities[index]:6.1%}"
        print(f"  {similarity:6.3f}{likely}  {name}")
    if ranking.objects:
        print("  objects:")
    for name, definition, probability in ranking.objects:
        print(f"    {probability:4.0%}  {name}: {definition}")


def _explain(classifier: Classifier, clip: EmbeddedClip, wanted: Labels, weights: Weights) -> None:
    """What put the best label before the next one."""
    from cezsar.analysis.explanation import explain

    if len(classifier.prototypes(wanted)[0]) < 2:
        return
    found = explain(classifier, clip, wanted, weights=weights)
    print(f"  {found.winner} leads {found.runner_up} by {found.margin:.3f}")
    for kind, parts in (("modality", found.modalities), ("object", found.objects), ("second", found.seconds)):
        how = "" if not parts or parts[0].without is None else ", each left out in turn"
        if parts:
            print(f"    by {kind}{how}: " + ", ".join(f"{part.name} {part.change:+.3f}" for part in parts))


def _show_timeline(timeline: Timeline, notes: list[str]) -> None:
    """A line for each span, after what should be said of the film."""
    print("\n" + "\n  ".join([printable(timeline.path), *notes]))
    for span in timeline.spans:
        times = f"  {clock(span.start_s):>9}  {clock(span.end_s):>9}"
        if span.label is None:
            print(f"{times}                  none of these")
        else:
            likely = " " * 6 if span.probability is None else f"{span.probability:6.1%}"
            print(f"{times}  {span.score:6.3f}  {likely}  {span.label}")


def _show_hits(label: str, timelines: Sequence[Timeline]) -> None:
    """The places where one label is seen, over all films, best first."""
    hits = [(span, timeline.path) for timeline in timelines for span in timeline.spans]
    hits.sort(key=lambda hit: -hit[0].score)
    where = f"{len(timelines):,} film{'s' if len(timelines) != 1 else ''}"
    print(f"{label}: {len(hits):,} place{'s' if len(hits) != 1 else ''} in {where}{', best first' if hits else ''}")
    for span, path in hits[:SHOWN]:
        print(f"  {span.score:6.2f}  {clock(span.start_s):>9}  {clock(span.end_s):>9}  {printable(path)}")
    if len(hits) > SHOWN:
        print(f"  and {len(hits) - SHOWN:,} more; --csv FILE writes all")


def clock(time_s: float) -> str:
    """h:mm:ss.s"""
    minutes, tenths = divmod(round(time_s * 10), 600)
    return f"{minutes // 60}:{minutes % 60:02}:{tenths / 10:04.1f}"
