"""`cezsar prototypes`: class descriptions, of which prototypes are made, each job by a verb of its own."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option, Typer

from cezsar.atomic import write_json
from cezsar.cli.console import Progress, save_and_tell
from cezsar.cli.options import ScoredName, examples, open_scored, output
from cezsar.errors import InputError
from cezsar.formats import stamp

if TYPE_CHECKING:
    from cezsar.analysis.wording import Contrast, Pattern
    from cezsar.zeroshot.scored import Scored
    from cezsar.zeroshot.spaces import Space
    from cezsar.zeroshot.workshop import Trial

EXAMPLES = examples(
    "cezsar prototypes check ucf101",
    "cezsar prototypes check descriptions.json --dataset hmdb51",
    'cezsar prototypes check texts/ --dataset "my clips" --near 0.8 --json findings.json',
    'cezsar prototypes try demo@demo "kicking a box" "A cardboard box is pushed away with the foot, again and again."',
    'cezsar prototypes try cezsar@ucf101 PommelHorse "Legs circle over two handles." "Swings on a leather beam." '
    "--append",
    'cezsar prototypes suggest mine.json "pouring tea"',
    'cezsar prototypes suggest ucf101 "YoYo" "A small wheel runs up and down a string." --run runs/cezsar',
    'cezsar prototypes try demo@demo "kicking a box" --example w7-kicking_a_box-000 --example w7-kicking_a_box-001',
)
verbs = Typer(
    name="prototypes",
    help="Class descriptions, the sentences that prototypes are made of: find what is wrong with them, find "
    "better ones, try others.",
    epilog=EXAMPLES,
    no_args_is_help=True,
)


@verbs.command(epilog=EXAMPLES)
def check(
    source: Annotated[str, Argument(
        help="ucf101, hmdb51 or kinetics400 (they come along), JSON {class: sentence or list}, a folder of .txt, "
        "or a .txt list of classes.")],
    dataset: Annotated[str | None, Option(help="Whose classes they should describe, as in `cezsar evaluate`.")] = None,
    sentences: Annotated[str, Option(help="Sentence encoder that tells similar descriptions.")] = "minilm",
    near: Annotated[float, Option(min=-1, max=1, help="Cosine similarity above which pairs are reported.")] = 0.85,
    json_out: Annotated[Path | None, output("Write the findings as JSON.", "--json")] = None,
) -> None:  # fmt: skip
    """Find what is wrong with class descriptions: missing and unknown classes, repeated sentences, near-identical
    pairs, broken encodings, poor sentences. Exit status 1 when something was found."""
    from cezsar.data.prototype_checks import check as find
    from cezsar.data.sentence_cache import open_encoder

    with Progress("comparing sentences") as progress:
        report = find(source, dataset, encoder=open_encoder(sentences), near=near, on_progress=progress)
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
    if json_out:
        save_and_tell(json_out, lambda path: write_json(path, stamp("prototypes") | asdict(report)))
    if report.findings:
        raise Exit(1)


@verbs.command(epilog=EXAMPLES)
def suggest(
    source: Annotated[str, Argument(help="The labels and their sentences, as for `cezsar prototypes check`.")],
    label: Annotated[str, Argument(help="The one that wants better words, in any spelling.")],
    texts: Annotated[list[str] | None, Argument(
        metavar="[SENTENCE...]", help="Other sentences for it, to see how far it would stand from the others.")] = None,
    new: Annotated[bool, Option("--new", help="A label that is none so far.")] = False,
    run: Annotated[str | None, Option(help="In the space of this run, by folder or name.")] = None,
    encoder: Annotated[str | None, Option(help="In the space of this image-text model.")] = None,
    sentences: Annotated[str, Option(help="Without these, in the space of this sentence encoder.")] = "minilm",
    top: Annotated[int, Option(min=1, help="How many patterns and look-alikes.")] = 3,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Better words for a label: published descriptions near it, its look-alikes, and the words that tell them apart.

    What a word does is measured by leaving it out: the change of the similarity, above 0 where it holds the two labels
    apart.
    """
    from cezsar.analysis.wording import Wording, patterns
    from cezsar.data.datasets import named_descriptions
    from cezsar.data.labels import canonical, resolve, spoken
    from cezsar.data.sentence_cache import open_encoder

    if not all(text.strip() for text in texts or ()):
        raise InputError("a sentence is empty; write it, or leave it out")
    described = named_descriptions(source)
    if new and canonical(label) in map(canonical, described):
        raise InputError(f"{label!r} spells a label that is there already; leave out --new")
    name = label if new else resolve([label], list(described))[0]
    described.setdefault(name, [spoken(name)])
    wording = Wording(_space(run, encoder, sentences), described)
    near, was = wording.neighbours(name, texts or ()), dict(wording.neighbours(name))
    contrasts = [wording.contrast(name, other.name, texts or ()) for other in near[:top]]
    found = patterns([spoken(name), *described[name]], open_encoder(), top)
    told = {
        **stamp("suggestions"), "label": name, "sentences": described[name], "tried": texts or [],
        "patterns": [each._asdict() for each in found],
        "neighbours": [{"name": other, "similarity": now, "before": was[other]} for other, now in near],
        "contrasts": [
            each._asdict() | {side: dict(getattr(each, side)) for side in ("words", "other_words")}
            for each in contrasts
        ],
    }  # fmt: skip
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show_suggestions(told, found, contrasts)


