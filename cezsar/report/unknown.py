"""What a method knows about what it does not know: clips of no class among the labels, and confidence that holds."""

from __future__ import annotations

import math
from typing import Any

from cezsar.analysis.calibration import transferred
from cezsar.analysis.open_set import simulate
from cezsar.errors import InputError
from cezsar.report import figures
from cezsar.report.figures import number, percent
from cezsar.report.page import Part, Plot, Section, Table
from cezsar.report.study import Study
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.generalised import stacking
from cezsar.zeroshot.protocols import Protocol, random_classes
from cezsar.zeroshot.rejection import KINDS

RUNS = 20
FEWEST = 8  # classes with clips, below which halves of halves mean nothing


def open_set(study: Study) -> Section | None:
    """Half of the classes are known, the others stand for actions that none of the labels names."""
    scores, weights = study.ready.scores, study.ready.weights
    names = _with_clips(study)
    if len(names) < FEWEST:
        return None
    protocol = random_classes(names, len(names) // 2, RUNS, study.seed)
    rows, numbers, curves = [], {}, {}
    for name, kind in KINDS.items():
        found = simulate(scores, protocol, weights, name, rng=study.rng())
        figure = {metric: found.figure(metric) for metric in ("auroc", "oscr", "fpr95")}
        got = found.figure("false_accept", "false accept")
        rows.append([kind.title, *(percent(*figure[metric]) for metric in figure), percent(*got)])
        numbers[name] = {metric: one._asdict() for metric, one in figure.items()} | {"false_accept_at_5": got._asdict()}
        curves[kind.title] = found.curve()
    closed = evaluate(scores, protocol, weights).figure()
    best = max(numbers, key=lambda name: numbers[name]["auroc"]["mean"])
    says = (
        f"In each of {RUNS} runs {len(protocol.splits[0]):,} of {len(names):,} classes are known, and clips of others "
        f"are unknown actions. Told apart best by {KINDS[best].title}: a known clip has more of it than an unknown one "
        f"with probability {percent(numbers[best]['auroc']['mean'])}. Without unknown clips the accuracy is "
        f"{percent(*closed)}."
    )
    warning = (
        "The last column is the false-accept rate on classes that had no part in choosing the threshold, where 5 % was "
        "asked for: with few classes to choose on, the rate asked for is not the rate one gets."
    )
    head = ["known by", "AUROC", "OSCR", "FPR at 95 % TPR", "false accepts, 5 % asked"]
    notes = "AUROC: 50 % by guessing. OSCR: Dhamija et al., NeurIPS 2018; at most the accuracy without unknown clips."
    parts: list[Part] = [
        Table(head, rows, notes),
        Plot(figures.oscr(curves), "OSCR curves, mean over runs: up and left is better."),
    ]
    return Section("open_set", "None of these: open set", says, parts, numbers, warning)


def reliability(study: Study) -> Section | None:
    """Confidence at T = 1, and at a T fitted on the other half of the classes."""
    names = _with_clips(study)
    if len(names) < FEWEST:
        return None
    half = random_classes(names, len(names) // 2, 1, study.seed).splits[0]
    others = [name for name in names if name not in set(half)]
    try:
        found = transferred(study.ready.scores, study.ready.weights, Protocol("the other half", [others]))
    except InputError:
        return None
    fitted, before, after = found.fits[0], found.before.diagram, found.after.diagram
    ece = found.before.ece.mean, found.after.ece.mean
    says = (
        "The confidence of a label is the softmax of cosine similarities over T. At T = 1 its calibration error "
        f"is {percent(ece[0])}. With T = {number(fitted.temperature, 4)}, fitted on {len(half):,} classes, it is "
        f"{percent(ece[1])} on the clips of the {len(others):,} other classes."
    )
    numbers: dict[str, Any] = {
        "temperature": fitted.temperature, "stopped": fitted.stopped, "ece_before": ece[0], "ece_after": ece[1],
        "fitted_on": half, "told_on": others,
    }  # fmt: skip
    drawn = figures.reliability({"T = 1": before, f"T = {fitted.temperature:.3g}": after})
    notes = "Guo et al., On Calibration of Modern Neural Networks, ICML 2017; 15 bins of equal width."
    parts = [Plot(drawn, f"Confidence against accuracy, bin by bin. {notes}")]
    return Section("reliability", "Reliability", says, parts, numbers)


def generalised(study: Study) -> Section | None:
    """Clips of seen and unseen classes, with all of them to choose from."""
    if study.together is None:
        return None
    weights = study.ready.weights
    found = stacking(study.together, study.seen, weights)
    plain, best = found.at(0.0), found.best()
    rows = [
        [name, number(penalty, 3), percent(one.seen), percent(one.unseen), percent(one.harmonic)]
        for name, penalty, one in (("no penalty", 0.0, plain), ("best", best.factor, best.accuracies))
    ]
    total = len(study.together.class_names)
    says = (
        f"{len(study.seen):,} seen and {total - len(study.seen):,} unseen classes together. Without a correction "
        f"{percent(plain.seen)} of seen clips and {percent(plain.unseen)} of unseen ones are named right (means per "
        f"class), harmonic mean {percent(plain.harmonic)}. Calibrated stacking takes a penalty off the scores of seen "
        f"classes; the area under the curve of all penalties is {percent(found.ausuc)}."
    )
    warning = "The best penalty has seen the labels of these clips; choose it on held-out classes for a fair figure."
    drawn = figures.stacking(found, best.factor)
    notes = "Chao et al., An Empirical Study and Analysis of Generalized Zero-Shot Learning, ECCV 2016."
    parts: list[Part] = [
        Table(["", "penalty", "seen", "unseen", "harmonic mean"], rows, notes),
        Plot(drawn, "Accuracy on unseen against seen classes for every penalty, an exact curve."),
    ]
    numbers = {
        "seen_classes": study.seen, "ausuc": found.ausuc, "no_penalty": plain._asdict(),
        "best": {
            "low": best.low if math.isfinite(best.low) else None,
            "high": best.high if math.isfinite(best.high) else None,
            "penalty": best.factor, **best.accuracies._asdict(),
        },
    }  # fmt: skip
    return Section("generalised", "Seen and unseen together", says, parts, numbers, warning)


def _with_clips(study: Study) -> list[str]:
    present = set(study.ready.scores.label_index.tolist())
    return [name for index, name in enumerate(study.ready.scores.class_names) if index in present]
