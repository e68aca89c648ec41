"""Types of arrays, and rows of length 1."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

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