def _space(run: str | None, encoder: str | None, sentences: str) -> Space:
    """Where sentences are compared: of a run, of an image-text model, else of a sentence encoder."""
    from cezsar import encoders
    from cezsar.training.runs import Run, find_run
    from cezsar.zeroshot.spaces import ImageTextSpace, TextEncoder, space_for

    if encoder is None:
        return space_for(None if run is None else Run.open(find_run(run) or run), sentences)
    if run is not None:
        raise InputError("give --run or --encoder, not both")
    model = encoders.create(encoder)
    if not isinstance(model, TextEncoder):
        raise InputError(f"encoder {encoder} reads no text; give an image-text model, or leave it out")
    return ImageTextSpace(model)


def _show_suggestions(told: dict[str, Any], found: list[Pattern], contrasts: list[Contrast]) -> None:
    print(repr(told["label"]))
    for key, word in (("sentences", "has"), ("tried", "now")):
        for text in told[key]:
            print(f"  {word}: {text}")
    print("\npatterns: published descriptions that are nearest to it")
    for pattern in found:
        print(f"  {pattern.similarity:.2f}  {pattern.name} ({pattern.dataset})")
        for text in pattern.sentences:
            print(f"        {text}")
    print(
        "\nlook-alikes: similarity, "
        + ("before, " if told["tried"] else "")
        + "and what each word adds to the difference"
    )
    for each, other in zip(contrasts, told["neighbours"], strict=False):
        was = f"  before {other['before']:.2f}" if told["tried"] else ""
        print(f"  {each.similarity:.2f}{was}  {each.other}")
        for name, effects in ((each.name, each.words), (each.other, each.other_words)):
            said = [f"{word} {change:+.2f}" for word, change in effects if round(change, 2)]
            print(f"        {name}: {', '.join(said) or 'no word does anything'}")


