"""`cezsar classify`: video files to ranked labels."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cezsar.cli.console import Progress, output, save

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Classifier, EmbeddedClip, Ranking
    from cezsar.zeroshot.fusion import Weights

EXAMPLES = """[bold]Examples[/bold]

cezsar classify clip.mp4 --labels "playing guitar, mopping floor, arm wrestling"

cezsar classify clips/*.mp4 --run workspace/runs/demo --csv answers.csv

cezsar classify clip.mp4 --encoder clip:clip-ViT-B-32 --prototypes ucf101 --top 3 --json
"""


def command(
    clips: Annotated[list[Path], typer.Argument(help="Video files, or folders of them.", metavar="CLIP...")],
    run: Annotated[Path | None, typer.Option(help="A run, by folder or name; see below.")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Rank without a run: open_clip:<model>, clip:<model>, video:<model>, bit ...")
    ] = None,
    beside: Annotated[
        str | None, typer.Option(help="A second run or encoder, whose ranking of each clip is shown beside.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help='Labels to choose from: "a, b, c". Default: those of the run, or Kinetics-400.')
    ] = None,
    prototypes: Annotated[
        str | None,
        typer.Option(
            help="Class descriptions: ucf101, hmdb51 or kinetics400 (they come along), JSON {class: sentence or list}, "
            "a folder of .txt, or a .txt list of classes."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Labels to show for each clip.")] = 5,
    alpha: Annotated[float | None, typer.Option(help="Weight of VE.")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the objects O.")] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="For models of pictures and words: what a bare label is put into, with {}. May be repeated."),
    ] = None,
    objects: Annotated[
        str | None, typer.Option(help="How O is made: names, definitions, or sentence, which is the paper's.")
    ] = None,
    middle: Annotated[
        bool, typer.Option("--middle", help="Of a long clip, take the middle alone: the paper's rule.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="File or folder of the frame encoder's weights.")] = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", help="Write a table, a row for each clip and label.", callback=output())
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Say what put the best label before the next: modality, object, second.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Rank labels for video files. Labels need not have occurred in training.

    Each label comes with its cosine similarity and, where the run was calibrated (`cezsar calibrate`), with its
    probability among the labels given; a clip that seems to show none of them is told. Unless you name a run or an
    encoder, the best model for real video on this machine answers, and a film that looks like the demo's drawn world
    goes to the demo's run.
    """
    from cezsar.atomic import write_text
    from cezsar.errors import InputError
    from cezsar.zeroshot.model_choice import Chooser, changed, named
    from cezsar.zeroshot.tables import rankings_csv, rankings_json

    if (why or beside is not None) and (as_json or csv_out is not None):
        raise InputError("--why and --beside are told in text; leave --json and --csv out")
    wanted = wanted_labels(labels, prototypes)
    paths = list(videos(clips))
    failed = 0
    rankings: list[Ranking] = []
    other = None if beside is None else named(beside).open()
    with (
        Chooser(run=run, encoder=encoder, weights=weights, prompts=prompt) as chooser,
        Progress("classifying") as progress,
    ):
        for index, path in enumerate(paths):
            try:
                classifier, clip = chooser.read(path, objects=objects, middle=middle)
                fused = changed(classifier.weights, alpha=alpha, beta=beta)
                ranking = classifier.rank(clip, wanted, top=top, weights=fused)
            except InputError as error:
                if len(paths) == 1:
                    raise
                failed += 1
                print(f"cezsar: {error}", file=sys.stderr)
                continue
            rankings.append(ranking)
            if len(rankings) == 1:
                progress.restart()  # loading the models took longer than any clip will
            if csv_out is None and not as_json:
                _show(
                    classifier,
                    ranking,
                    chooser.why,
                    first=classifier.name not in {each.model for each in rankings[:-1]},
                )
                if other is not None:
                    _show_beside(other, path, wanted, top)
                if why:
                    _explain(classifier, clip, wanted, fused)
            if len(paths) > 1 and (csv_out is not None or as_json):
                progress(index + 1, len(paths))
    if as_json:
        print(rankings_json(rankings), end="")
    if csv_out is not None:
        save((csv_out, lambda path: write_text(path, rankings_csv(rankings))))
        print(f"{csv_out}: {len(rankings)} clips, {failed} failed", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def wanted_labels(labels: str | None, prototypes: str | None) -> Sequence[str] | dict[str, list[str]] | None:
    """What --labels or --prototypes ask for; None leaves it to the classifier."""
    from cezsar.data.datasets import named_descriptions
    from cezsar.data.labels import parse_labels
    from cezsar.errors import InputError

    if labels is not None and prototypes is not None:
        raise InputError("give --labels or --prototypes, not both")
    if labels is None:
        return None if prototypes is None else named_descriptions(prototypes)
    parsed = parse_labels(labels)
    if parsed.repeated:
        print(f"cezsar: labels given twice count once: {', '.join(parsed.repeated)}", file=sys.stderr)
    return parsed.names


def videos(given: Sequence[Path]) -> Iterator[Path]:
    """The files that are named, and those in the folders that are named; says how many files there are no videos."""
    from cezsar.data.manifest import passed_over, read_source

    for path in given:
        if path.is_dir():
            yield from (clip.path for clip in read_source(path))
            if others := passed_over(path):
                print(f"cezsar: {others}", file=sys.stderr)
        else:
            yield path


def _show(classifier: Classifier, ranking: Ranking, why: str, first: bool) -> None:
    """The ranking; before the first one of a model, what that may be trusted for."""
    from cezsar.data.documents import printable

    if first:
        print(classifier.trust)
    print(f"\n{printable(ranking.path)}")
    if why:
        print(f"  {why}")
    for note in ranking.notes:
        print(f"  {note}")
    if ranking.warning:
        print(f"  {ranking.warning}")
    if ranking.none_of_these:
        print(f"  none of these labels seems right ({ranking.judgement})")
    for index, (name, similarity) in enumerate(ranking.labels):
        likely = "" if ranking.probabilities is None else f"  {ranking.probabilities[index]:6.1%}"
        print(f"  {similarity:6.3f}{likely}  {name}")
    if ranking.objects:
        print("  objects:")
    for name, definition, probability in ranking.objects:
        print(f"    {probability:4.0%}  {name}: {definition}")


def _show_beside(other: Classifier, path: Path, wanted: Sequence[str] | dict[str, list[str]] | None, top: int) -> None:
    """The same clip by a second model."""
    print(f"  beside, by {other.name}:")
    for name, similarity in other.classify(path, wanted, top=top).labels:
        print(f"  {similarity:6.3f}  {name}")


def _explain(
    classifier: Classifier, clip: EmbeddedClip, wanted: Sequence[str] | dict[str, list[str]] | None, weights: Weights
) -> None:
    """What put the best label before the next one."""
    from cezsar.analysis.explanation import explain

    names, *_ = classifier.prototypes(wanted)
    if len(names) < 2:
        return
    found = explain(classifier, clip, wanted, weights=weights)
    print(f"  {found.winner} leads {found.runner_up} by {found.margin:.3f}")
    for kind, parts in (("modality", found.modalities), ("object", found.objects), ("second", found.seconds)):
        how = "" if not parts or parts[0].how == "exact" else ", each left out in turn"
        if parts:
            print(f"    by {kind}{how}: " + ", ".join(f"{part.name} {part.change:+.3f}" for part in parts))
