"""What is wrong with class descriptions of the library: `cezsar.data.prototype_checks` on what is shown there."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.services import descriptions, labels, library
from cezsar.data.datasets import KNOWN
from cezsar.data.prototype_checks import Report
from cezsar.data.prototype_checks import check as find
from cezsar.data.sentence_cache import open_encoder

ENCODER = "minilm"  # `prototype_checks.NEAR` was measured under it


def data_sets() -> dict[str, str]:
    """Name -> title of what has classes to be described: published data sets, and those of the workspace."""
    published = {name: known.title for name, known in KNOWN.items() if known.classes}
    own = {item.name: item.name for item in library.data_sets() if not item.error and item.classes}
    return published | {name: title for name, title in own.items() if name not in KNOWN}


def usual(source: str) -> str:
    """The data set that descriptions are meant for, as far as their name tells; "" if it does not."""
    return next((name for name, title in labels.TITLES.items() if title == source), "")


def fingerprint(source: str) -> str:
    """Another for other sentences."""
    path = descriptions.sources()[source]
    content = json.dumps(descriptions.read(source)).encode() if path is None else path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def check(source: str, dataset: str, on_progress: Callable[[int, int], object]) -> Report:
    """Everything that is wrong with one of `descriptions.sources()`.

    Args:
        dataset: whose classes they should describe; "" for none.
        on_progress: called with (sentences encoded, sentences).

    Raises:
        CezsarError: they cannot be read, or the data set cannot.
    """
    place = library.registered().get(dataset, dataset)
    path, encoder = descriptions.sources()[source], open_encoder(ENCODER)
    if path is not None:
        return find(path, place or None, encoder=encoder, on_progress=on_progress)
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        path = Path(folder) / "descriptions.json"
        path.write_text(json.dumps(descriptions.read(source)), encoding="utf-8")
        return find(path, place or None, encoder=encoder, on_progress=on_progress)
