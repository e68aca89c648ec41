"""What a report tells, a function for each subject: a study in, a section out; None where it does not apply."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cezsar.analysis import confusion, gap, shift
from cezsar.analysis.baselines import random_baseline
from cezsar.analysis.calibration import calibration_error, transferred
from cezsar.analysis.comparison import compare
from cezsar.analysis.open_set import simulate
from cezsar.atomic import write_text
from cezsar.errors import InputError
from cezsar.formats import stamp
from cezsar.report import figures, page
from cezsar.report.figures import number, percent, points
from cezsar.report.page import Part, Plot, Section
from cezsar.report.study import Study
from cezsar.zeroshot import published, tables
from cezsar.zeroshot.evaluation import KS, METRICS, evaluate, evaluate_each, figure_of, stacking
from cezsar.zeroshot.examples import SHOWN
from cezsar.zeroshot.fusion import UNDECIDED, active, predict
from cezsar.zeroshot.hubness_reduction import FUSED, MEAN_SENTENCE, REDUCTIONS, reduced
from cezsar.zeroshot.protocols import Protocol, all_classes, random_classes
from cezsar.zeroshot.rejection import KINDS
from cezsar.zeroshot.shots import Shots, shots
from cezsar.zeroshot.weights import choose_on_half, fusion_curve, of_pair, share, simplex_map

MOST_CLASSES = 20  # rows of a table or a figure of classes
LISTED = 15  # rows of a list of pairs
UNKNOWN_RUNS, FEWEST = 20, 8  # FEWEST: classes with clips, below which halves of halves mean nothing
SPACES = {"raw": "raw features", "sentence": "sentence space", "joint": "joint space"}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(head))


def accuracy(study: Study) -> Section:
    """Accuracies among all classes and over random splits, for each modality and fused."""
    names = study.ready.scores.class_names
    protocols, n = (all_classes(names), study.protocol), len(names)
    whole, split = (evaluate_each(study.ready.scores, protocol, study.ready.weights) for protocol in protocols)
    head = ["", *(f"top-{k}, all {n}" for k in KS), "per class", *(f"top-{k}, {study.protocol.name}" for k in KS)]
    rows = []
    for one, other in zip(whole, split, strict=True):
        told = [one.figure(name) for name in METRICS] + [other.figure(f"top{k}") for k in KS]
        rows.append([one.modality, *(percent(*figure) for figure in told)])
    chances = [whole[0].chance(k) for k in (*KS, 1)] + [split[0].chance(k) for k in KS]
    parts: list[Part] = [_table(head, [*rows, ["chance", *map(percent, chances)]])]
    others = [row for each in protocols for row in published.beside(study.dataset, n, each.splits)]
    if others:
        parts += ["Published, in percent; * not zero-shot in the strict sense.", tables.published_frame(others)]
    hardest = ", ".join(f"{name} ({percent(one.mean)})" for name, one in list(whole[-1].per_class().items())[:3])
    says = f"{whole[-1].runs[0].n_clips:,} clips; ± is the deviation over random splits. Hardest: {hardest}."
    numbers = {"all": [one.to_dict() for one in whole], "splits": [one.to_dict() for one in split]}
    return Section("accuracy", "Accuracy", says, parts, numbers)


def fusion(study: Study) -> Section | None:
    """Accuracy for every α, and what choosing α is worth."""
    scores, names = study.ready.scores, tuple(study.ready.scores.modalities)
    if len(names) < 2:
        return None
    pair = names[0], names[1]
    found, used = fusion_curve(scores, pair), share(study.ready.weights, pair)
    best, at_used, n = found.best(), float(found.at(used)), len(found.breakpoints)
    marks = {f"in use, α = {used:.2f}": (used, at_used), "best": ((best.low + best.high) / 2, best.accuracy)}
    parts: list[Part] = [
        Plot(figures.alpha_curve(found, pair, marks), "Top-1 accuracy for every α, exact: nothing sampled.")
    ]
    widest = {"low": best.low, "high": best.high, "accuracy": best.accuracy}
    numbers: dict[str, Any] = {"pair": pair, "used": used, "best": widest, "breakpoints": n, "at_used": at_used}
    says = (
        f"Exact, with {n:,} breakpoints. Its highest accuracy is {percent(best.accuracy)}, for α from {best.low:.4f} "
        f"to {best.high:.4f}; in use is α = {used:.2f} with {percent(at_used)}. "
    )
    if len(study.filled) >= 4:
        chosen = choose_on_half(scores, pair, fixed={"in use": of_pair(pair, used)}, seed=study.seed)
        numbers["chosen_on_half"] = asdict(chosen)
        fixed, peak = (percent(figure_of(values).mean) for values in (chosen.fixed["in use"], chosen.best))
        says += (
            f"Chosen on a random half of the classes and told on the other half it gives "
            f"{percent(*figure_of(chosen.accuracies))}, the α in use {fixed}, the best α on those very classes {peak}."
        )
    if len(scores.modalities) == 3:
        triangle = simplex_map(scores)
        top = triangle.best()
        numbers["simplex"] = {"weights": asdict(top.weights), "accuracy": top.accuracy}
        drawn = figures.simplex(triangle, {"best": (top.weights, top.accuracy)})
        parts.append(Plot(drawn, f"Top-1 over α, β and γ; highest on these lines: {percent(top.accuracy)}."))
    warning = "The best α has seen the labels of the test clips: its accuracy is no zero-shot figure."
    return Section("fusion", "Fusion weights", says, parts, numbers, warning)


def comparison(study: Study) -> Section | None:
    """Is the fusion better than its parts, clip for clip."""
    fused, rng = study.ready, study.rng()
    names = list(active(fused.scores, fused.weights))
    if len(names) < 2:
        return None
    first, rows, whiskers = (fused.modality, fused.correctness(study.protocol)), [], []
    found = [compare(first, (name, fused.only(name).correctness(study.protocol)), rng) for name in names]
    for one in found:
        (low, high), tally = one.interval[0], one.by_class
        won = f"{one.splits.wins} of {len(one.runs)}" if one.splits else ""
        by_class = f"{tally.wins} / {tally.ties} / {tally.losses}"
        ends = f"{points(low)} to {points(high)}"
        rows.append([f"{one.a} against {one.b}", points(one.difference), ends, won, by_class])
        whiskers.append(figures.Whisker(f"{one.a} − {one.b}", one.difference, one.interval[0]))
    head = ["", "points of top-1", "95 % bootstrap", "splits won", "classes won / tied / lost"]
    says = "Paired by clip on the same splits; the bootstrap draws videos and splits anew (2,000 times)."
    plot = Plot(figures.forest(whiskers, "one part"), "Differences and intervals.")
    parts: list[Part] = [_table(head, rows), " ".join(f"{one.summary()}." for one in found), plot]
    return Section("comparison", "Fusion against its parts", says, parts, {"pairs": [one.to_dict() for one in found]})


def _measured(known: Mapping[str, gap.Definition], found: Mapping[str, Mapping[str, Any]]) -> list[Part]:
    """A row for each known figure, a column for each space; and what the figures mean."""
    rows = [[one.title, *(number(told[name], 3) for told in found.values())] for name, one in known.items()]
    notes = [f"{one.title} ({one.range}): {one.definition}. {one.source}." for one in known.values()]
    return [_table(["", *(SPACES[name] for name in found)], rows), "\n".join(notes)]


def semantic_gap(study: Study) -> Section | None:
    """How far clips and descriptions are apart in each space."""
    gaps = {name: gap.measure(study.space(name), seed=study.seed) for name in study.clouds}
    if not gaps:
        return None
    says = (
        f"{len(study.rows):,} clips. Raw features have no place for sentences; the sentence space shows what objects "
        "(or captions) say of a clip; the joint space is where labels are chosen. Clips on their own prototype: "
        + ", ".join(f"{percent(one['nearest_prototype'])} in the {SPACES[name]}" for name, one in gaps.items())
    )
    return Section("gap", "Semantic gap", f"{says}.", _measured(gap.FIGURES, gaps), gaps)


def whose_fault(study: Study) -> Section | None:
    """For each class: the clips' fault, or the description's."""
    space = "joint" if "joint" in study.clouds else "sentence"
    if space not in study.clouds or not len(study.clouds[space].prototypes_PE):
        return None
    found = gap.faults(study.space(space)).set_axis(study.ready.scores.class_names)
    judged = found[found.verdict != ""].sort_values("error", ascending=False, kind="stable")
    if judged.empty:
        return None
    kept = judged.rename(columns={"own_distance": "gap"})
    kept = kept[["clips", "gap", "lead", "text_fault", "video_fault", "verdict", "hub", "orphan"]].astype(object)
    numbers = {str(name): one for name, one in kept.where(kept.notna(), None).to_dict("index").items()}
    rows, first = [], dict(list(numbers.items())[:MOST_CLASSES])
    for name, one in first.items():
        cells = number(one["gap"], 3), number(one["lead"], 3), percent(one["text_fault"]), percent(one["video_fault"])
        kind = "hub" if one["hub"] else "orphan" if one["orphan"] else ""
        rows.append([name, f"{one['clips']:,}", *cells, one["verdict"], kind])
    counts = judged.verdict.value_counts().reindex(["text", "video", "both", "none"], fill_value=0)
    says = (
        f"Widest gap: {found.own_distance.idxmax()}, {number(found.own_distance.max(), 3)}. Of {len(judged):,} "
        f"classes, {counts['text']:,} are missed through their description, {counts['video']:,} through their clips, "
        f"{counts['both']:,} through both, {counts['none']:,} hardly at all."
    )
    notes = (
        f"By the {SPACES[space]} alone, among all classes. Fault of the text: clips that the centroids of classes get "
        "right and the prototypes wrong; fault of the video: clips that both get wrong. They sum to the class's error."
    )
    text, video = ([one[f"{side}_fault"] for one in first.values()] for side in ("text", "video"))
    parts: list[Part] = [_table(["class", "clips", "gap", "lead", "text", "video", "verdict", ""], rows), notes,
             Plot(figures.faults(list(first), text, video), "Errors of classes, by whose fault they are.")]  # fmt: skip
    return Section("faults", "Whose fault: clips or descriptions", says, parts, numbers)


def hubs(study: Study) -> Section:
    """Which classes are named for clips of all kinds, and what corrections against that are worth."""
    from scipy.stats import skew

    scores, weights, names = study.ready.scores, study.ready.weights, study.ready.scores.class_names
    predicted = predict(scores, weights)
    votes = pd.Series(np.bincount(predicted[predicted != UNDECIDED], minlength=len(names)), names)
    most, skewness = votes.sort_values(ascending=False, kind="stable"), float(skew(votes)) if np.ptp(votes) else 0.0
    says = (
        f"The number of clips that a class is named for has skewness {number(skewness)} (0 when no class stands out, "
        f"above 1 when a few attract most). Most named: {most.index[0]}, for {most.iloc[0]:,} of {len(predicted):,} "
        "clips."
    )
    hovers = [f"{name}: {clips:,} clips" for name, clips in most.items()][:MOST_CLASSES]
    part = {"x": most.tolist()[:MOST_CLASSES], "hovertext": hovers}
    drawn = figures.bars(list(most.index[:MOST_CLASSES]), [part], "clips that the class is named for")
    plot = Plot(drawn, "Clips that each class is named for, most named classes first.")
    rows, numbers, plain = [], {}, None
    for reduction in (each for each in REDUCTIONS.values() if each is not MEAN_SENTENCE):
        top1 = evaluate(reduced(study.ready.embedded.embeddings, reduction, weights), study.protocol, FUSED).figure()
        gain, plain = ("", top1.mean) if plain is None else (points(top1.mean - plain), plain)
        rows.append([reduction.title, percent(*top1), gain, reduction.assumes])
        numbers[reduction.name] = {"top1": top1._asdict(), "assumes": reduction.assumes}
    table = _table(["correction", f"top-1, {study.protocol.name}", "gain", "assumes"], rows)
    warning = (
        "Transductive corrections look at all test clips at once: their figures do not compare with those of methods "
        "that see one clip at a time."
    )
    told = {"skewness": skewness, "corrections": numbers}
    return Section("hubs", "Hubs and corrections", says, [plot, table], told, warning)


def shift_of_domain(study: Study) -> Section | None:
    """How different test clips are from training clips."""
    found = {}
    for name, (training, test) in study.domains.items():
        units = gap.directions(training, "training clips"), gap.directions(test, "test clips")
        found[name] = last = shift.measure(*units, study.rng())
    if not found:
        return None
    says = f"{last['train_clips']:,} training clips against {last['test_clips']:,} test clips, directions only."
    return Section("shift", "Domain shift", says, _measured(shift.FIGURES, found), found)


def confusions(study: Study) -> Section | None:
    """Which classes are taken for which, and which words would tell them apart."""
    names = study.ready.scores.class_names
    if len(names) < 2:
        return None
    found = confusion.pairs(study.confusion, names)[:LISTED]
    rows = [[one.true, one.predicted, f"{one.count:,}", percent(one.share), f"{one.reverse:,}"] for one in found]
    alike = confusion.confusable(study.ready.embedded.embeddings, study.confusion, names, study.descriptions, LISTED)
    cells = []
    for pair in alike:
        words = f"{', '.join(pair.first_words)} | {', '.join(pair.second_words)}"
        cells.append([f"{pair.first} | {pair.second}", number(pair.similarity), percent(pair.share), words])
    parts: list[Part] = [_table(["class", "taken for", "clips", "share", "reverse"], rows)]
    parts += ["Pairs whose prototypes are alike and that take each other's clips, with the words that differ."]
    parts += [_table(["pair", "similarity", "confused", "words of one | of the other"], cells)]
    numbers = {"pairs": [asdict(one) for one in found], "lookalikes": [asdict(pair) for pair in alike]}
    return Section("confusion", "Confusion", "Most clips first; share is of the class's clips.", parts, numbers)


def hard_groups(study: Study) -> Section | None:
    """Named classes beside random sets of their size, as the paper's Section 5 does it."""
    names = study.ready.scores.class_names
    groups, warning = confusion.matching_groups(study.groups, names), ""
    if not groups:
        similar = confusion.prototype_similarity(study.ready.embedded.embeddings)
        groups = confusion.propose_groups(similar, study.confusion, names)
        warning = "Groups proposed from prototypes and this very confusion are hard by construction."
    if not 2 <= len({name for members in groups.values() for name in members}) < len(names):
        return None
    found = random_baseline(study.ready.scores, groups, study.ready.weights, seed=study.seed)
    standing, rows = found.standing(), []
    for one in found.figures:
        shares = percent(one.accuracy), percent(one.within), percent(one.between)
        rows.append([one.group or one.kind, f"{len(one.classes):,}", f"{one.clips:,}", *shares])
    says = (
        f"{len(found.classes):,} classes in {len(groups):,} hard groups reach {percent(standing.named)}; "
        f"{len(standing.values):,} random sets of as many classes reach {percent(*standing.random)}"
        f"{'' if standing.z is None else f' (z = {number(standing.z)})'}."
    )
    table = _table(["group", "classes", "clips", "accuracy", "errors within", "errors between"], rows)
    parts: list[Part] = [table, Plot(figures.standing({"": standing}), "Random sets of classes, and the hard groups.")]
    return Section("groups", "Hard groups", says, parts, {"proposed": bool(warning), **found.to_dict()}, warning)


