"""The spaces on the way, in numbers: the semantic gap, whose fault it is, hubs and corrections, domain shift."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from cezsar.analysis import gap, shift
from cezsar.analysis.faults import faults, widest
from cezsar.report import figures
from cezsar.report.figures import number, percent, points
from cezsar.report.sections import Figure, Part, Section, Table
from cezsar.report.study import Study
from cezsar.zeroshot.fusion import UNDECIDED, predict
from cezsar.zeroshot.hubness_reduction import MEAN_SENTENCE, REDUCTIONS, evaluate_reduced

MOST_CLASSES = 20  # rows of a table or a figure of classes
SPACES = {"raw": "raw features", "sentence": "sentence space", "joint": "joint space"}


def semantic_gap(study: Study) -> Section | None:
    """How far clips and descriptions are apart in each space."""
    if not study.clouds:
        return None
    scores = study.ready.scores
    labels = scores.label_index[study.rows]
    owner, n = study.ready.embedded.embeddings.prototype_class, len(scores.class_names)
    gaps = {
        name: gap.measure(gap.UnitSpace(cloud.videos_NE, labels, cloud.prototypes_PE, owner, n), seed=study.seed)
        for name, cloud in study.clouds.items()
    }
    found = gap.changes(gaps)
    spaces = list(study.clouds)
    rows = [
        [one.figure.title, *(number(one.values[name], 3) for name in spaces), one.figure.better.replace("neither", "")]
        for one in found
    ]
    notes = "\n".join(
        f"{one.figure.title}: {one.figure.definition}; {one.figure.range}. {one.figure.source}." for one in found
    )
    says = (
        f"{len(study.rows):,} clips in {len(spaces)} spaces. Raw features have no place for sentences; the sentence "
        "space shows what objects (or captions) say of a clip; the joint space is where labels are chosen."
    )
    known = {one.name: one.values for one in found}
    if {"sentence", "joint"} <= set(spaces) and known["purity"]["joint"] is not None:
        before, after = known["nearest_prototype"]["sentence"], known["nearest_prototype"]["joint"]
        says += (
            f" Clips on their own prototype: {percent(before)} in the sentence space, {percent(after)} in the joint."
        )
    table = Table(["", *(SPACES[name] for name in spaces), "better"], rows, notes)
    return Section("gap", "Semantic gap", says, [table], {name: asdict(one) for name, one in gaps.items()})


def whose_fault(study: Study) -> Section | None:
    """For each class: the clips' fault, or the description's."""
    space = "joint" if "joint" in study.clouds else "sentence"
    cloud = study.clouds.get(space)
    if cloud is None or not len(cloud.prototypes_PE):
        return None
    scores, vectors = study.ready.scores, study.ready.embedded.embeddings
    labels = scores.label_index[study.rows]
    found = faults(
        gap.UnitSpace(cloud.videos_NE, labels, cloud.prototypes_PE, vectors.prototype_class, len(scores.class_names))
    )
    judged = [one for one in found if one.error is not None]
    wide = widest(found)
    if not judged or wide is None:
        return None
    judged.sort(key=lambda one: -(one.error or 0))
    names = scores.class_names
    counts = {verdict: sum(one.verdict == verdict for one in judged) for verdict in ("text", "video", "both", "none")}
    rows = [
        [names[one.index], f"{one.gap.clips:,}", number(one.gap.own_distance, 3), number(one.gap.lead, 3),
         percent(one.text_fault), percent(one.video_fault), str(one.verdict),
         "hub" if one.hub else "orphan" if one.orphan else ""]
        for one in judged[:MOST_CLASSES]
    ]  # fmt: skip
    says = (
        f"Widest gap: {names[wide.index]}, {number(wide.gap.own_distance, 3)} from the centroid of its clips to its "
        f"prototype. Of {len(judged):,} classes, {counts['text']:,} are missed through their description, "
        f"{counts['video']:,} through their clips, {counts['both']:,} through both, {counts['none']:,} hardly at all."
    )
    notes = (
        "Fault of the text: clips that the centroids of classes get right and the prototypes wrong; fault of the "
        "video: clips that both get wrong. They sum to the class's error. By VE alone, among all classes."
        if space == "joint"
        else "In the sentence space."
    )
    shown = judged[:MOST_CLASSES]
    drawn = figures.faults(
        [names[one.index] for one in shown],
        [one.text_fault or 0.0 for one in shown],
        [one.video_fault or 0.0 for one in shown],
    )
    head = ["class", "clips", "gap", "lead", "text", "video", "verdict", ""]
    parts: list[Part] = [Table(head, rows, notes), Figure(drawn, "Errors of each class, by whose fault they are.")]
    numbers = {
        names[one.index]: {
            "clips": one.gap.clips, "gap": one.gap.own_distance, "lead": one.gap.lead, "text_fault": one.text_fault,
            "video_fault": one.video_fault, "verdict": one.verdict, "hub": one.hub, "orphan": one.orphan,
        }
        for one in judged
    }  # fmt: skip
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
        Figure(drawn, "Clips that each class is named for, most named classes first."),
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
        [figure.title, *(number(getattr(one, name), 3) for one in found.values()), figure.range]
        for name, figure in shift.FIGURES.items()
    ]
    last = list(found.values())[-1]
    says = (
        f"Training and test clips, directions only, {last.train_clips:,} against {last.test_clips:,}. A classifier "
        "tells from which set a clip is with a balanced accuracy of "
        + ", ".join(f"{percent(one.domain_accuracy)} in {_the(name)}" for name, one in found.items())
        + "; 50 % would be no shift."
    )
    notes = "\n".join(f"{figure.title}: {figure.definition}. {figure.source}." for figure in shift.FIGURES.values())
    table = Table(["", *(SPACES[name] for name in found), "range"], rows, notes)
    return Section("shift", "Domain shift", says, [table], {name: asdict(one) for name, one in found.items()})


def _the(space: str) -> str:
    return f"the {SPACES[space]}"