@verbs.command("try", epilog=EXAMPLES)
def try_sentences(
    scored: ScoredName,
    class_name: Annotated[str, Argument(metavar="CLASS", help="The class they describe, in any spelling.")],
    texts: Annotated[list[str] | None, Argument(
        metavar="[SENTENCE...]", help="One or several; with examples and without any it keeps its own.")] = None,
    append: Annotated[bool, Option("--append", help="To the sentences it has, not in their place.")] = False,
    new: Annotated[bool, Option("--new", help="A class that is none so far: clips may be taken for it.")] = False,
    example: Annotated[list[str] | None, Option(
        metavar="CLIP_ID", help="A clip that shows the class, beside its sentences, and is not tested then. Repeat it "
        "for several.")] = None,
    share: Annotated[float | None, Option(
        min=0, max=1, help="λ of the examples, from 0 (sentences alone) to 1; by their number by default.")] = None,
    run: Annotated[
        Path | None, Option(help="The run that scored it, where it is in no workspace.", file_okay=False)] = None,
    sentences: Annotated[str | None, Option(
        help="Sentence encoder of a data set that was scored without a run.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """What other sentences for a class would change, or examples of it: accuracies, and the clips it takes and loses.

    With examples it is not zero-shot; both figures are then told on the clips that are no examples.
    """
    from cezsar.zeroshot.spaces import prototypes_of
    from cezsar.zeroshot.workshop import Workshop

    item = open_scored(scored)
    if append and new:
        raise InputError("a new class has no sentences to add to; leave out --append or --new")
    if share is not None and not example:
        raise InputError("--share is that of the examples; give --example, too")
    if not (texts or example) or not all(text.strip() for text in texts or ()):
        raise InputError("a class is described by at least one sentence, and none of them is empty; write one")
    shop = Workshop(item.embeddings(), item.weights, item.several, form=item.method.form)
    vectors = None
    if texts:
        _, vectors, _ = prototypes_of(item.space(run=run, sentences=sentences), {class_name: texts})
    trial = shop.try_sentences(class_name, vectors, append=append, new=new, examples=example or (), share=share)
    told = _told(item, trial, texts or [])
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show(told, trial, texts or [])


def _told(item: Scored, trial: Trial, texts: list[str]) -> dict[str, Any]:
    """Everything about a trial, as JSON has it; fractions."""
    was = list(item.descriptions().get(trial.class_name, []))
    told: dict[str, Any] = {
        **stamp("trial"), "scored": item.name, "class": trial.class_name, "kind": trial.kind,
        "weights": asdict(trial.after.weights), "sentences_before": was,
        "sentences": [*(was if trial.kind == "appended" or not texts else ()), *texts],
        "examples": [trial.scores.ids[row] for row in trial.examples], "share_of_examples": trial.share,
    }  # fmt: skip
    for when, found in (("before", trial.before), ("after", trial.after)):
        figures = {name: getattr(found, name) for name in ("top1", "top5", "mean_per_class")}
        told[when] = {"clips": found.n_clips, **figures, "of_class": found.per_class.get(trial.class_name)}
    told |= {name: [move._asdict() for move in trial.moves(getattr(trial, name))] for name in ("gained", "lost")}
    told |= {name: [flow._asdict() for flow in getattr(trial, name)] for name in ("drawn_from", "left_to")}
    return told | {"dead": trial.class_name in trial.scores.dead_classes}


def _show(told: dict[str, Any], trial: Trial, texts: list[str]) -> None:
    from cezsar.zeroshot.evaluation import percent
    from cezsar.zeroshot.fusion import active

    names = " + ".join(f"{trial.after.weights.of(name):g} {name}" for name in active(trial.scores, trial.after.weights))
    clips, classes = told["after"]["clips"], len(trial.scores.class_names)
    print(f"{told['scored']}: {clips:,} clips, {classes:,} classes, predicted from {names}")
    done = {"replaced": "with other sentences", "appended": "with further sentences", "added": "as a new class"}
    print(f"{trial.class_name!r} {done[trial.kind] if texts or trial.kind == 'added' else 'with its sentences'}")
    for text in told["sentences_before"]:
        print(f"  {'was: ' if texts and trial.kind == 'replaced' else ''}{text}")
    for text in texts:
        print(f"  now: {text}")
    if told["examples"]:
        print(f"  and shown by {', '.join(told['examples'])}: λ = {trial.share:.2f}, not zero-shot")
    print(f"\n{'':16}{'before':>9}{'after':>9}{'points':>9}")
    titles = {"top1": "top-1", "top5": "top-5", "mean_per_class": "mean per class", "of_class": "of the class"}
    for key, title in titles.items():
        old, now = told["before"][key], told["after"][key]
        shown = ["–" if fraction is None else f"{percent(fraction)} %" for fraction in (old, now)]
        change = "" if old is None or now is None else f"{100 * (now - old):+.1f}"
        print(f"{title:16}{shown[0]:>9}{shown[1]:>9}{change:>9}")
    print(f"\n{len(trial.gained):,} clips gained, {len(trial.lost):,} lost")
    for count, how, word, undecided, flows in (
        (len(trial.drawn), "drawn to it", "from", "undecided clips", trial.drawn_from),
        (len(trial.left), "left it", "to", "undecided", trial.left_to),
    ):
        print(f"{count:,} {how}{':' if flows else ''}")
        for flow in flows:
            name = repr(flow.name) if flow.name else undecided
            print(f"  {flow.clips:4,} {word} {name}: {flow.right:,} right now, {flow.wrong:,} right before")
    if told["dead"]:
        print("the sentences embed to nothing but zeros in this space: no clip can be taken for the class")
