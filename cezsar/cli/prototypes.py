"""`cezsar prototypes`: class descriptions, of which prototypes are made, each job by a verb of its own."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cezsar.cli.console import Progress

if TYPE_CHECKING:
    from cezsar.data.prototype_checks import Report

EXAMPLES = """[bold]Examples[/bold]

cezsar prototypes check ucf101

cezsar prototypes check descriptions.json --dataset hmdb51

cezsar prototypes check texts/ --dataset "my clips" --near 0.8 --json findings.json
"""

app = typer.Typer(
    name="prototypes",
    help="Class descriptions, the sentences that prototypes are made of: find what is wrong with them.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command(epilog=EXAMPLES)
def check(
    source: Annotated[
        str,
        typer.Argument(
            help="ucf101, hmdb51 or kinetics400 (they come along), JSON {class: sentence or list}, a folder of .txt, "
            "or a .txt list of classes."
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Whose classes they should describe: a published data set, a name from `cezsar datasets`, a folder of "
            "class folders, a CSV or an index. What comes along is compared with its own."
        ),
    ] = None,
    sentences: Annotated[str, typer.Option(help="Sentence encoder that tells similar descriptions.")] = "minilm",
    near: Annotated[
        float,
        typer.Option(
            min=-1, max=1,
            help="Cosine similarity above which two classes are reported. Under MiniLM descriptions of different "
            "actions that come along stay below 0.82, and most of one action, written independently, are above 0.85.",
        ),
    ] = 0.85,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Write the findings as JSON.", dir_okay=False)
    ] = None,
) -> None:  # fmt: skip
    """Find what is wrong with class descriptions: duplicates, missing and unknown classes, near-identical pairs, broken
    encodings, poor sentences. Exit status 1 when something was found."""
    from cezsar.atomic import write_json
    from cezsar.data.prototype_checks import check as find
    from cezsar.data.sentence_cache import open_encoder

    with Progress("comparing sentences") as progress:
        report = find(source, dataset, encoder=open_encoder(sentences), near=near, on_progress=progress)
    _show(report)
    if json_out:
        write_json(json_out, asdict(report))
        print(f"wrote {json_out}")
    if report.findings:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    told = f"{report.source}: {report.sentences:,} sentences for {report.classes:,} classes"
    print(f"{told}; {report.dataset} has {report.expected:,} classes" if report.dataset else told)
    if pair := report.nearest:
        print(f"nearest under {report.encoder}: {' and '.join(map(repr, pair.classes))}, {pair.similarity:.2f}")
    for kind, group in groupby(report.findings, key=lambda finding: finding.kind):
        findings = list(group)
        print(f"\n{kind} ({len(findings):,})")
        for finding in findings:
            print(f"  {finding}")
    print(f"\n{len(report.findings):,} findings" if report.findings else "nothing wrong was found")