def open_set(study: Study) -> Section | None:
    """Half of the classes are known, the others stand for actions that none of the labels names."""
    scores, weights, names = study.ready.scores, study.ready.weights, study.filled
    if len(names) < FEWEST:
        return None
    protocol = random_classes(names, len(names) // 2, UNKNOWN_RUNS, study.seed)
    rows, numbers, curves = [], {}, {}
    for name, kind in KINDS.items():
        found = simulate(scores, protocol, weights, name, rng=study.rng())
        told = {metric: found.figure(metric) for metric in ("auroc", "oscr", "fpr95")}
        told["false_accept_at_5"] = found.figure("false_accept", "false accept")
        rows.append([kind.title, *(percent(*one) for one in told.values())])
        numbers[name] = {metric: one._asdict() for metric, one in told.items()}
        curves[kind.title] = found.curve()
    says = (
        f"In each of {UNKNOWN_RUNS} runs {len(protocol.splits[0]):,} of {len(names):,} classes are known, and clips of "
        f"others are unknown actions. Without these the accuracy is "
        f"{percent(*evaluate(scores, protocol, weights).figure())}. OSCR: Dhamija et al., NeurIPS 2018."
    )
    warning = (
        "The last column is the false-accept rate on classes that had no part in choosing the threshold, where 5 % was "
        "asked for: with few classes to choose on, the rate asked for is not the rate one gets."
    )
    table = _table(["known by", "AUROC", "OSCR", "FPR at 95 % TPR", "false accepts, 5 % asked"], rows)
    plot = Plot(figures.oscr(curves), "OSCR curves, mean over runs: up and left is better.")
    return Section("open_set", "None of these: open set", says, [table, plot], numbers, warning)


def reliability(study: Study) -> Section | None:
    """Confidence at T = 1, and at a T fitted on the other half of the classes."""
    names = study.filled
    if len(names) < FEWEST:
        return None
    half = random_classes(names, len(names) // 2, 1, study.seed).splits[0]
    others = [name for name in names if name not in half]
    found = transferred(study.ready.scores, study.ready.weights, Protocol("the other half", [others]))
    t, diagrams = found.fits[0].temperature, (found.before.diagram, found.after.diagram)
    before, after = map(calibration_error, diagrams)
    says = (
        f"The confidence of a label is the softmax of cosine similarities over T. At T = 1 its calibration error is "
        f"{percent(before)}. With T = {number(t, 4)}, fitted on {len(half):,} classes, it is {percent(after)} on the "
        f"clips of the {len(others):,} other classes (Guo et al., ICML 2017; 15 bins of equal width)."
    )
    numbers = {"temperature": t, "stopped": found.fits[0].stopped, "ece_before": before, "ece_after": after}
    numbers |= {"fitted_on": half, "told_on": others}
    drawn = figures.reliability({"T = 1": diagrams[0], f"T = {t:.3g}": diagrams[1]})
    return Section(
        "reliability", "Reliability", says, [Plot(drawn, "Confidence against accuracy, bin by bin.")], numbers
    )


def generalised(study: Study) -> Section | None:
    """Clips of seen and unseen classes, with all of them to choose from."""
    if study.together is None:
        return None
    found = stacking(study.together, study.seen, study.ready.weights)
    plain, best = found.at(0.0), found.best()
    rows = [[name, number(factor, 3), *map(percent, one)] for name, factor, one in
            (("no correction", 0.0, plain), ("best", best.factor, best.accuracies))]  # fmt: skip
    says = (
        f"{len(study.seen):,} seen and {len(study.together.class_names) - len(study.seen):,} unseen classes together; "
        f"means per class. Calibrated stacking (Chao et al., ECCV 2016) takes a factor off the scores of seen classes; "
        f"the area under the curve of all factors is {percent(found.ausuc)}."
    )
    warning = "The best factor has seen the labels of these clips; choose it on held-out classes for a fair figure."
    plot = Plot(figures.stacking(found, best.factor), "Unseen against seen classes for every factor, an exact curve.")
    parts: list[Part] = [_table(["", "factor", "seen", "unseen", "harmonic mean"], rows), plot]
    ends = {name: end if math.isfinite(end) else None for name, end in (("low", best.low), ("high", best.high))}
    numbers = {"seen_classes": study.seen, "ausuc": found.ausuc, "no_penalty": plain._asdict()}
    numbers["best"] = {**ends, "penalty": best.factor, **best.accuracies._asdict()}
    return Section("generalised", "Seen and unseen together", says, parts, numbers, warning)


def examples(study: Study) -> Section | None:
    """What clips that show a class are worth beside its sentences, or in their place."""
    ready, clips_C = study.ready, np.bincount(study.ready.scores.label_index + 1)[1:]
    if ready.method.shares or clips_C.max(initial=0) < 2 or not {*SHOWN} & {*active(ready.scores, ready.weights)}:
        return None
    return of_shots(shots(ready.embedded.embeddings, ready.weights, study.several, seed=study.seed))


def of_shots(found: Shots) -> Section:
    """What examples are worth, as it was found."""
    says = (
        f"Some clips of each class stand for it, alone or beside its sentences; λ is then their share. Mean and "
        f"deviation over {len(found.tested)} draws. No example is tested: all figures of a draw are told on the same "
        f"{found.tested[0]:,} other clips."
    )
    warning = "With 0 examples it is the zero-shot accuracy on these clips; with any it is not zero-shot."
    plot = Plot(figures.shots(found), "Top-1 by examples a class; whiskers: deviation over draws.")
    rows = found.table().astype(object).where(lambda cells: cells.notna(), None).to_dict("records")
    numbers = {"worth": found.worth, "draws": len(found.tested), "tested": found.tested[0], "rows": rows}
    return Section("examples", "What an example is worth", says, [found.frame(), plot], numbers, warning)


def classes(study: Study) -> Section:
    """Every class's accuracy."""
    found = evaluate(study.ready.scores, all_classes(study.ready.scores.class_names), study.ready.weights)
    clips = dict(zip(found.runs[0].classes, found.runs[0].clips, strict=True))
    numbers = {name: {"clips": clips[name], "top1": figure.mean} for name, figure in found.per_class().items()}
    rows = [[name, f"{one['clips']:,}", percent(one["top1"])] for name, one in numbers.items()]
    says = "Top-1 accuracy of each class among all classes, the worst first."
    return Section("classes", "Classes", says, [_table(["class", "clips", "top-1"], rows)], numbers)


SUBJECTS: tuple[Callable[[Study], Section | None], ...] = (
    accuracy, fusion, comparison, semantic_gap, whose_fault, hubs, shift_of_domain, confusions, hard_groups, open_set,
    reliability, generalised, examples, classes,
)  # fmt: skip
"""In the order of the report."""


def analyse(
    study: Study, on_progress: Callable[[int, int, str], object] = lambda done, subjects, coming: None
) -> list[Section]:
    """Everything that can be told of a method on a data set; subjects that do not apply are left out."""
    found = []
    for done, subject in enumerate(SUBJECTS):
        on_progress(done, len(SUBJECTS), subject.__name__.replace("_", " "))
        found.append(subject(study))
    on_progress(len(SUBJECTS), len(SUBJECTS), "")
    return [section for section in found if section]


def save(
    study: Study, sections: Sequence[Section], path: str | Path, record: dict[str, Any] | None = None
) -> list[Path]:
    """Write one self-contained HTML file, and all numbers as a JSON file beside it, which `record` joins."""
    html = Path(path)
    if html.suffix.lower() != ".html":
        raise InputError(f"{path} would hold HTML; give it the suffix .html, a .json is written beside it")
    numbers = html.with_suffix(".json")
    found = stamp("report") | {"about": study.about(), **{one.key: one.numbers for one in sections}} | (record or {})
    write_text(numbers, json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    write_text(html, page.html_of(study.about(), sections))
    return [html, numbers]
