"""What files of this package say of themselves: their kind, and a version, which rises where older software would
misread them. A store, a run and a scored set have one version for all of their files that give none of their own. And
what results keep of how they were made: versions and fingerprints."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cezsar
from cezsar.errors import FormatError

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "transformers", "sentence-transformers", "opencv-python", "av")
VERSIONS = {  # the newest that is read here, and what is written
    "cezsar features": 1, "cezsar-triplets": 1, "run": 1, "cezsar object head": 1, "calibration": 1, "rejector": 1,
    "results": 1, "result": 1, "comparison": 1, "comparisons": 1, "report": 1, "tau": 1, "tau sweep": 1, "transfer": 1,
    "trial": 1, "prototypes": 1, "suggestions": 1, "labels": 1, "control": 1, "job": 1,
    "scored": 1, "embeddings": 1, "scores": 1, "clouds": 1, "projections": 1, "captions": 1,
    "machine captions": 1,
}  # fmt: skip


def stamp(kind: str) -> dict[str, Any]:
    """What stands first in a JSON file."""
    return {"cezsar": kind, "version": VERSIONS[kind]}


def check_stamp(source: str | Path, kind: str, found: Any, again: str) -> None:
    """Raises `FormatError` where `found` in a file is no mapping of this kind, or one of a newer version; `again` says
    how to get one that can be read."""
    found = found if isinstance(found, Mapping) else {}
    said, number, known = found.get("cezsar") or "something else", str(found.get("version")), VERSIONS[kind]
    if said != kind or not number.isdecimal() or number == "0":
        other = f"{str(said)[:40]}, version {number[:20]}"
        raise FormatError(f"{source} should hold {kind}, version {known}, and holds {other}; {again}")
    if int(number) > known:
        reads = f"this cezsar reads up to version {known}"
        raise FormatError(f"{source} holds {kind} of version {number[:20]}, and {reads}: update cezsar, or {again}")


def digest(value: Any) -> str:
    """SHA-256 (hex) of what JSON can hold; the order of keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of the software that numbers depend on."""
    found = {"cezsar": cezsar.__version__, "python": platform.python_version()}
    return found | {package: version(package) for package in PACKAGES}
