"""Runs from a user's hands: packed into one file, read back with nothing taken on trust, or made from bare weights.

An archive is a `.zip` with one folder, named after the run, of the files that `cezsar.training.runs` lists, without
`state.pt`. Reading one runs nothing that is in it: tables are JSON, weights are safetensors, pickles are refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from safetensors.torch import load_file

from cezsar.atomic import replacing, write_json
from cezsar.data.documents import printable
from cezsar.errors import CezsarError, FormatError, InputError
from cezsar.model import CEZSAR
from cezsar.training.checks import check_run, check_shapes
from cezsar.training.runs import Run

MB = 1_000_000
MOST_BYTES = 2000 * MB  # of all files together, unpacked
MOST_FILES = 1000
MOST_RATIO, RATIO_FROM = 100, 64 * MB  # unpacked to packed; small archives of text may pack better
FILES = {
    "config.json": MB,
    "model.safetensors": MOST_BYTES,
    "history.jsonl": 50 * MB,
    "record.json": 10 * MB,
    "domain.safetensors": MOST_BYTES,
    "objects.safetensors": MOST_BYTES,
    "prototypes.json": 20 * MB,
    "calibration.json": MB,
    "rejector.json": MB,
}
"""Files of a run that travel, and the most bytes each may have."""

_RESULT = re.compile(r"results/(?![. ])[^/\x00-\x1f<>:\"|?*]{1,120}\.(json|csv|md)")
_RESULT_BYTES = 50 * MB
_NAME = re.compile(r"\w(?:[\w .+@-]{0,78}[\w+@-])?")
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
_LEFT_BY_SYSTEMS = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


def pack(run_folder: str | Path, path: str | Path) -> Path:
    """Write a trained run as a `.zip` that `unpack` reads, whole or not at all.

    Raises:
        FormatError: the folder holds no run.
        InputError: its training has not ended, or `path` does not end in `.zip`.
    """
    run, path = Run.open(run_folder), Path(path)
    if path.suffix.lower() != ".zip":
        raise InputError(f"{path} would hold a zip archive; give it the suffix .zip")
    if not run.trained:
        raise InputError(f"run {run.folder} is not trained yet; finish it with `cezsar train --resume`, then pack it")
    results = (f"results/{file.name}" for file in sorted((run.folder / "results").glob("*")))
    names = [*FILES, *(name for name in results if _RESULT.fullmatch(name))]
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            if (run.folder / name).is_file():
                archive.write(run.folder / name, f"{run.folder.resolve().name}/{name}")
    return path


def unpack(path: str | Path, runs_folder: str | Path, name: str | None = None) -> Run:
    """Check an archive of a run and put the run among the others, whole or not at all.

    Args:
        path: a file that `pack` wrote, or a run's folder zipped by hand.
        runs_folder: such as `workspace/runs`; made if need be.
        name: of the run; by default its own, or the next free one like it: "mine-2".

    Raises:
        InputError: there is no such file, it is a pickle, `name` is taken or cannot name a folder.
        FormatError: it is no archive of a run, holds anything else, is too large, or is damaged.
    """
    path = Path(path)
    _refuse_pickles(path)
    try:
        with zipfile.ZipFile(path) as archive, _staging(Path(runs_folder), path) as folder:
            own, members = _members(archive, path)
            for target, info in members.items():
                (folder / target).parent.mkdir(exist_ok=True)
                with archive.open(info) as source, (folder / target).open("wb") as file:
                    shutil.copyfileobj(source, file)
                    os.fsync(file.fileno())
            check_run(folder)
            return _place(folder, Path(runs_folder), name, own or path.stem)
    except OSError as error:
        raise InputError(f"{printable(str(path))} cannot be unpacked: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path.name} is no zip archive, or a damaged one ({error}); fetch it again") from error


def adopt(
    weights: str | Path,
    config: str | Path | Run,
    runs_folder: str | Path,
    name: str | None = None,
    *,
    domain: str = "unknown",
) -> Run:
    """A new run from a bare safetensors file, with the configuration of a run whose tensors have the same shapes.

    Object head and class descriptions come along from that run, since they belong to its encoder; what describes its
    training does not.

    Args:
        weights: a `.safetensors` file of a model's tensors.
        config: a run, its folder, or its `config.json`.
        name: of the new run; the next free one like that of the file by default.
        domain: one line on what the weights were trained on.

    Raises:
        InputError: no such file, a pickle, or a name that is taken.
        FormatError: it is no safetensors file, or holds values that are not finite.
        MismatchError: a tensor is missing, unknown, or has another shape; the message names the first.
    """
    weights = Path(weights)
    _refuse_pickles(weights)
    like = config if isinstance(config, Run) else Run.open(_run_folder(Path(config)))
    with _staging(Path(runs_folder), weights) as folder:
        check_shapes(weights, like.config.model)
        run = Run.create(folder, dataclasses.replace(like.config, triplets="", domain=domain))
        model = CEZSAR(like.config.model)
        model.load_state_dict(load_file(weights))
        run.save_model(model)
        run.load_model()
        for file in ("objects.safetensors", "prototypes.json"):
            if (like.folder / file).is_file():
                shutil.copyfile(like.folder / file, folder / file)
        with weights.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        write_json(folder / "record.json", {"weights": {"file": printable(weights.name), "sha256": digest}})
        return _place(folder, Path(runs_folder), name, weights.stem)


# Names ---------------------------------------------------------------------------------------------------------------


def _refuse_pickles(path: Path) -> None:
    if path.suffix.lower() in _PICKLES:
        raise _pickle(path.name)
    if not path.is_file():
        raise InputError(f"there is no file {printable(str(path))}; check the path")


def _pickle(name: str) -> InputError:
    return InputError(
        f"{printable(name)} is a pickle, which can run any program when opened, so it is not opened; "
        "give a .zip of a run, or the weights as .safetensors"
    )


def _members(archive: zipfile.ZipFile, path: Path) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The run's own name, "" if the archive gives none, and its files by their place in the run's folder."""
    infos = [info for info in archive.infolist() if not _left_by_system(info.filename)]
    if len(infos) > MOST_FILES:
        raise FormatError(f"{path.name} holds {len(infos):,} files; an archive of a run has at most {MOST_FILES:,}")
    for info in infos:
        _check_member(info, path)
        if info.filename.endswith(_PICKLES):
            raise _pickle(f"{path.name}: {info.filename}")
    files = [info for info in infos if not info.is_dir()]
    tops = {PurePosixPath(info.filename).parts[0] for info in files if info.filename not in FILES}
    configs = [info.filename for info in files if PurePosixPath(info.filename).name == "config.json"]
    if configs not in ([f"{top}/config.json"] for top in tops) and configs != ["config.json"]:
        found = f"{len(configs)} config.json" if configs else "no config.json"
        raise FormatError(f"{path.name} is not the folder of one run ({found}); zip the folder of one")
    own = PurePosixPath(configs[0]).parts[0] if "/" in configs[0] else ""
    prefix = f"{own}/" if own else ""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in files:
        name = info.filename.removeprefix(prefix) if info.filename.startswith(prefix) else ""
        limit = FILES.get(name) or (_RESULT_BYTES if _RESULT.fullmatch(name) else 0)
        if not limit or name in members:
            why = "twice" if limit else "which no archive of a run has"
            raise FormatError(f"{path.name} holds {printable(info.filename)!r} {why}; remove it, or pack the run again")
        if info.file_size > limit:
            raise FormatError(f"{path.name}: {name} would have {info.file_size:,} bytes; it may have {limit:,}")
        members[name] = info
    total, packed = sum(info.file_size for info in files), path.stat().st_size
    if total > MOST_BYTES or total > max(RATIO_FROM, MOST_RATIO * packed):
        raise FormatError(f"{path.name} has {packed:,} bytes and would unpack to {total:,}; no run does that")
    if "model.safetensors" not in members:
        raise FormatError(f"{path.name} has no model.safetensors; pack a run whose training has ended")
    return own, members


