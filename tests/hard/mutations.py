"""Damage to small files: blindly in their bytes, and with a knowledge of the form, as somebody would who means harm."""

import contextlib
import io
import json
import math
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

NUMBERS = (0, 1, -1, 2, 255, 2**31 - 1, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**400)
VALUES = (
    *NUMBERS, 0.5, -0.0, 1e-320, 1e308, 1e39, float("nan"), float("inf"), None, True, False, "", " ", "\0", "\ud800",
    "x" * 5000, "=1+1", "../../../tmp/x", "/etc/passwd", "con", "<b>", "nan", "9" * 30, [], {}, [[]], [{}], [None],
    {"": ""},
)  # fmt: skip
TOKENS = (
    *(json.dumps(value).encode() for value in VALUES), b"1e999", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"\\ud800",
    b"\\u0000", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b",", b";", b"\t", b'"', b"'", b'""', b"\0", b"\\",
    b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\x8b", b"{", b"}", b"[", b"]", b":", b"-", b".", b"a" * 200_000,
)  # fmt: skip
Random = random.Random


def in_bytes(raw: bytes, rng: Random) -> bytes:
    """Bits turned, numbers set to extremes, blocks cut out, doubled or moved, the end missing."""
    raw = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, size = rng.randrange(len(raw) + 1), rng.choice((1, 2, 4, 8, 8, 64, 512))
        match rng.randrange(8):
            case 0 | 1 if raw:
                raw[at % len(raw)] ^= 1 << rng.randrange(8)
            case 2 | 3:
                value = rng.choice((0, 1, 2**63 - 1, 2**64 - 1, 2**31 - 1, 2**31, 2**16, 0x7F, rng.getrandbits(64)))
                width = rng.choice((1, 2, 4, 8))
                raw[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))
            case 4:
                del raw[at : at + size]
            case 5:
                raw[at:at] = raw[(start := rng.randrange(len(raw) + 1)) : start + size]
            case 6:
                raw[at : at + size] = rng.randbytes(size)
            case _ if rng.random() < 0.3:
                del raw[at:]
    return bytes(raw)


def in_text(raw: bytes, rng: Random) -> bytes:
    """Words of the language where they do not belong, or lines and cells in another order."""
    if rng.random() < 0.3:
        separator = rng.choice((b"\n", b",", b" ", b'"'))
        parts = raw.split(separator)
        one, other = (rng.randrange(len(parts)) for _ in range(2))
        parts[one] = rng.choice((parts[other], rng.choice(TOKENS), b"", parts[one] * rng.choice((2, 3000))))
        return separator.join(parts)
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.choice(TOKENS) + raw[at + rng.choice((0, 0, 1, 5, 50)) :]


def in_value(value: object, rng: Random) -> object:
    """A JSON value with one of its parts another one."""
    inside = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if isinstance(value, torch.Tensor):
        odd = [value.double(), value.int(), value[:1], value.expand(2, *value.shape), value * math.nan, value * 1e38]
        return rng.choice((*odd, -value, torch.zeros(1).expand(2**40), *VALUES))
    if not inside or rng.random() < 0.08:
        return rng.choice((rng.choice(VALUES), value, [value] * 3, {"x": value}, str(value)))
    key, copied = rng.choice(inside), value.copy()
    match rng.randrange(8):
        case 0:
            del copied[key]
        case 1 if isinstance(value, dict):
            copied[rng.choice((*inside, "", "x", "__class__", "\ud800", "x" * 3000))] = copied.pop(key)
        case 2:
            copied[key] = copied[rng.choice(inside)]
        case _:
            copied[key] = in_value(copied[key], rng)
    return copied


def in_json(raw: bytes, rng: Random) -> bytes:
    if rng.random() < 0.3:
        return in_text(raw, rng)
    lines = raw.strip().split(b"\n") if raw.count(b"\n{") else [raw]  # JSON lines
    at = rng.randrange(len(lines))
    value = json.loads(lines[at])
    for _ in range(rng.choice((1, 1, 2, 5))):
        value = in_value(value, rng)
    lines[at] = json.dumps(value).encode()
    return b"\n".join(lines) + b"\n" * (len(lines) > 1)


