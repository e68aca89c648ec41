"""Rankings as JSON and CSV, the same from the command line and from the app."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from cezsar.data.documents import printable
from cezsar.zeroshot.classifier import Ranking

DIGITS = 6
_NONE = {True: "yes", False: "no", None: ""}


def to_json(rankings: Sequence[Ranking]) -> str:
    """A list with an object for each clip."""
    return json.dumps([_record(ranking) for ranking in rankings], indent=2, ensure_ascii=False) + "\n"


def to_csv(rankings: Sequence[Ranking]) -> str:
    """A line for each clip and label, with a column for each modality's part of the similarity.

    `probability`, `none_of_these` (yes or no) and `judgement` are empty where the run has no rejector.
    """
    modalities = list(dict.fromkeys(name for ranking in rankings for name in ranking.contributions))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    verdict = ["probability", "none_of_these", "judgement"]
    writer.writerow(["clip", "rank", "label", "similarity", *modalities, "margin", "model", "warning", *verdict])
    for ranking in rankings:
        for index, (name, similarity) in enumerate(ranking.labels):
            parts = [ranking.contributions.get(modality) for modality in modalities]
            numbers = [_number(part, index) for part in parts]
            clip, margin = printable(ranking.path), f"{ranking.margin:.{DIGITS}f}"
            start = [clip, index + 1, name, f"{similarity:.{DIGITS}f}"]
            end = [_number(ranking.probabilities, index), _NONE[ranking.none_of_these], ranking.judgement]
            writer.writerow([*start, *numbers, margin, ranking.model, ranking.warning, *end])
    return text.getvalue()


def _number(values: Sequence[float] | None, index: int) -> str:
    return "" if values is None else f"{values[index]:.{DIGITS}f}"


def _record(ranking: Ranking) -> dict[str, Any]:
    labels = [
        {
            "label": name,
            "similarity": round(similarity, DIGITS),
            "parts": {modality: round(part[index], DIGITS) for modality, part in ranking.contributions.items()},
            "probability": None if ranking.probabilities is None else round(ranking.probabilities[index], DIGITS),
        }
        for index, (name, similarity) in enumerate(ranking.labels)
    ]
    objects = [
        {"name": name, "definition": definition, "probability": round(probability, DIGITS)}
        for name, definition, probability in ranking.objects
    ]
    return {
        "clip": printable(ranking.path),
        "model": ranking.model,
        "labels": labels,
        "margin": round(ranking.margin, DIGITS),
        "objects": objects,
        "warning": ranking.warning,
        "none_of_these": ranking.none_of_these,
        "judgement": ranking.judgement,
    }
