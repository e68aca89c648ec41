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


def to_json(rankings: Sequence[Ranking]) -> str:
    """A list with an object for each clip."""
    return json.dumps([_record(ranking) for ranking in rankings], indent=2, ensure_ascii=False) + "\n"


def to_csv(rankings: Sequence[Ranking]) -> str:
    """A line for each clip and label, with a column for each modality's part of the similarity."""
    modalities = list(dict.fromkeys(name for ranking in rankings for name in ranking.contributions))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["clip", "rank", "label", "similarity", *modalities, "margin", "model", "warning"])
    for ranking in rankings:
        for index, (name, similarity) in enumerate(ranking.labels):
            parts = [ranking.contributions.get(modality) for modality in modalities]
            numbers = ["" if part is None else f"{part[index]:.{DIGITS}f}" for part in parts]
            clip, margin = printable(ranking.path), f"{ranking.margin:.{DIGITS}f}"
            start = [clip, index + 1, name, f"{similarity:.{DIGITS}f}"]
            writer.writerow([*start, *numbers, margin, ranking.model, ranking.warning])
    return text.getvalue()


def _record(ranking: Ranking) -> dict[str, Any]:
    labels = [
        {
            "label": name,
            "similarity": round(similarity, DIGITS),
            "parts": {modality: round(part[index], DIGITS) for modality, part in ranking.contributions.items()},
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
    }
