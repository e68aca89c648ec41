"""What a report tells, a function for each subject: a study in, a section out; None where it does not apply."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cezsar.analysis import confusion
from cezsar.analysis.baselines import random_baseline
from cezsar.analysis.comparison import compare
from cezsar.atomic import write_text
from cezsar.errors import InputError
from cezsar.report import figures, page
from cezsar.report.figures import number, percent, points
from cezsar.report.sections import Figure, Part, Section, Table
from cezsar.report.spaces import hubs, semantic_gap, shift_of_domain, whose_fault
from cezsar.report.study import Study
from cezsar.report.unknown import generalised, open_set, reliability
from cezsar.zeroshot import published, tables
from cezsar.zeroshot.evaluation import evaluate, evaluate_each
from cezsar.zeroshot.fusion import active
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.results import KS, METRICS, figure_of
from cezsar.zeroshot.weights import choose_on_half, fusion_curve, of_pair, share, simplex_map

LISTED = 15  # rows of a list of classes or pairs


def accuracy(study: Study) -> Section:
    """Accuracies among all classes and over random splits, for each modality and fused."""
    scores, weights = study.ready.scores, study.ready.weights
    whole = evaluate_each(scores, all_classes(scores.class_names), weights)
    split = evaluate_each(scores, study.protocol, weights)
    head = ["", *(f"top-{k}, all {len(scores.class_names)}" for k in KS), "per class",
            *(f"top-{k}, {study.protocol.name}" for k in KS)]  # fmt: skip
    rows = [
        [one.modality, *(percent(*one.figure(name)) for name in METRICS),
         *(percent(*other.figure(f"top{k}")) for k in KS)]
        for one, other in zip(whole, split, strict=True)
    ]  # fmt: skip
    rows.append(
        [
            "chance",
            *(percent(whole[0].chance(k)) for k in [*KS, 1]),
            *(percent(split[0].chance(k)) for k in KS),
        ]
    )
    beside = [
        row
        for protocol in (all_classes(scores.class_names), study.protocol)
        for row in published.beside(study.dataset, len(scores.class_names), protocol.splits)
    ]
    parts: list[Part] = [Table(head, rows, "± is the sample standard deviation over random splits.")]
    if beside:
        lines = [tables.published_line(row) for row in beside]
        cells = [[line.method, line.modality, line.classes, line.figures["top1"].percent()] for line in lines]
        parts.append(Table(["published", "", "classes", "top-1 in %"], cells, "* not zero-shot in the strict sense"))
    last, worst = whole[-1], list(whole[-1].per_class().items())
    says = (
        f"{last.modality} names {percent(last.figure().mean)} of {last.runs[0].n_clips:,} clips among all "
        f"{len(last.runs[0].classes):,} classes; chance is {percent(last.chance())}. Hardest: "
        + ", ".join(f"{name} ({percent(figure.mean)})" for name, figure in worst[:3])
        + "."
    )
    numbers = {"all": [one.to_dict() for one in whole], "splits": [one.to_dict() for one in split]}
    return Section("accuracy", "Accuracy", says, parts, numbers)


def fusion(study: Study) -> Section | None:
    """Accuracy for every α, and what choosing α is worth."""
    if study.pair is None:
        return None
    scores, pair, own = study.ready.scores, study.pair, study.ready.weights
    found = fusion_curve(scores, pair)
    best = found.best()
    used = share(own, pair)
    middle = (best.low + best.high) / 2
    marks = {
        f"in use, α = {used:.2f}": (used, float(found.at(used))),
        f"best, α = {middle:.3f}": (middle, best.accuracy),
    }
    parts: list[Part] = [
        Figure(
            figures.mark(figures.alpha_curve(found, pair), marks),
            "Top-1 accuracy for every α: an exact step function, nothing sampled.",
        )
    ]
    numbers: dict[str, Any] = {
        "pair": pair, "used": used, "best": best._asdict(), "breakpoints": len(found.alpha),
        "at_used": float(found.at(used)),
    }  # fmt: skip
    says = (
        f"The curve has {len(found.alpha):,} breakpoints. Its highest accuracy is {percent(best.accuracy)}, for α from "
        f"{best.low:.4f} to {best.high:.4f}; in use is α = {used:.2f} with {percent(float(found.at(used)))}."
    )
    if len(set(scores.label_index[scores.label_index >= 0].tolist())) >= 4:
        chosen = choose_on_half(scores, pair, fixed={"in use": of_pair(pair, used)}, seed=study.seed)
        alphas = [weights.of(pair[0]) for weights in chosen.weights]
        alpha, told, fixed = figure_of(alphas), figure_of(chosen.accuracies), np.mean(chosen.fixed["in use"])
        numbers["chosen_on_half"] = {
            "pair": pair, "alphas": alphas, "accuracies": chosen.accuracies, "fixed": chosen.fixed, "best": chosen.best
        }  # fmt: skip
        says += (
            f"\n\nChosen on a random half of the classes (α = {alpha.mean:.2f} ± {alpha.std or 0:.2f}) "
            f"and told on the other half it gives {percent(*told)}, the α in use {percent(float(fixed))} on the same "
            f"halves, and the best α on those very classes {percent(float(np.mean(chosen.best)))}."
        )
    if len(scores.modalities) == 3:
        simplex = simplex_map(scores)
        peak = simplex.best()
        numbers["simplex"] = {"weights": asdict(peak.weights), "accuracy": peak.accuracy}
        parts.append(
            Figure(
                figures.simplex(simplex, {"best": (peak.weights, peak.accuracy)}),
                f"Top-1 over α, β and γ; highest on these lines: {percent(peak.accuracy)}.",
            )
        )
    warning = (
        "The best α has seen the labels of the test clips: its accuracy is no zero-shot figure. Choose α on held-out "
        "seen classes, or on half of the classes and report the other half."
    )
    return Section("fusion", "Fusion weights", says, parts, numbers, warning)


def comparison(study: Study) -> Section | None:
    """Is the fusion better than its parts, clip for clip."""
    fused = study.ready
    names = list(active(fused.scores, fused.weights))
    if len(names) < 2:
        return None
    rng = study.rng()
    first = (fused.modality, fused.correctness(study.protocol))
    found = [compare(first, (name, fused.only(name).correctness(study.protocol)), rng) for name in names]
    rows, drawn = [], []
    for one in found:
        interval = one.over_both or one.over_videos
        won = f"{one.splits.wins} of {len(one.runs)}" if one.splits else ""
        ends = f"{points(interval.low)} to {points(interval.high)}"
        by_class = f"{one.by_class.wins} / {one.by_class.ties} / {one.by_class.losses}"
        rows.append([f"{one.a} against {one.b}", points(one.difference), ends, won, by_class])
        drawn.append(figures.Whisker(f"{one.a} − {one.b}", one.difference, interval))
    head = ["", "points of top-1", "95 % bootstrap", "splits won", "classes won / tied / lost"]
    notes = "Paired by clip on the same splits; the bootstrap draws videos and splits anew (2,000 times)."
    parts: list[Part] = [
        Table(head, rows, notes),
        Figure(figures.forest(drawn, "one part"), "Differences and intervals."),
    ]
    says = " ".join(f"{one.summary()}." for one in found)
    return Section("comparison", "Fusion against its parts", says, parts, {"pairs": [one.to_dict() for one in found]})


def confusions(study: Study) -> Section | None:
    """Which classes are taken for which, and which words would tell them apart."""
    scores, names = study.ready.scores, study.ready.scores.class_names
    if len(names) < 2:
        return None
    found = confusion.pairs(study.confusion, names)[:LISTED]
    rows = [[one.true, one.predicted, f"{one.count:,}", percent(one.share), f"{one.reverse:,}"] for one in found]
    parts: list[Part] = [Table(["class", "taken for", "clips", "share", "reverse"], rows)]
    alike = confusion.confusable(study.ready.embedded.embeddings, study.confusion, names, study.descriptions, LISTED)
    if alike:
        cells = [
            [f"{one.first} | {one.second}", number(one.similarity, 2), percent(one.share),
             f"{', '.join(one.first_words)} | {', '.join(one.second_words)}"]
            for one in alike
        ]  # fmt: skip
        notes = "Pairs whose prototypes are alike and that take each other's clips, with the words that differ."
        parts.append(Table(["pair", "similarity", "confused", "words of one | of the other"], cells, notes))
    worst = found[0] if found else None
    says = (
        f"Most clips are lost from {worst.true} to {worst.predicted}: {worst.count:,}, {percent(worst.share)} of it."
        if worst
        else "No clip is taken for another class."
    )
    numbers = {"pairs": [asdict(one) for one in found], "lookalikes": [asdict(one) for one in alike]}
    return Section("confusion", "Confusion", says, parts, numbers) if len(scores.ids) else None


def hard_groups(study: Study) -> Section | None:
    """Named classes beside random sets of their size, as the paper's Section 5 does it."""
    scores, weights, names = study.ready.scores, study.ready.weights, study.ready.scores.class_names
    groups = confusion.matching_groups(study.groups, names)
    proposed = not groups
    if proposed:
        vectors = study.ready.embedded.embeddings
        similar = confusion.prototype_similarity(vectors.prototypes, vectors.prototype_class, len(names))
        groups = confusion.propose_groups(similar, study.confusion, names)
    named = {name for members in groups.values() for name in members}
    if len(named) < 2 or len(named) >= len(names):
        return None
    found = random_baseline(scores, groups, weights, seed=study.seed)
    standing = found.standing()
    kind = "proposed from prototypes and confusion" if proposed else "given"
    rows = [
        [one.group or one.kind, f"{len(one.classes):,}", f"{one.clips:,}", percent(one.accuracy),
         percent(one.within), percent(one.between)]
        for one in found.figures
    ]  # fmt: skip
    says = (
        f"{len(found.classes):,} classes in {len(groups):,} hard groups ({kind}) reach {percent(standing.named)}; "
        f"{len(standing.values):,} random sets of as many classes reach {percent(*standing.random)}"
        + (f" (z = {number(standing.z, 2)})." if standing.z is not None else ".")
    )
    warning = "Groups proposed from this very confusion are hard by construction." if proposed else ""
    parts: list[Part] = [
        Table(["group", "classes", "clips", "accuracy", "errors within", "errors between"], rows),
        Figure(
            figures.standing({"": standing}),
            "Accuracy of random sets of classes, and of the hard groups.",
        ),
    ]
    return Section("groups", "Hard groups", says, parts, {"proposed": proposed, **found.to_dict()}, warning)


