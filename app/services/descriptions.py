"""Class descriptions: those of runs and label sets, and one's own, which can be edited, imported and exported."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.services import labels, models
from app.services.library import checked_name
from cezsar import world
from cezsar.data.descriptions import load_descriptions, save_descriptions
from cezsar.data.labels import spoken
from cezsar.errors import CezsarError, FormatError, InputError

MOST_FILES, MOST_BYTES = 5000, 50_000_000  # of an archive, unpacked

Described = dict[str, list[str]]


def sources() -> dict[str, Path | None]:
    """Name -> JSON file of everything that describes classes; None for the stick-figure world and label sets."""
    found: dict[str, Path | None] = {"stick-figure world": None}
    for folder in models.run_folders():
        if (folder / "prototypes.json").is_file():
            found[f"run {folder.name}"] = folder / "prototypes.json"
    for known in labels.label_sets().values():
        found[known.title if known.folder_file is None else f"mine: {known.title}"] = known.folder_file
    return found


def own_name(source: str) -> str:
    """The name of one's own descriptions; "" for a source that is read-only."""
    return source.removeprefix("mine: ") if source.startswith("mine: ") else ""


def read(source: str) -> Described:
    """Class -> sentences of one of `sources()`. Raises `CezsarError` if they cannot be read."""
    place = sources()[source]
    if place is not None:
        return load_descriptions(place)
    known = next((known for known in labels.label_sets().values() if known.title == source), None)
    if known is not None:
        return {name: [spoken(name)] for name in known.names}
    return {name: [sentence] for name, sentence in world.DESCRIPTIONS.items()}


def save(name: str, described: Mapping[str, Sequence[str]], replace: bool = False) -> Path:
    """Keep descriptions in the workspace.

    Raises:
        InputError: no such name is possible, or it is taken and `replace` is not given.
        FormatError: a class without a sentence, or in two spellings.
    """
    path = labels.own_folder() / f"{checked_name(name)}.json"
    if path.exists() and not replace:
        raise InputError(f"there are descriptions {name.strip()!r} already; choose another name, or edit those")
    if name.strip() in labels.TITLES:
        raise InputError(f"{name.strip()!r} is the name of a ready-made set; choose another")
    try:
        save_descriptions(path, described)
    except FormatError as error:
        raise FormatError(str(error).replace(str(path), name.strip())) from error
    return path


def of_rows(rows: Sequence[Mapping[str, object]]) -> Described:
    """Edited rows of "class" and "sentence" as descriptions; empty rows are passed over."""
    described: Described = {}
    for row in rows:
        name, sentence = (str(row.get(column) or "").strip() for column in ("class", "sentence"))
        if name or sentence:
            described.setdefault(name, []).append(sentence)
    return described


def rows_of(described: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """A row of "class" and "sentence" for each sentence."""
    return [{"class": name, "sentence": sentence} for name, given in described.items() for sentence in given]


def imported(files: Sequence[tuple[str, bytes]]) -> Described:
    """Descriptions from uploads: one JSON, one list of classes (.txt), several .txt named after classes, or a .zip of
    such files.

    Raises:
        InputError: files of other kinds, or an archive that is too large.
        FormatError: what is in them cannot be used; the message names the file.
    """
    if len(files) == 1 and files[0][0].lower().endswith(".zip"):
        files = _unpacked(*files[0])
    names = [Path(name.replace("\\", "/")).name for name, _ in files]
    kinds = {Path(name).suffix.lower() for name in names}
    if not files or (kinds != {".txt"} and (kinds != {".json"} or len(files) > 1)):
        raise InputError("give one .json, one .txt with a class to a line, several .txt named after classes, or a .zip")
    if len(set(names)) < len(names):
        raise FormatError(f"two files are called {max(names, key=names.count)}; keep one")
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        try:
            for name, (_, content) in zip(names, files, strict=True):
                (Path(folder) / name).write_bytes(content)
            return load_descriptions(Path(folder) / names[0] if len(files) == 1 else folder)
        except CezsarError as error:
            raise type(error)(str(error).replace(f"{folder}/", "").replace(folder, "the folder")) from error
        except (OSError, ValueError) as error:
            raise InputError(f"a file of that name cannot be kept here ({error}); rename it") from error


def _unpacked(name: str, content: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [
                info
                for info in archive.infolist()
                if not info.is_dir() and not Path(info.filename).name.startswith((".", "__"))
                and not info.filename.startswith("__MACOSX")
            ]  # fmt: skip
            if len(members) > MOST_FILES or sum(info.file_size for info in members) > MOST_BYTES:
                raise InputError(
                    f"{name} holds more than {MOST_FILES:,} files or {MOST_BYTES // 10**6} MB; no set does"
                )
            return [(info.filename, archive.read(info)) for info in members]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise FormatError(f"{name} cannot be unpacked ({error}); pack it again") from error
