"""`cezsar extract`: videos to a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cezsar.cli.console import Progress, output

if TYPE_CHECKING:
    from cezsar.data.manifest import Clip

EXAMPLES = """[bold]Examples[/bold]

cezsar extract videos/ --encoder motion --out features/mine --workers 2

cezsar extract ucf101 --encoder bit --out features/ucf101-bit --precision bf16

cezsar extract kinetics400:val --encoder bit --out features/kinetics400-bit --workers 2

cezsar extract clips.csv --encoder timm:resnet50.a1_in1k --weights model.safetensors --out features/r50
"""


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of videos, a folder of class folders, or a CSV with path, id, label. Or a data set by name: "
            "ucf101, hmdb51, kinetics400, activitynet-captions, a part such as kinetics400:val, or a name from "
            "`cezsar datasets --add`. A name goes before a folder of that name: give the folder as ./ucf101."
        ),
    ],
    encoder: Annotated[
        str, typer.Option(help="efficientnet, bit, motion, or timm:, clip:, open_clip:, video: with a model or folder.")
    ],
    out: Annotated[Path, typer.Option(help="The feature store to make or go on with.", callback=output(folder=True))],
    workers: Annotated[int, typer.Option(min=1, help="Decoder processes.")] = 1,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    weights: Annotated[
        Path | None, typer.Option(help="File or folder of weights, where no hub can be reached.")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds one clip may take to decode.")] = 120.0,
    memory_limit: Annotated[float, typer.Option(help="GiB one decoder process may use.")] = 4.0,
) -> None:
    """Turn videos into frame features, one row per second. Goes on where it was stopped; broken clips are listed."""
    from cezsar import encoders
    from cezsar.data.extraction import extract
    from cezsar.video import Limits

    clips = _clips(source)
    frame_encoder = encoders.create(encoder, weights=weights, precision=precision)
    with Progress(f"extracting {frame_encoder.name}") as progress:
        report = extract(
            clips,
            frame_encoder,
            out,
            workers=workers,
            limits=Limits(time_s=time_limit, memory_bytes=int(memory_limit * 2**30)),
            on_progress=lambda done, total, failed: progress(done, total, f"{failed} failed" if failed else ""),
        )
    for clip in report.partly:
        print(f"  {clip.path}: {clip.reason}")
    for clip in report.failed:
        print(f"  {clip.path}: {clip.reason}")
    partly = f" ({len(report.partly)} of them read in part)" if report.partly else ""
    failed = len(report.failed)
    if report.changed:
        print(f"  {report.changed} clips have changed since their features were made, and were read anew")
    print(f"{out}: {report.done} clips extracted{partly}, {report.skipped} were there already, {failed} failed")
    if report.failed:
        raise typer.Exit(1)


def _clips(source: str) -> list[Clip]:
    """The clips of a path or a data set; says how many files are passed over, how many clips of a data set missing."""
    from cezsar.data.datasets import find_known, is_name, videos_of
    from cezsar.data.manifest import passed_over, read_source

    if not is_name(source):
        clips = read_source(source)
        folder = Path(source).expanduser()
        if folder.is_dir() and (others := passed_over(folder)):
            print(others)
        return clips
    videos = videos_of(source)
    if videos.missing:
        known = find_known(source.partition(":")[0])
        names = f"; `cezsar datasets {known.name} --missing FILE` writes their ids" if known else ""
        print(f"{source}: {len(videos.clips):,} clips have a video, {len(videos.missing):,} have none{names}")
    return videos.clips