def classes(study: Study) -> Section:
    """Every class's accuracy."""
    scores = study.ready.scores
    found = evaluate(scores, all_classes(scores.class_names), study.ready.weights)
    per_class, clips = found.per_class(), dict(zip(found.runs[0].classes, found.runs[0].clips, strict=True))
    rows = [[name, f"{clips[name]:,}", percent(figure.mean)] for name, figure in per_class.items()]
    says = "Top-1 accuracy of each class among all classes, the worst first."
    numbers = {name: {"clips": clips[name], "top1": figure.mean} for name, figure in per_class.items()}
    return Section("classes", "Classes", says, [Table(["class", "clips", "top-1"], rows)], numbers)


SUBJECTS: tuple[Callable[[Study], Section | None], ...] = (
    accuracy, fusion, comparison, semantic_gap, whose_fault, hubs, shift_of_domain, confusions, hard_groups, open_set,
    reliability, generalised, classes,
)  # fmt: skip
"""In the order of the report."""

VERSION = 1  # of the JSON


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        about: "method", "dataset", "clips", "classes", "weights", "seed" and the like.
        sections: in the order of the page.
    """

    about: dict[str, Any]
    sections: list[Section]

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON has them: fractions, not percent."""
        numbers = {section.key: section.numbers for section in self.sections}
        return {"cezsar": "report", "version": VERSION, "about": self.about, **numbers}

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write one self-contained HTML file and a JSON file beside it, each whole or not at all.

        Args:
            path: with or without the suffix .html.

        Raises:
            InputError: the path has another suffix that a report cannot have.
        """
        path = Path(path)
        if path.suffix.lower() in (".json", ".csv", ".md", ".pdf"):
            raise InputError(f"{path} would hold HTML; give it the suffix .html, a .json is written beside it")
        html = path if path.suffix.lower() == ".html" else path.with_name(f"{path.name}.html")
        numbers = html.with_suffix(".json")
        write_text(numbers, json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n")
        write_text(html, page.html_of(self.about, self.sections))
        return html, numbers


def analyse(study: Study, on_progress: Callable[[int, int, str], object] | None = None) -> Report:
    """Everything that can be told of a method on a data set.

    Subjects that do not apply, such as a fusion curve with one modality, are left out.

    Args:
        on_progress: called with (subjects done, all of them, the one that is next).
    """
    sections = []
    for done, subject in enumerate(SUBJECTS):
        if on_progress:
            on_progress(done, len(SUBJECTS), subject.__name__.replace("_", " "))
        if section := subject(study):
            sections.append(section)
    if on_progress:
        on_progress(len(SUBJECTS), len(SUBJECTS), "")
    return Report(study.about(), sections)
