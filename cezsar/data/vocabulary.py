"""The objects that a store's object indices count, kept once beside the shards as `objects.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cezsar import atomic
from cezsar.errors import FormatError


@dataclass(frozen=True)
class ObjectVocabulary:
    """The objects a head tells apart: K names, K definitions (maybe empty strings), the head's fingerprint."""

    names: Sequence[str]
    definitions: Sequence[str]
    fingerprint: str


def write_vocabulary(folder: Path, vocabulary: ObjectVocabulary, replace: bool) -> None:
    """Keep `vocabulary` in a store folder, unless one is there and `replace` is false."""
    path = folder / "objects.json"
    if replace or not path.exists():
        lists = {"names": list(vocabulary.names), "definitions": list(vocabulary.definitions)}
        atomic.write_json(path, {"fingerprint": vocabulary.fingerprint, **lists})


def read_vocabulary(folder: Path, fingerprint: str) -> ObjectVocabulary:
    """The vocabulary of a store folder whose object head has `fingerprint`.

    Raises:
        FormatError: `objects.json` is missing, damaged, or belongs to another head.
    """
    path = folder / "objects.json"
    advice = "copy it from the original store, or extract again into a new folder"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = ObjectVocabulary(content["names"], content["definitions"], content["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}, the names of the store's objects, cannot be read ({error}); {advice}") from error
    if vocabulary.fingerprint != fingerprint:
        raise FormatError(f"{path} belongs to object head {vocabulary.fingerprint}, not {fingerprint}; {advice}")
    return vocabulary
