"""The authors' released files in this package's forms; `cezsar import-release` calls these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np

from cezsar.atomic import write_json
from cezsar.data.annotations import caption_entries
from cezsar.data.descriptions import load_descriptions, save_descriptions
from cezsar.data.documents import printable
from cezsar.data.extraction import ExtractionReport, Failure
from cezsar.data.features import StoreWriter
from cezsar.data.labels import load_index, load_split
from cezsar.data.manifest import files_in
from cezsar.encoders.base import BY_NAME
from cezsar.errors import InputError, MismatchError

UNUSABLE = (
    ValueError,
    OSError,
    EOFError,
    ArithmeticError,
    SyntaxError,
    TypeError,
    TokenError,
    RecursionError,
    MemoryError,
)


def import_features(
    folder: str | Path, store: str | Path, *, encoder: str = "bit-released", width: int = 4096,
    index: str | Path | None = None,
    on_progress: Callable[[int, int, int], object] = lambda stored, files, failed: None,
) -> ExtractionReport:  # fmt: skip
    """Put the `.npy` files in and below a folder into a feature store, new or not. A file that cannot be used is
    reported and never stops the others; videos that the store has already are passed over. Nothing is unpickled.
    `index` `{class name: [video ids]}` gives the labels. The encoder can be checked by name and `width` of a row only.
    Raises `MismatchError` where the store has features of another encoder, or a video under another label."""
    arrays = [file for file in files_in(Path(folder)) if file.suffix.lower() == ".npy"]
    if not arrays:
        raise InputError(f"{printable(str(folder))} is no folder with .npy files; give the one with one for each video")
    files = {file.stem: file for file in sorted(arrays, key=lambda file: file.stem)}
    if len(files) < len(arrays):
        id, count = Counter(file.stem for file in arrays).most_common(1)[0]
        raise InputError(f"{printable(str(folder))} holds {count} files {printable(id)}.npy; ids must be unique")
    labels = {id: name for name, ids in load_index(index).items() for id in ids} if index is not None else {}
    provenance = {"encoder": encoder, "fingerprint": BY_NAME, "dim": width, "fps": 1.0, "origin": "imported .npy files"}
    failed: list[Failure] = []
    with StoreWriter(store, provenance) as writer:
        there = [id for id in files if id in writer]
        for id in there:
            if index is not None and writer.labels[id] != labels.get(id, ""):
                told = f"is in {store} as {writer.labels[id]!r}, the index says {labels.get(id, '')!r}"
                raise MismatchError(f"video {id!r} {told}; choose another folder, or that index")
        for number, (id, file) in enumerate(files.items(), start=1):
            if id not in writer:
                try:
                    array = np.lib.format.open_memmap(file, mode="r")  # refuses a declared size that the file has not
                    if array.dtype.kind != "f":
                        raise ValueError(f"it holds {array.dtype}, not floating-point numbers")
                    writer.add(id, array, labels.get(id, ""))
                except (InputError, *UNUSABLE) as error:
                    why = str(error) if isinstance(error, InputError) else f"it is no usable .npy file ({error!s:.200})"
                    failed.append(Failure(id, printable(str(file)), printable(" ".join(why.split()))))
            on_progress(number - len(failed), len(files), len(failed))
    return ExtractionReport(len(files) - len(there) - len(failed), len(there), failed)


def import_descriptions(folder: str | Path, out: str | Path) -> dict[str, list[str]]:
    """Write a folder of `.txt` files, one a class, as JSON that `load_descriptions` reads; returns what it holds."""
    if not Path(folder).is_dir():
        raise InputError(f"{printable(str(folder))} is no folder; give the one with a .txt file for each class")
    descriptions = load_descriptions(folder)
    save_descriptions(out, descriptions)
    return descriptions


def import_splits(source: str | Path, out: str | Path) -> dict[str, dict[str, list[str]]]:
    """Write a split file, or every `.json` of a folder of them, into the folder `out`, each under its own name; nothing
    if one of them is none. Returns name -> {"training": class names, "testing": class names}."""
    source = Path(source)
    files = sorted(source.glob("[!.]*.json")) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{printable(str(source))} holds no .json file; give a split, or a folder of them")
    splits = {printable(file.stem): load_split(file) for file in files}
    for name, split in splits.items():
        write_json(Path(out) / f"{name}.json", {"training": split.get("training", []), "testing": split["testing"]})
    return splits


def import_captions(files: Sequence[str | Path], out: str | Path) -> dict[str, int]:
    """Write the captions of several captioning models as one file that `load_captions` reads, with the timestamps that
    they have; returns how many each video has."""
    merged = caption_entries(files)
    write_json(out, {"version": "VERSION 1.0", "results": merged})
    return {id: len(entries) for id, entries in merged.items()}
