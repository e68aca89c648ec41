"""`cezsar spans`: when what happens in films, and where one thing happens in many."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cezsar.cli.classify import videos, wanted_labels
from cezsar.cli.console import Progress, output, save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cezsar.zeroshot.span_formats import Timeline
    from cezsar.zeroshot.spans import Film

EXAMPLES = """[bold]Examples[/bold]

cezsar spans film.mp4 --labels "playing guitar, mopping floor, arm wrestling"

cezsar spans films/ --prototypes kinetics400 --json submission.json --csv spans.csv

cezsar spans films/ --find juggling

cezsar spans film.mp4 --labels "serve, rally, break" --vtt film.vtt --label-studio tasks.json
"""

SHOWN = 20
"""Hits that are printed; files hold all."""


def command(
    films: Annotated[
        list[Path], typer.Argument(help="Video files of any length, or folders of them.", metavar="FILM...")
    ],
    run: Annotated[Path | None, typer.Option(help="A trained run.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Rank without a run, by this encoder.")] = None,
    labels: Annotated[str | None, typer.Option(help='Labels to choose from: "a, b, c".')] = None,
    prototypes: Annotated[
        str | None, typer.Option(help="Class descriptions, as for `cezsar classify`: ucf101, kinetics400, a file ...")
    ] = None,
    find: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="Where is this one thing? It is held against the labels or prototypes given, by default against "
            "the descriptions of Kinetics-400.",
        ),
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="Seconds that are looked at together; 3 by default.")
    ] = None,
    none: Annotated[
        bool, typer.Option("--none/--no-none", help='Allow "none of these", where the run was calibrated for it.')
    ] = True,
    weights: Annotated[Path | None, typer.Option(help="File or folder of the frame encoder's weights.")] = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", help="Write a table, a row for each span.", callback=output())
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Write ActivityNet's submission form.", callback=output())
    ] = None,
    vtt_out: Annotated[
        Path | None, typer.Option("--vtt", help="Write subtitles (WebVTT); for several films, a folder of them.")
    ] = None,
    label_studio: Annotated[
        Path | None, typer.Option(help="Write pre-annotations for Label Studio.", callback=output())
    ] = None,
) -> None:
    """When it happens: films of any length to spans (start, end, label).

    Each second is looked at with its neighbours, and a label lasts until another one is clearly better.
    """
    from cezsar.atomic import refuse_unwritable, write_text
    from cezsar.errors import InputError
    from cezsar.zeroshot import span_formats as formats
    from cezsar.zeroshot import spans as library
    from cezsar.zeroshot.model_choice import Chooser

    wanted = wanted_labels(labels, prototypes)
    if find is None and wanted is not None and len(wanted) == 1:
        (alone,) = wanted
        raise InputError(f"one label has nothing to be compared with: say --find {alone!r}, or give more labels")
    paths = list(videos(films))
    subtitles = _subtitle_files(vtt_out, paths)
    for out in subtitles.values():
        refuse_unwritable(out)
    timelines: list[Timeline] = []
    with Chooser(run=run, encoder=encoder, weights=weights) as chooser:
        for path in paths:
            try:
                with Progress(f"{path.name}, seconds") as progress:
                    classifier = chooser.classifier(path)
                    film = library.read(classifier, path, window_s=window or library.WINDOW_S, progress=progress)
                if find is None:
                    found = library.spans(classifier, film, wanted, none=none)
                else:
                    found = library.find(classifier, film, find, wanted)
            except InputError as error:
                if len(paths) == 1:
                    raise
                print(f"cezsar: {error}", file=sys.stderr)
                continue
            timelines.append(formats.Timeline(str(path), classifier.name, film.fps, found))
            if find is None:
                _show(timelines[-1], film, chooser.why)
            else:
                for note in _notes(film):
                    print(f"cezsar: {path}: {note}", file=sys.stderr)
    if find is not None:
        _show_hits(find, timelines)
    forms = ((csv_out, formats.to_csv), (json_out, formats.to_activitynet), (label_studio, formats.to_label_studio))
    texts = [(out, form(timelines)) for out, form in forms if out is not None]
    texts += [(subtitles[Path(each.path)], formats.to_webvtt(each)) for each in timelines if subtitles]
    save(*((out, partial(write_text, text=text)) for out, text in texts))
    if len(timelines) < len(paths):
        raise typer.Exit(1)


def _subtitle_files(out: Path | None, films: Sequence[Path]) -> dict[Path, Path]:
    """Film -> its subtitles: the file that is named, or for several films files in the folder that is named."""
    from cezsar.zeroshot.span_formats import ids

    if out is None:
        return {}
    if len(films) == 1:
        return {films[0]: out}
    names = ids([str(film) for film in films])
    return {film: out / f"{name}.vtt" for film, name in zip(films, names, strict=True)}


def _show(timeline: Timeline, film: Film, why: str) -> None:
    """A line for each span, after what should be said of the film."""
    from cezsar.data.documents import printable

    print(f"\n{printable(timeline.path)}")
    for note in (why or f"{timeline.model} answers", *_notes(film)):
        print(f"  {note}")
    for span in timeline.spans:
        times = f"  {_clock(span.start_s):>9}  {_clock(span.end_s):>9}"
        if span.label is None:
            print(f"{times}                  none of these")
        else:
            likely = " " * 6 if span.probability is None else f"{span.probability:6.1%}"
            print(f"{times}  {span.score:6.3f}  {likely}  {span.label}")


def _notes(film: Film) -> list[str]:
    """What could not be read, and why not to trust the model."""
    return [note for note in (film.reading, film.warning) if note]


def _show_hits(label: str, timelines: Sequence[Timeline]) -> None:
    """The places where one label is seen, over all films, best first."""
    from cezsar.data.documents import printable

    hits = [(span, timeline.path) for timeline in timelines for span in timeline.spans]
    hits.sort(key=lambda hit: -hit[0].score)
    where = f"{len(timelines):,} film{'s' if len(timelines) != 1 else ''}"
    print(f"{label}: {len(hits):,} place{'s' if len(hits) != 1 else ''} in {where}{', best first' if hits else ''}")
    for span, path in hits[:SHOWN]:
        print(f"  {span.score:6.2f}  {_clock(span.start_s):>9}  {_clock(span.end_s):>9}  {printable(path)}")
    if len(hits) > SHOWN:
        print(f"  and {len(hits) - SHOWN:,} more; --csv FILE writes all")


def _clock(time_s: float) -> str:
    """h:mm:ss.s"""
    tenths = round(time_s * 10)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02}:{rest / 10:04.1f}"
