"""Reading text and JSON that a user gave: every fault is a `FormatError` that names the file and the line."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from cezsar.errors import FormatError, InputError

MOST_BYTES = 512_000_000  # of a file of text; captions of 300,000 videos have a tenth


def read_text(path: str | Path) -> str:
    """A UTF-8 file's text, without a byte order mark."""
    raw = _bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = raw.count(b"\n", 0, error.start) + 1, raw[error.start]
        raise FormatError(f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from error


def decoded_file(path: str | Path) -> str:
    """The text of a list or a description: UTF-8, UTF-16 by its mark, else cp1252, as published ones come from several
    editors. Bytes that mean nothing in an encoding become U+FFFD."""
    raw = _bytes(path)
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    if b"\0" in raw:
        raise FormatError(f"{printable(str(path))} is not a text file; class names or sentences belong there, as text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def read_json_object(path: str | Path) -> dict[str, Any]:
    """A JSON file that holds one object."""
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise FormatError(f"{path} holds a JSON {type(value).__name__}; an object {{...}} is expected")
    return value


def parse_json(text: str, source: str) -> Any:
    """JSON text, called `source` in messages; no key may come twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) < len(pairs):
            repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise FormatError(f"{source}: {repeated!r} is given twice; keep one")
        return read

    def refuse(constant: str) -> None:
        raise FormatError(f"{source}: {constant} is not JSON and no usable number; correct or remove it")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        where = f"{source}, line {error.lineno}, column {error.colno}"
        raise FormatError(f"{where}: not valid JSON ({error.msg}); correct it there") from error
    except (RecursionError, ValueError) as error:  # nested thousands deep, or a number of thousands of digits
        raise FormatError(f"{source}: not usable JSON ({error}); a plain table of names and values is") from error


def read_table(text: str, source: str | Path) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    """The columns of CSV text that its first line names, and each row with the number of its line. A cell has at most
    131,072 characters."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return list(reader.fieldnames or []), [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise FormatError(f"{source}, line {reader.reader.line_num}: not valid CSV ({error}); correct it") from error


def is_unicode(text: str) -> bool:
    """Whether `text` can be encoded: names that were not UTF-8 carry lone surrogates and cannot."""
    return text.encode("utf-8", "ignore").decode("utf-8") == text


def printable(text: str) -> str:
    """`text` with bytes that were not UTF-8 (lone surrogates) written as \\xNN, so that it can be stored and shown."""
    return text if is_unicode(text) else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def enumerated(names: Iterable[str], most: int) -> str:
    """The first names, and dots if there are more than `most`."""
    first = list(islice(names, most + 1))
    return ", ".join(first[:most]) + (", ..." if len(first) > most else "")


def _bytes(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", error)
        raise InputError(f"{printable(str(path))} cannot be read: {why}; check the path") from error
    if len(raw) > MOST_BYTES:
        raise FormatError(f"{printable(str(path))} has more than {MOST_BYTES:,} bytes, which no such file has")
    return raw
