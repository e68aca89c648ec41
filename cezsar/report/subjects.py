"""What a report tells, a function for each subject: a study in, a section out; None where it does not apply."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cezsar.analysis import confusion, gap, shift
from cezsar.analysis.baselines import random_baseline
from cezsar.analysis.comparison import compare
from cezsar.atomic import write_text
from cezsar.errors import InputError
from cezsar.report import figures, page
from cezsar.report.figures import number, percent, points
from cezsar.report.page import Part, Plot, Section, Table
from cezsar.report.study import Study
from cezsar.report.unknown import generalised, open_set, reliability
from cezsar.zeroshot import published, tables
from cezsar.zeroshot.evaluation import evaluate, evaluate_each
from cezsar.zeroshot.fusion import UNDECIDED, active, predict
from cezsar.zeroshot.hubness_reduction import MEAN_SENTENCE, REDUCTIONS, evaluate_reduced
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.results import KS, METRICS, figure_of
from cezsar.zeroshot.weights import choose_on_half, fusion_curve, of_pair, share, simplex_map

MOST_CLASSES = 20  # rows of a table or a figure of classes
SPACES = {"raw": "raw features", "sentence": "sentence space", "joint": "joint space"}
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
        ["chance", *(percent(whole[0].chance(k)) for k in [*KS, 1]), *(percent(split[0].chance(k)) for k in KS)]
    )
    beside = [
        row
        for protocol in (all_classes(scores.class_names), study.protocol)
        for row in published.beside(study.dataset, len(scores.class_names), protocol.splits)
    ]
    parts: list[Part] = [Table(head, rows, "± is the sample standard deviation over random splits.")]
    if beside:
        lines = [tables.published_line(row) for row in beside]
        cells = [[line["Method"], line["Modality"], line["Classes"], line[METRICS["top1"]]] for line in lines]
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
        Plot(
            figures.mark(figures.alpha_curve(found, pair), marks),
            "Top-1 accuracy for every α: an exact step function, nothing sampled.",
        )
    ]
    numbers: dict[str, Any] = {
        "pair": pair, "used": used, "best": best._asdict(), "breakpoints": len(found.breakpoints),
        "at_used": float(found.at(used)),
    }  # fmt: skip
    says = (
        f"The curve has {len(found.breakpoints):,} breakpoints. Its highest accuracy is {percent(best.accuracy)}, for "
        f"α from {best.low:.4f} to {best.high:.4f}; in use is α = {used:.2f} with {percent(float(found.at(used)))}."
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
            Plot(
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
        interval = one.interval[0]
        won = f"{one.splits.wins} of {len(one.runs)}" if one.splits else ""
        ends = f"{points(interval.low)} to {points(interval.high)}"
        by_class = f"{one.by_class.wins} / {one.by_class.ties} / {one.by_class.losses}"
        rows.append([f"{one.a} against {one.b}", points(one.difference), ends, won, by_class])
        drawn.append(figures.Whisker(f"{one.a} − {one.b}", one.difference, interval))
    head = ["", "points of top-1", "95 % bootstrap", "splits won", "classes won / tied / lost"]
    notes = "Paired by clip on the same splits; the bootstrap draws videos and splits anew (2,000 times)."
    parts: list[Part] = [
        Table(head, rows, notes),
        Plot(figures.forest(drawn, "one part"), "Differences and intervals."),
    ]
    says = " ".join(f"{one.summary()}." for one in found)
    return Section("comparison", "Fusion against its parts", says, parts, {"pairs": [one.to_dict() for one in found]})


def semantic_gap(study: Study) -> Section | None:
    """How far clips and descriptions are apart in each space."""
    if not study.clouds:
        return None
    scores = study.ready.scores
    labels = scores.label_index[study.rows]
    owner, n = study.ready.embedded.embeddings.prototype_class, len(scores.class_names)
    gaps = {
        name: gap.measure(gap.UnitSpace(cloud, labels, owner, n), seed=study.seed)
        for name, cloud in study.clouds.items()
    }
    spaces = list(study.clouds)
    rows = [
        [one.title, *(number(gaps[space][name], 3) for space in spaces), one.better.replace("neither", "")]
        for name, one in gap.FIGURES.items()
    ]
    notes = "\n".join(f"{one.title}: {one.definition}; {one.range}. {one.source}." for one in gap.FIGURES.values())
    says = (
        f"{len(study.rows):,} clips in {len(spaces)} spaces. Raw features have no place for sentences; the sentence "
        "space shows what objects (or captions) say of a clip; the joint space is where labels are chosen."
    )
    if {"sentence", "joint"} <= set(spaces) and gaps["joint"]["purity"] is not None:
        before, after = (gaps[space]["nearest_prototype"] for space in ("sentence", "joint"))
        says += (
            f" Clips on their own prototype: {percent(before)} in the sentence space, {percent(after)} in the joint."
        )
    table = Table(["", *(SPACES[name] for name in spaces), "better"], rows, notes)
    return Section("gap", "Semantic gap", says, [table], gaps)


def whose_fault(study: Study) -> Section | None:
    """For each class: the clips' fault, or the description's."""
    space = "joint" if "joint" in study.clouds else "sentence"
    cloud = study.clouds.get(space)
    if cloud is None or not len(cloud.prototypes_PE):
        return None
    scores, vectors = study.ready.scores, study.ready.embedded.embeddings
    labels = scores.label_index[study.rows]
    found = gap.faults(gap.UnitSpace(cloud, labels, vectors.prototype_class, len(scores.class_names)))
    found.index = pd.Index(scores.class_names)
    judged = found[found.verdict != ""].sort_values("error", ascending=False, kind="stable")
    if judged.empty:
        return None
    counts = judged.verdict.value_counts().reindex(["text", "video", "both", "none"], fill_value=0)
    shown: list[Any] = list(judged.head(MOST_CLASSES).itertuples())
    rows = [
        [one.Index, f"{one.clips:,}", number(one.own_distance, 3), number(one.lead, 3), percent(one.text_fault),
         percent(one.video_fault), one.verdict, "hub" if one.hub else "orphan" if one.orphan else ""]
        for one in shown
    ]  # fmt: skip
    says = (
        f"Widest gap: {found.own_distance.idxmax()}, {number(found.own_distance.max(), 3)} from the centroid of its "
        f"clips to its prototype. Of {len(judged):,} classes, {counts['text']:,} are missed through their description, "
        f"{counts['video']:,} through their clips, {counts['both']:,} through both, {counts['none']:,} hardly at all."
    )
    notes = (
        "Fault of the text: clips that the centroids of classes get right and the prototypes wrong; fault of the "
        "video: clips that both get wrong. They sum to the class's error. By VE alone, among all classes."
        if space == "joint"
        else "In the sentence space."
    )
    drawn = figures.faults(
        [one.Index for one in shown], [one.text_fault for one in shown], [one.video_fault for one in shown]
    )
    head = ["class", "clips", "gap", "lead", "text", "video", "verdict", ""]
    parts: list[Part] = [Table(head, rows, notes), Plot(drawn, "Errors of each class, by whose fault they are.")]
    kept = judged.rename(columns={"own_distance": "gap"})
    kept = kept[["clips", "gap", "lead", "text_fault", "video_fault", "verdict", "hub", "orphan"]].astype(object)
    numbers = {str(name): one for name, one in kept.where(kept.notna(), None).to_dict("index").items()}
    return Section("faults", "Whose fault: clips or descriptions", says, parts, numbers)


def hubs(study: Study) -> Section:
    """Which prototypes attract clips of all classes, and what corrections against that are worth."""
    from scipy.stats import skew

    scores, weights = study.ready.scores, study.ready.weights
    names = scores.class_names
    predicted = predict(scores, weights)
    votes = np.bincount(predicted[predicted != UNDECIDED], minlength=len(names))
    clips = np.bincount(scores.label_index[scores.label_index >= 0], minlength=len(names))
    order = np.argsort(-votes, kind="stable")[:MOST_CLASSES]
    skewness = float(skew(votes)) if np.ptp(votes) else 0.0
    drawn = figures.votes({names[c]: int(votes[c]) for c in order}, float(clips[clips > 0].mean()))
    rows: list[list[str]] = []
    numbers: dict[str, dict[str, Any]] = {}
    for reduction in REDUCTIONS.values():
        if reduction is MEAN_SENTENCE:
            continue
        result = evaluate_reduced(study.ready.embedded.embeddings, study.protocol, reduction, weights)
        plain = numbers["none"]["top1"]["mean"] if numbers else result.figure().mean
        gain = points(result.figure().mean - plain) if numbers else ""
        rows.append([reduction.title, percent(*result.figure()), gain, reduction.assumes])
        numbers[reduction.name] = {"top1": result.figure()._asdict(), "assumes": reduction.assumes}
    says = (
        f"The number of clips that a class is named for has skewness {number(skewness, 2)} (0 when no class stands "
        f"out, above 1 when a few attract most). Most named: {names[order[0]]}, for {votes[order[0]]:,} of "
        f"{len(predicted):,} clips."
    )
    warning = (
        "Transductive corrections look at all test clips at once: their figures do not compare with those of methods "
        "that see one clip at a time."
    )
    parts: list[Part] = [
        Plot(drawn, "Clips that each class is named for, most named classes first."),
        Table(["correction", f"top-1, {study.protocol.name}", "gain", "assumes"], rows),
    ]
    return Section("hubs", "Hubs and corrections", says, parts, {"skewness": skewness, "corrections": numbers}, warning)


def shift_of_domain(study: Study) -> Section | None:
    """How different test clips are from training clips."""
    found: dict[str, Any] = {}
    for name, (training, test) in study.domains.items():
        units = gap.directions(training, "training clips"), gap.directions(test, "test clips")
        found[name] = shift.measure(*units, study.rng())
    if not found:
        return None
    rows = [
        [figure.title, *(number(one[name], 3) for one in found.values()), figure.range]
        for name, figure in shift.FIGURES.items()
    ]
    last = list(found.values())[-1]
    says = (
        f"Training and test clips, directions only, {last['train_clips']:,} against {last['test_clips']:,}. A "
        "classifier tells from which set a clip is with a balanced accuracy of "
        + ", ".join(f"{percent(one['domain_accuracy'])} in {_the(name)}" for name, one in found.items())
        + "; 50 % would be no shift."
    )
    notes = "\n".join(f"{figure.title}: {figure.definition}. {figure.source}." for figure in shift.FIGURES.values())
    table = Table(["", *(SPACES[name] for name in found), "range"], rows, notes)
    return Section("shift", "Domain shift", says, [table], found)


def _the(space: str) -> str:
    return f"the {SPACES[space]}"


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
        similar = confusion.prototype_similarity(study.ready.embedded.embeddings)
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
        Plot(figures.standing({"": standing}), "Accuracy of random sets of classes, and of the hard groups."),
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
class Analysis:
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


def analyse(study: Study, on_progress: Callable[[int, int, str], object] | None = None) -> Analysis:
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
    return Analysis(study.about(), sections)