def in_tensors(raw: bytes, rng: Random) -> bytes:
    """A safetensors file: its header is JSON, in whose words may be more JSON."""
    size = int.from_bytes(raw[:8], "little")
    header, rest = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    match rng.randrange(4):
        case 0 if words := header.get("__metadata__"):
            key = rng.choice(list(words))
            words[key] = (in_json if words[key][:1] in "[{" else in_text)(words[key].encode(), rng).decode(
                "utf-8", "replace"
            )
        case 1:
            tensor = header[rng.choice([key for key in header if key != "__metadata__"])]
            tensor["dtype"] = rng.choice(
                ("F16", "BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4", "I32", "U64")
            )
        case 2:
            at = rng.randrange(max(1, len(rest) // 4)) * 4
            rest = rest[:at] + struct.pack("<f", rng.choice((np.nan, np.inf, 1e38, -1.0, 1e9))) + rest[at + 4 :]
        case _:
            header = in_value(header, rng)
    told = json.dumps(header).encode()
    return rng.choice((len(told),) * 9 + (len(told) + 1, 2**63, 0, 10**8)).to_bytes(8, "little") + told + rest


def in_archive(raw: bytes, rng: Random) -> bytes:
    """A zip archive: its members damaged by their kind, named as paths, packed in odd ways, doubled, or bombs."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        method = archive.infolist()[0].compress_type
    name = rng.choice(list(members))
    more = []
    match rng.randrange(8):
        case 0:
            odd = (
                "../x",
                "/tmp/x",
                "..\\x",
                "C:\\x",
                "a/../../x",
                "",
                ".",
                "x" * 300,
                "\0",
                "a" * 60000,
                "con",
                "\ud7ff/",
                name.upper(),
            )
            members[rng.choice(odd)] = members.pop(name)
        case 1:
            del members[name]
        case 2:
            more = [(name, rng.choice(list(members.values())))]
        case 3:
            method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        case 4 if rng.random() < 0.1:
            members[name] = bytes(70_000_000)
            method = zipfile.ZIP_DEFLATED
        case _:
            members[name] = damaged(name, members[name], rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method, compresslevel=1) as archive:
        for each, content in [*members.items(), *more]:
            archive.writestr(zipfile.ZipInfo(each), content, method)
    return packed.getvalue()


def in_state(raw: bytes, rng: Random) -> bytes:
    """A file of tensors: its values, where torch alone can read it; or the archive that it is."""
    with contextlib.suppress(Exception):
        if rng.random() < 0.6:
            value, made = torch.load(io.BytesIO(raw), weights_only=True), io.BytesIO()
            for _ in range(rng.choice((1, 1, 2, 5))):
                value = in_value(value, rng)
            torch.save(value, made)
            return made.getvalue()
    return in_archive(raw, rng)


def in_array(raw: bytes, rng: Random) -> bytes:
    """An .npy file: the words of its header."""
    size = int.from_bytes(raw[8:10], "little")
    told = in_text(raw[10 : 10 + size], rng)
    if rng.random() < 0.5:
        shapes = ("(-1,)", "(2, 2**62)", "()", "(0, 12)", "(99999999999, 12)", "(3, 12, 1)")
        kinds = ("|O", "<f8", "<c16", "<U9", "|V8", "<M8[s]", "[('a','<f4')]")
        told = f"{{'descr': '{rng.choice(kinds)}', 'fortran_order': True, 'shape': {rng.choice(shapes)}, }}\n".encode()
    return raw[:8] + (len(told) % 65536).to_bytes(2, "little") + told + raw[10 + size :]


def in_hdf5(raw: bytes, rng: Random) -> bytes:
    """A file of HDF5: other links, types, shapes, filters and attributes; or bytes, with checksums that are right."""
    if rng.random() < 0.6:
        return with_checksums(in_bytes(raw, rng)) if rng.random() < 0.7 else _metadata(raw, rng)
    with contextlib.suppress(OSError, ValueError, TypeError, OverflowError):  # what HDF5 itself does not write
        return _rewritten(raw, rng)
    return in_bytes(raw, rng)


def _rewritten(raw: bytes, rng: Random) -> bytes:
    held = io.BytesIO(raw)
    with h5py.File(held, "r+", libver=("v110", "v110")) as file:
        name = rng.choice(list(file))
        array = file[name][:]
        match rng.randrange(10):
            case 0:
                del file[name]
            case 1:
                del file[name]
                file[name] = rng.choice(
                    (h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/ids"), h5py.SoftLink(f"/{name}"))
                )
            case 2:
                del file[name]
                options = rng.choice(({"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}, {}))
                file.create_dataset(name, data=array, chunks=True, **options)
            case 3:
                del file[name]
                size = array.nbytes
                file.create_dataset(name, array.shape, array.dtype, external=[("/etc/passwd", 0, size or 1)])
            case 4:
                del file[name]
                file.create_dataset(name, data=[b"x" * 9] * rng.choice((0, 1, 9)), dtype=h5py.string_dtype())
            case 5:
                del file[name]
                shape = rng.choice(((), (0,), (len(array),), (2**40,), (2**20, 2**20, 2**20), (1, 0, 3)))
                file.create_dataset(name, shape, rng.choice(("<f2", "<i8", "S1", "u1", "<f8", "<c16")))
            case 6:
                del file[name]
                layout = h5py.VirtualLayout(array.shape or (1,), array.dtype)
                layout[...] = h5py.VirtualSource("/etc/passwd", name, array.shape or (1,))
                file.create_virtual_dataset(name, layout)
            case 7:
                del file[name]
                file.create_group(name)
            case 8:
                told = file.attrs["provenance"]
                file.attrs["provenance"] = np.bytes_(in_json(bytes(told), rng).replace(b"\0", b"")[:60000])
            case _:
                file.attrs[rng.choice(list(file.attrs))] = rng.choice(
                    (1, 2.5, "x", [1, 2], np.bytes_(b"\xff"), h5py.Empty("f"), 2**62)
                )
    return held.getvalue()


def _metadata(raw: bytes, rng: Random) -> bytes:
    """Bytes damaged within a header of an object, where they tell the most."""
    places = [at for at in range(len(raw) - 4) if raw[at : at + 4] == b"OHDR"]
    at = rng.choice(places) + 4
    return with_checksums(raw[:at] + in_bytes(raw[at : at + 120], rng).ljust(120, b"\0")[:120] + raw[at + 120 :])


def with_checksums(raw: bytes) -> bytes:
    """The checksums of the superblock and of the headers of objects made to fit what they stand for."""
    made = bytearray(raw)
    if len(made) > 48:
        made[44:48] = lookup3(bytes(made[:44])).to_bytes(4, "little")
    at = made.find(b"OHDR")
    while at >= 0 and at + 6 < len(made):
        flags = made[at + 5]
        start = at + 6 + 16 * bool(flags & 32) + 4 * bool(flags & 16)
        width = 1 << (flags & 3)
        end = start + width + int.from_bytes(made[start : start + width], "little")
        if end + 4 <= len(made) and end - at < 5000:
            made[end : end + 4] = lookup3(bytes(made[at:end])).to_bytes(4, "little")
        at = made.find(b"OHDR", at + 4)
    return bytes(made)


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hash of May 2006, which HDF5 has as its checksum."""
    mask = 0xFFFFFFFF

    def turned(x: int, k: int) -> int:
        return (x << k | x >> 32 - k) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    while len(data) > 12:
        x, y, z = struct.unpack("<3I", data[:12])
        a, b, c, data = a + x & mask, b + y & mask, c + z & mask, data[12:]
        for j, k, m in ((4, 6, 8), (16, 19, 4)):
            a = (a - c & mask) ^ turned(c, j)
            c = c + b & mask
            b = (b - a & mask) ^ turned(a, k)
            a = a + c & mask
            c = (c - b & mask) ^ turned(b, m)
            b = b + a & mask
    if not data:
        return c
    x, y, z = struct.unpack("<3I", data.ljust(12, b"\0"))
    a, b, c = a + x & mask, b + y & mask, c + z & mask
    for k, other in ((14, "b"), (11, "c"), (25, "a"), (16, "b"), (4, "c"), (14, "a"), (24, "b")):
        if other == "b":
            c = (c ^ b) - turned(b, k) & mask
        elif other == "c":
            a = (a ^ c) - turned(c, k) & mask
        else:
            b = (b ^ a) - turned(a, k) & mask
    return c


BY_KIND: dict[str, Callable[[bytes, Random], bytes]] = {
    ".json": in_json, ".jsonl": in_json, ".txt": in_text, ".csv": in_text, ".safetensors": in_tensors, ".h5": in_hdf5,
    ".zip": in_archive, ".npz": in_archive, ".pt": in_state, ".bin": in_state, ".npy": in_array,
}  # fmt: skip


def damaged(name: str, raw: bytes, rng: Random) -> bytes:
    """The content of a file, another one than before."""
    by_kind = BY_KIND.get(Path(name).suffix, in_bytes)
    return (by_kind if rng.random() < 0.7 else in_bytes)(raw, rng)
