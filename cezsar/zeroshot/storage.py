"""One file for arrays and what they are: safetensors, whose description is JSON in UTF-8, kept as one more array.

The header of a safetensors file is bounded; the names of 242,658 clips are better kept beside the numbers. Nothing in
such a file can run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cezsar.atomic import replacing
from cezsar.errors import FormatError, InputError

Array = npt.NDArray[Any]

DESCRIPTION = "description"
VERSION = "1"


def write_arrays(path: str | Path, kind: str, arrays: Mapping[str, Array], description: Mapping[str, Any]) -> None:
    """Write named arrays and a JSON-able description to one file of a kind ("embeddings", ...), whole or not at all."""
    text = np.frombuffer(json.dumps(description, allow_nan=False).encode("ascii"), np.uint8)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with replacing(path) as temporary:
        save_file({**contiguous, DESCRIPTION: text}, temporary, {"cezsar": kind, "version": VERSION})


def read_arrays(path: str | Path, kind: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and description that `write_arrays` wrote.

    Raises:
        InputError: there is no such file, or it cannot be opened.
        FormatError: it is damaged, or holds something else than `kind`.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            found = file.metadata() or {}
            if (found.get("cezsar"), found.get("version")) != (kind, VERSION):
                said = f"{found.get('cezsar', 'something else')}, version {found.get('version', 'unknown')}"
                raise FormatError(f"{path} should hold {kind}, version {VERSION}, and holds {said}; make it again")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
        description = json.loads(arrays.pop(DESCRIPTION).tobytes())
    except FormatError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; check the path") from error
    except (SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise FormatError(f"{path} is damaged or no safetensors file ({error}); make it again") from error
    if not isinstance(description, dict):
        raise FormatError(f"{path} is damaged: its description is no object; make it again")
    return arrays, description
