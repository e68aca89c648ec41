"""Files that `torch.save` wrote, read without running anything that is in them.

A pickle is a program: it names functions and has them called while it is read. So none is unpickled here. The program
is taken apart by `pickletools`, and the few instructions that a saved module consists of are carried out on inert
values: lists, tables, and the stand-ins below. A class or function in it is a `Name`, which is compared with those
expected and never looked up. Anything else is refused before a single weight is read.

Both forms are read: the zip archive of torch 1.6 and later, and the one before it, which
`torch.save(..., _use_new_zipfile_serialization=False)` still writes.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from cezsar.data.documents import printable
from cezsar.errors import FormatError, InputError

MOST_BYTES = 2_000_000_000  # of a file
MOST_PROGRAM_BYTES = 2_000_000  # of what is not weights; the authors' has about 20,000, with sources 100,000
MOST_MEMBERS = 10_000

_LEGACY = 0x1950A86A20F9469CFC6C, 1001  # the two numbers with which files of the older form begin


class Name(NamedTuple):
    """A class or function as a file names it. It is only ever compared."""

    module: str
    name: str

    def __str__(self) -> str:
        return printable(f"{self.module}.{self.name}")[:200]


@dataclass(eq=False)
class Part:
    """An object of the file: the name of its class, and its attributes."""

    kind: Name
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class _Storage:
    """A row of numbers; `values` are read after the program has ended."""

    dtype: torch.dtype
    numel: int
    values: Tensor | None = None


@dataclass(eq=False)
class Stored:
    """A tensor of the file: a view of a row of numbers that lies within it and shows none of them twice."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def tensor(self) -> Tensor:
        """A copy of its own, float32."""
        assert self.storage.values is not None
        return self.storage.values.as_strided(self.shape, self.strides, self.offset).float().clone()


_STORAGES = {
    Name("torch", "FloatStorage"): torch.float32,
    Name("torch", "DoubleStorage"): torch.float64,
    Name("torch", "HalfStorage"): torch.float16,
    Name("torch", "BFloat16Storage"): torch.bfloat16,
}
_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Name("torch._utils", "_rebuild_parameter")
_TABLE = Name("collections", "OrderedDict")
_SETS = Name("__builtin__", "set"), Name("builtins", "set")
_OWN = {*_STORAGES, _TENSOR, _PARAMETER, _TABLE, *_SETS}


