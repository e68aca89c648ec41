"""`cezsar prototypes`: class descriptions, of which prototypes are made, each job by a verb of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cezsar.cli.console import Progress, output, save

if TYPE_CHECKING:
    from cezsar.data.prototype_checks import CheckReport
    from cezsar.zeroshot.scored import Scored
    from cezsar.zeroshot.weights import Outcome
    from cezsar.zeroshot.workshop import Flow, Trial

EXAMPLES = """[bold]Examples[/bold]

cezsar prototypes check ucf101

cezsar prototypes check descriptions.json --dataset hmdb51

cezsar prototypes check texts/ --dataset "my clips" --near 0.8 --json findings.json

cezsar prototypes try demo@demo "kicking a box" "A cardboard box is pushed away with the foot, again and again."

cezsar prototypes try cezsar@ucf101 PommelHorse "Legs circle over two handles." "Swings on a leather beam." --append
"""

app = typer.Typer(
    name="prototypes",
    help="Class descriptions, the sentences that prototypes are made of: find what is wrong with them, try others.",
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
        Path | None, typer.Option("--json", help="Write the findings as JSON.", callback=output())
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
        save((json_out, lambda path: write_json(path, asdict(report))))
        print(f"wrote {json_out}")
    if report.findings:
        raise typer.Exit(1)


def _show(report: CheckReport) -> None:
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


@app.command("try", epilog=EXAMPLES)
def try_sentences(
    scored: Annotated[
        str, typer.Argument(help="What `cezsar evaluate --keep` wrote: a folder, or its name in the workspace.")
    ],
    class_name: Annotated[str, typer.Argument(metavar="CLASS", help="The class they describe, in any spelling.")],
    texts: Annotated[list[str], typer.Argument(metavar="SENTENCE...", help="One or several sentences.")],
    append: Annotated[bool, typer.Option("--append", help="To the sentences it has, not in their place.")] = False,
    new: Annotated[bool, typer.Option("--new", help="A class that is none so far: clips may be taken for it.")] = False,
    run: Annotated[
        Path | None, typer.Option(help="The run that scored it, where it is in no workspace.", file_okay=False)
    ] = None,
    sentences: Annotated[
        str | None, typer.Option(help="Sentence encoder of a data set that was scored without a run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """What other sentences for a class would change: accuracies, and the clips it takes and loses."""
    from cezsar import workspace
    from cezsar.errors import InputError
    from cezsar.zeroshot.scored import Scored
    from cezsar.zeroshot.spaces import prototypes_of
    from cezsar.zeroshot.workshop import Workshop

    folder, named = Path(scored), workspace.folder("scores") / scored
    item = Scored.open(folder if (folder / "about.json").is_file() or not named.is_dir() else named)
    if append and new:
        raise InputError("a new class has no sentences to add to; leave out --append or --new")
    space = item.space(run=run, sentences=sentences)
    shop = Workshop(item.embeddings(), item.weights, item.several, form=item.method.form)
    if not all(text.strip() for text in texts):
        raise InputError("a class is described by at least one sentence, and none of them is empty; write one")
    _, vectors, _ = prototypes_of(space, {class_name: texts})
    trial = shop.add_class(class_name, vectors) if new else shop.try_sentences(class_name, vectors, append=append)
    was = item.descriptions().get(trial.class_name, [])
    if as_json:
        print(json.dumps(_told(item, trial, was, texts), indent=2, ensure_ascii=False))
    else:
        _show_trial(item, trial, was, texts)


def _told(item: Scored, trial: Trial, was: Sequence[str], texts: Sequence[str]) -> dict[str, object]:
    """Everything about a trial, as JSON has it; fractions."""
    return {
        "cezsar": "trial",
        "scored": item.name,
        "class": trial.class_name,
        "kind": trial.kind,
        "weights": asdict(trial.after.weights),
        "sentences_before": list(was),
        "sentences": [*(was if trial.kind == "appended" else ()), *texts],
        "before": _figures(trial.before, trial.old_accuracy),
        "after": _figures(trial.after, trial.accuracy),
        "gained": [move._asdict() for move in trial.moves(trial.gained)],
        "lost": [move._asdict() for move in trial.moves(trial.lost)],
        "drawn_from": [flow._asdict() for flow in trial.drawn_from],
        "left_to": [flow._asdict() for flow in trial.left_to],
        "dead": trial.dead,
    }


def _figures(found: Outcome, of_class: float | None) -> dict[str, float | int | None]:
    return {
        "clips": found.n_clips,
        "top1": found.top1,
        "top5": found.top5,
        "mean_per_class": found.mean_per_class,
        "of_class": of_class,
    }


def _show_trial(item: Scored, trial: Trial, was: Sequence[str], texts: Sequence[str]) -> None:
    from cezsar.zeroshot.fusion import active

    names = " + ".join(f"{trial.after.weights.of(name):g} {name}" for name in active(trial.scores, trial.after.weights))
    print(
        f"{item.name}: {trial.after.n_clips:,} clips, {len(trial.scores.class_names):,} classes, predicted from {names}"
    )
    done = {"replaced": "with other sentences", "appended": "with further sentences", "added": "as a new class"}
    print(f"{trial.class_name!r} {done[trial.kind]}")
    for text in was:
        print(f"  {'' if trial.kind == 'appended' else 'was: '}{text}")
    for text in texts:
        print(f"  now: {text}")
    before, after = _figures(trial.before, trial.old_accuracy), _figures(trial.after, trial.accuracy)
    print(f"\n{'':16}{'before':>9}{'after':>9}{'points':>9}")
    for key, title in (
        ("top1", "top-1"), ("top5", "top-5"), ("mean_per_class", "mean per class"), ("of_class", "of the class"),
    ):  # fmt: skip
        old, now = before[key], after[key]
        change = "" if old is None or now is None else f"{100 * (now - old):+.1f}"
        print(f"{title:16}{_percent(old):>9}{_percent(now):>9}{change:>9}")
    print(f"\n{len(trial.gained):,} clips gained, {len(trial.lost):,} lost")
    _show_flows(f"{len(trial.drawn):,} drawn to it", "from", trial.drawn_from)
    _show_flows(f"{len(trial.left):,} left it", "to", trial.left_to)
    if trial.dead:
        print("the sentences embed to nothing but zeros in this space: no clip can be taken for the class")


def _show_flows(title: str, word: str, flows: Sequence[Flow]) -> None:
    print(f"{title}{':' if flows else ''}")
    for flow in flows:
        name = repr(flow.name) if flow.name else "undecided clips" if word == "from" else "undecided"
        print(f"  {flow.clips:4,} {word} {name}: {flow.right:,} right now, {flow.wrong:,} right before")


def _percent(fraction: float | int | None) -> str:
    from cezsar.zeroshot.results import percent

    return "–" if fraction is None else f"{percent(fraction)} %"
