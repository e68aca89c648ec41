"""Files and folders appear whole or not at all: written under a temporary name beside the target, then renamed. Named
arrays are read here, too."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cezsar.errors import DAMAGED, CezsarError, FormatError, InputError

if TYPE_CHECKING:
    import numpy as np

MOST_BYTES = 64 << 30  # of a file of named arrays


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block ends well, else remove it. It has the
    target's suffix, since some writers choose a format by it. A killed writer leaves at most a `.tmp-*` file, which
    nothing reads and the next writer removes. What is no ordinary file, such as /dev/stdout, is yielded itself. Raises
    the system's `OSError`, also where a library that writes tells of it in words of its own."""
    path = Path(path)
    if _special(path):
        yield path
        return
    try:
        with beside(path) as temporary:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
    except Exception as error:
        if number := _number(error):
            raise OSError(number, os.strerror(number), str(path)) from error
        raise


@contextmanager
def replacing_folder(folder: str | Path) -> Iterator[Path]:
    """The same for a folder: an empty one is yielded, and takes the place of the old one if the block ends well."""
    folder = Path(folder)
    with beside(folder, folder=True) as temporary:
        (new := temporary / "new").mkdir()
        yield new
        lock = _lock(folder.parent, wait=True)  # two may come at once
        try:
            if folder.exists():
                folder.rename(temporary / "old")
            new.rename(folder)
        finally:
            if lock is not None:
                os.close(lock)


@contextmanager
def alone(folder: str | Path) -> Iterator[None]:
    """Be the only one that writes into a folder, made where there is none. The lock of a dead process does not count.
    Raises `InputError` where another one is at it, or nothing can be written."""
    from filelock import FileLock, Timeout

    folder = Path(folder)
    lock = FileLock(folder / ".writer-lock", blocking=False, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        why = "another process is at it; wait until it ends" if isinstance(error, Timeout) else error.strerror
        raise InputError(f"{folder} cannot be written: {why}, or choose another folder") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def beside(path: Path, folder: bool = False) -> Iterator[Path]:
    """An empty file or folder beside `path`, locked as long as its writer lives; what dead ones left is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".tmp-{path.stem[:40]}-", path.suffix
    for left in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        if (lock := _lock(left)) is not None:
            _remove(left)
            os.close(lock)
    if folder:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix, suffix=suffix))
    else:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
        os.close(handle)
        temporary = Path(name)
    lock = _lock(temporary)
    try:
        yield temporary
    finally:
        _remove(temporary)
        if lock is not None:
            os.close(lock)


def _remove(path: Path) -> None:
    """What cannot be removed stays: what went wrong before is what should be told."""
    shutil.rmtree(path, ignore_errors=True)  # of a file, too, it says nothing
    with suppress(OSError):
        path.unlink()


def _lock(path: Path, wait: bool = False) -> int | None:
    """The lock of a file or folder, held until it is closed; None where another has it, or where there are no locks."""
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):  # Windows
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def _number(error: Exception) -> int:
    """Of the system's error that speaks of the temporary file or of none, or that is behind one of safetensors ("os
    error 28") or torch, which does not say which; else 0."""
    if isinstance(error, OSError) and error.errno and Path(error.filename or ".tmp-").name.startswith(".tmp-"):
        return error.errno
    told = re.search(r"os error (\d+)", str(error))
    return int(told[1]) if told else errno.ENOSPC if "inline_container" in str(error) else 0


def refuse_unwritable(path: str | Path, folder: bool = False) -> None:
    """Raise `InputError` before the work where a file (or `folder`) could not be written after it. Nothing is made."""
    path = Path(path)
    if path.is_dir() and not folder:
        raise InputError(f"{path} is a folder; give the name of a file to write")
    if path.is_file() and folder:
        raise InputError(f"{path} is a file; give the name of a folder to write into")
    if _special(path):
        return
    there = path if folder else path.parent
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; give another place") from error


def _special(path: Path) -> bool:
    """Whether it is there and neither a file nor a folder: a device, or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, whole or not at all. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_tensors(path: str | Path, arrays: Mapping[str, np.ndarray], words: Mapping[str, str]) -> None:
    """Write named arrays, and words about them, to a safetensors file, whole or not at all. The same content gives the
    same bytes: the library alone puts words in another order each time, and takes any array for a contiguous one."""
    import numpy as np
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, dict(words))
        if _special(temporary):
            return
        with temporary.open("r+b") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) | {"__metadata__": dict(sorted(words.items()))}
            file.seek(8)
            file.write(json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size))


@contextmanager
def read_tensors(path: str | Path, advice: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, str]]]:
    """All named arrays of a safetensors file, and the words about them. Whatever is wrong with these within the block
    is a `FormatError` that names the file and gives the advice. The format holds no code, and no array that is not in
    the file; its header has at most 100 MB."""
    from safetensors import SafetensorError, safe_open

    try:
        if (size := Path(path).stat().st_size) > MOST_BYTES:
            raise FormatError(f"{path} has {size:,} bytes, and at most {MOST_BYTES:,} are read; {advice}")
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
            words = file.metadata() or {}
        yield arrays, words
    except CezsarError:
        raise
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}; check the path, or {advice}") from error
    except (SafetensorError, *DAMAGED) as error:
        raise FormatError(f"{path} is damaged or no file of this kind ({error}); {advice}") from error