def _check_member(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse places outside, links and devices, and what needs a password or another decompressor."""
    place, kind = PurePosixPath(info.filename), stat.S_IFMT(info.external_attr >> 16)
    outside = (
        not place.parts
        or place.is_absolute()
        or ".." in place.parts
        or "\\" in info.orig_filename
        or ":" in info.filename
    )
    if outside or "\0" in info.orig_filename:
        raise FormatError(f"{path.name} holds {printable(info.orig_filename)!r}, a place outside the run; not unpacked")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise FormatError(f"{path.name}: {printable(info.filename)!r} is a link or a device; zip the file itself")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError(f"{path.name} is encrypted or compressed in an unusual way; make a plain zip archive")


def _left_by_system(name: str) -> bool:
    return any(part in _LEFT_BY_SYSTEMS or part.startswith("._") for part in name.split("/"))


def _run_folder(path: Path) -> Path:
    return path.parent if path.name == "config.json" else path


# Places --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _staging(runs: Path, source: Path) -> Iterator[Path]:
    """A folder beside the runs that no list of runs shows. Errors raised meanwhile speak of `source` instead of it."""
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=runs, prefix=".tmp-") as temporary:
        folder = Path(temporary) / "run"
        folder.mkdir()
        try:
            yield folder
        except CezsarError as error:
            if str(folder) not in str(error):
                raise
            words = str(error).replace(f"{folder}{os.sep}", "").replace(str(folder), "the run")
            raise FormatError(f"{printable(source.name)}: {words}") from error


def _place(folder: Path, runs: Path, name: str | None, own: str) -> Run:
    """Move a finished run to its place."""
    if name is not None and not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot name a run; use letters, digits, spaces and . + - _ @, at most 80")
    base = name or re.sub(r"[^\w .+@-]|^\W+|[ .]+$", "", own)[:70].rstrip(" .") or "run"
    number, target = 1, runs / base
    while True:
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            if target.exists():
                raise FileExistsError
            return Run.open(folder.rename(target))
        if name is not None:
            raise InputError(f"there is a run {name!r} already; choose another name, or remove that run first")
        number += 1
        target = runs / f"{base}-{number}"