def read_module(path: str | Path, classes: Collection[Name], constants: Collection[Name] = ()) -> Part:
    """The module that `torch.save(module)` wrote, as inert parts.

    Args:
        classes: those its parts may be of.
        constants: functions that attributes may name.

    Raises:
        InputError: there is no such file, or it cannot be read.
        FormatError: it is no such file, is damaged or too large, names anything else, or asks for anything but to be
            put together from these parts; the message says which.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {printable(str(path))}; check the path")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise FormatError(f"it has {size:,} bytes; at most {MOST_BYTES:,} are read")
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            root = (_read_zip if zipped else _read_legacy)(file, size, frozenset(classes), frozenset(constants))
    except FormatError as error:
        raise FormatError(f"{printable(path.name)} is not read: {error}") from error
    except OSError as error:
        raise InputError(f"{printable(str(path))} cannot be read: {error.strerror or error}; check the path") from error
    except (ValueError, OverflowError, EOFError, struct.error, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise FormatError(
            f"{printable(path.name)} is no file that torch.save wrote, or a damaged one "
            f"({printable(str(error))[:200]}); fetch it again"
        ) from error
    if not isinstance(root, Part):
        raise FormatError(f"{printable(path.name)} holds a {_sort(root)}, not a module")
    return root


# The two forms of a file -------------------------------------------------------------------------------------------


def _read_zip(file: IO[bytes], size: int, classes: frozenset[Name], constants: frozenset[Name]) -> Any:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        members = {info.filename: info for info in infos}
        if len(infos) > MOST_MEMBERS or len(members) < len(infos):
            raise FormatError(f"it has {len(infos):,} members, or one twice; no saved module has")
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
            raise FormatError("it is compressed or encrypted, which torch.save does not do")
        if sum(info.file_size for info in infos) > size:
            raise FormatError("its members would have more bytes than the file")
        programs = [name for name in members if PurePosixPath(name).name == "data.pkl" and name.count("/") == 1]
        if len(programs) != 1:
            raise FormatError("it is a zip archive without the data.pkl of one saved module")
        top = programs[0].removesuffix("data.pkl")
        if f"{top}constants.pkl" in members:
            raise FormatError("it is a TorchScript program, not a saved module")
        if f"{top}byteorder" in members and archive.read(f"{top}byteorder") != b"little":
            raise FormatError("its numbers are big-endian; save it anew on an ordinary machine")
        if members[programs[0]].file_size > MOST_PROGRAM_BYTES:
            raise FormatError(f"what is not weights has more than {MOST_PROGRAM_BYTES:,} bytes")
        program = _Program(classes, constants)
        root = program.run(io.BytesIO(archive.read(programs[0])))
        for key, storage in program.storages.items():
            if (name := f"{top}data/{key}") not in members:
                raise FormatError(f"the weights {printable(key)[:40]!r} are missing; fetch it again")
            if members[name].file_size != storage.numel * storage.dtype.itemsize:
                raise FormatError(f"the weights {printable(key)[:40]!r} have another size than is said; fetch it again")
            storage.values = _values(archive.read(name), storage.dtype)
    return root


def _read_legacy(file: IO[bytes], size: int, classes: frozenset[Name], constants: frozenset[Name]) -> Any:
    bounded = _Bounded(file, MOST_PROGRAM_BYTES)
    begin = tuple(_Program(frozenset(), frozenset()).run(bounded) for _ in range(2))
    if begin != _LEGACY:
        raise FormatError("it does not begin as a file that torch.save wrote; give the authors' checkpoint")
    system = _Program(frozenset(), frozenset()).run(bounded)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise FormatError("its numbers are big-endian; save it anew on an ordinary machine")
    program = _Program(classes, constants)
    root = program.run(bounded)
    keys = _Program(frozenset(), frozenset()).run(bounded)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise FormatError("the list of its weights is damaged; fetch it again")
    if len(keys) != len(program.storages) or set(keys) != set(program.storages):
        raise FormatError("its weights are not those it lists; fetch it again")
    for key in keys:
        storage = program.storages[key]
        if file.read(8) != struct.pack("<q", storage.numel):
            raise FormatError(f"the weights {printable(key)[:40]!r} have another size than is said; fetch it again")
        wanted = storage.numel * storage.dtype.itemsize
        if wanted > size - file.tell():
            raise FormatError("it ends before its weights do; fetch it again")
        storage.values = _values(file.read(wanted), storage.dtype)
    return root


def _values(raw: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)


class _Bounded:
    """The beginning of a file: reading on beyond `left` bytes is refused before they are fetched."""

    def __init__(self, file: IO[bytes], left: int) -> None:
        self._file, self._left = file, left

    def read(self, count: int) -> bytes:
        return self._spend(self._file.read(min(count, self._left + 1)))

    def readline(self) -> bytes:
        return self._spend(self._file.readline(self._left + 1))

    def tell(self) -> int:
        return self._file.tell()

    def _spend(self, read: bytes) -> bytes:
        self._left -= len(read)
        if self._left < 0:
            raise FormatError(f"what is not weights has more than {MOST_PROGRAM_BYTES:,} bytes")
        return read


# The program -------------------------------------------------------------------------------------------------------

_MARK = object()
_PLAIN = {
    "BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINSTRING", "BINSTRING",
}  # fmt: skip
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Program:
    """Carries out one pickle of protocol 2, that of torch.save, on inert values.

    Attributes:
        storages: key -> row of numbers that the program spoke of.
    """

    def __init__(self, classes: frozenset[Name], constants: frozenset[Name]) -> None:
        self._classes = classes
        self._named = classes | constants | _OWN if classes else frozenset()
        self.storages: dict[str, _Storage] = {}
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: Any) -> Any:
        """The value of the program that begins where `stream` stands; it ends up right behind it."""
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                break
            try:
                self._step(opcode.name, argument)
            except (IndexError, KeyError) as error:
                raise FormatError("its program takes what is not there; fetch it again") from error
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise FormatError("its program does not end in one value; fetch it again")
        return self._stack[0]

    def _step(self, instruction: str, argument: Any) -> None:
        stack = self._stack
        if instruction in _PLAIN:
            stack.append(argument)
        elif instruction in _FIXED:
            stack.append(_FIXED[instruction])
        elif instruction in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if instruction == "EMPTY_DICT" else [])
        elif instruction == "MARK":
            stack.append(_MARK)
        elif instruction in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif instruction in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif instruction in _TUPLES:
            stack.append(tuple(self._take(_TUPLES[instruction])))
        elif instruction == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif instruction in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            self._fill(instruction)
        elif instruction == "GLOBAL":
            stack.append(self._name(argument))
        elif instruction == "BINPERSID":
            stack.append(self._persistent(*self._take(1)))
        elif instruction == "NEWOBJ":
            stack.append(self._new(*self._take(2)))
        elif instruction == "REDUCE":
            stack.append(self._rebuild(*self._take(2)))
        elif instruction == "BUILD":
            self._build(*self._take(1))
        elif instruction != "PROTO" or argument != 2:
            raise FormatError(f"its program has the instruction {instruction}, which torch.save does not write")

    def _take(self, count: int) -> list[Any]:
        taken = self._stack[-count:]
        if len(taken) < count or any(value is _MARK for value in taken):
            raise IndexError
        del self._stack[-count:]
        return taken

    def _to_mark(self) -> list[Any]:
        marks = (place for place in range(len(self._stack) - 1, -1, -1) if self._stack[place] is _MARK)
        place = next(marks, None)
        if place is None:
            raise IndexError
        taken = self._stack[place + 1 :]
        del self._stack[place:]
        return taken

    def _fill(self, instruction: str) -> None:
        """Put values into the list or table below them."""
        several = instruction.endswith("S")
        into_list = instruction.startswith("APPEND")
        values = self._to_mark() if several else self._take(1 if into_list else 2)
        target = self._stack[-1]
        if into_list:
            _demand(isinstance(target, list), "a list is filled that is none")
            target.extend(values)
            return
        _demand(isinstance(target, dict) and len(values) % 2 == 0, "a table is filled that is none")
        keys = values[::2]
        _demand(all(isinstance(key, str | int) for key in keys), "a table has keys that are not words")
        target.update(zip(keys, values[1::2], strict=True))

    def _name(self, argument: str) -> Name:
        name = Name(*argument.split(" ", 1))
        if name not in self._named:
            raise FormatError(
                f"it names {name}, which is no part of the authors' model; nothing of it was run. A file like this may "
                "be meant to do harm, or holds another model"
            )
        return name

    def _persistent(self, identity: Any) -> Any:
        """A row of numbers, or, in the older form, a class with its source, which is not looked at."""
        _demand(isinstance(identity, tuple) and len(identity) >= 4, "it refers to something outside in an unknown way")
        if identity[0] == "module" and isinstance(identity[1], Name) and identity[1] in self._classes:
            return identity[1]
        _demand(identity[0] == "storage" and len(identity) in (5, 6), "it refers to something outside, not to weights")
        _, kind, key, _, numel, *view = identity
        _demand(isinstance(kind, Name) and kind in _STORAGES, "its weights are not floating-point numbers")
        _demand(isinstance(key, str) and type(numel) is int and 0 <= numel <= MOST_BYTES, "its weights have no number")
        _demand(view in ([], [None]), "its weights share memory in a way of very old files; save it anew")
        storage = self.storages.setdefault(key, _Storage(_STORAGES[kind], numel))
        _demand((storage.dtype, storage.numel) == (_STORAGES[kind], numel), "the same weights are said to differ")
        return storage

    def _new(self, kind: Any, arguments: Any) -> Part:
        fits = isinstance(kind, Name) and kind in self._classes and arguments == ()
        _demand(fits, "it makes an object of something that is no class of the model")
        return Part(kind)

    def _rebuild(self, function: Any, arguments: Any) -> Any:
        """The few calls that a saved module consists of, each done here instead."""
        _demand(isinstance(function, Name) and isinstance(arguments, tuple), "it calls something that is no function")
        if function == _TABLE and arguments == ():
            return {}
        if function in _SETS and len(arguments) == 1 and isinstance(arguments[0], list):
            _demand(all(isinstance(item, str) for item in arguments[0]), "a set holds something else than words")
            return frozenset(arguments[0])
        if function == _PARAMETER and len(arguments) == 3 and isinstance(arguments[0], Stored):
            return arguments[0]
        if function == _TENSOR and len(arguments) in (6, 7):
            return _stored(*arguments[:4])
        raise FormatError(f"it calls {function} with something that torch.save does not give it; nothing of it was run")

    def _build(self, state: Any) -> None:
        part = self._stack[-1]
        if isinstance(part, dict) and isinstance(state, dict):
            return  # a state_dict's notes on its versions
        _demand(isinstance(part, Part), "it sets the state of something that is no part of the model")
        _demand(isinstance(state, dict) and all(isinstance(key, str) for key in state), "a part has no usable state")
        _demand(not part.state, "a part gets its state twice")
        part.state.update(state)


def _stored(storage: Any, offset: Any, shape: Any, strides: Any) -> Stored:
    whole = [offset, *_items(shape), *_items(strides)]
    _demand(isinstance(storage, _Storage) and all(type(number) is int for number in whole), "a tensor is not one")
    _demand(len(shape) == len(strides) <= 8 and min(whole) >= 0, "a tensor is not one")
    numel, last = 1, offset
    for length, stride in zip(shape, strides, strict=True):
        numel *= length
        last += (length - 1) * stride
    # As many numbers as there are, so that strides of 0 cannot make terabytes of four bytes.
    _demand(0 < numel <= storage.numel and last < storage.numel, "a tensor is empty, or reaches beyond its numbers")
    return Stored(storage, offset, shape, strides)


def _items(value: Any) -> Iterator[Any]:
    _demand(isinstance(value, tuple), "a tensor is not one")
    yield from value


def _demand(condition: bool, complaint: str) -> None:
    if not condition:
        raise FormatError(f"{complaint}; torch.save writes no such thing, and nothing of it was run")


def _sort(value: Any) -> str:
    return {dict: "table, such as a state_dict", Stored: "tensor", Name: "class or function"}.get(
        type(value), type(value).__name__
    )
