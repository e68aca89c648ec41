"""Types of arrays, rows of length 1, and arrays in files of NumPy."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cezsar import archives

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_F = TypeVar("_F", bound=np.floating[Any])


def unit_rows(rows_NE: npt.NDArray[_F]) -> npt.NDArray[_F]:
    """Rows of length 1, in their own precision; a row of zeros stays. float32 holds no squares of numbers above 1e19 or
    below 1e-19: give float64 where these may occur."""
    lengths_N1 = np.linalg.norm(rows_NE, axis=1, keepdims=True)
    lengths_N1[lengths_N1 == 0] = 1
    scaled: npt.NDArray[_F] = rows_NE / lengths_N1
    return scaled


MOST_BYTES = 8 << 30  # of the arrays of a file, unpacked


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file. Raises the system's `OSError`, and `ValueError` for whatever else is wrong with it:
    nothing is unpickled, and no member is larger than it says."""
    try:
        with archives.opened(path) as archive:
            if (size := sum(member.file_size for member in archive.infolist())) > MOST_BYTES:
                raise ValueError(f"its arrays have {size:,} bytes")
            arrays = {}
            for member in archive.infolist():
                with archive.open(member) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                if array.dtype.kind not in "biufS":  # NumPy's own text may hold what is no character
                    raise ValueError(f"it holds {array.dtype}, and numbers or bytes are read")
                arrays[member.filename.removesuffix(".npy")] = array
            return arrays
    except (OSError, ValueError):
        raise
    except Exception as error:  # damage shows itself in many ways: of archives, of their packing, of NumPy's headers
        raise ValueError(str(error)) from error
