"""The nearest of very many: labels among a million sentences, or clips that show something among ten million.

Exact by default, in blocks, so that memory stays flat however many rows there are. A FAISS index (`pip install
"cezsar[faiss]"`) answers in a fraction of the time and may miss some: `benchmarks/search.py` tells how many.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cezsar.arrays import FloatArray, IntArray
from cezsar.errors import CezsarError, InputError

BLOCK_BYTES = 64 << 20  # of rows that are compared at once
PROBED = 32  # cells of an index that are looked into


def nearest(
    queries_QE: FloatArray, rows_NE: FloatArray | np.memmap[Any, Any], k: int, index: Any = None
) -> tuple[FloatArray, IntArray]:
    """Inner products and indices, (Q, k) each, of the k rows that each query has the greatest inner product with, best
    first; unit rows make it cosine similarity. `rows_NE` may be a memory map, float32 or float16. With an `index` of
    the same rows its answer is taken. Raises `InputError` where k is not from 1 to N, or the widths differ."""
    if not 1 <= k <= len(rows_NE):
        raise InputError(f"the {k:,} nearest of {len(rows_NE):,} were asked for; choose from 1 to {len(rows_NE):,}")
    if queries_QE.shape[1] != rows_NE.shape[1]:
        raise InputError(f"queries have {queries_QE.shape[1]} columns, rows {rows_NE.shape[1]}: not of one space")
    if index is not None:
        products_Qk, found_Qk = index.search(np.ascontiguousarray(queries_QE, np.float32), k)
        return products_Qk, found_Qk
    queries = torch.from_numpy(np.ascontiguousarray(queries_QE, np.float32))
    best = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    block = max(k, BLOCK_BYTES // (4 * max(rows_NE.shape[1], len(queries))))
    for first in range(0, len(rows_NE), block):
        rows = torch.from_numpy(np.array(rows_NE[first : first + block], np.float32))
        products = queries @ rows.T
        values, places = products.topk(min(k, len(rows)), dim=1)
        values, places = torch.cat([best[0], values], 1), torch.cat([best[1], places + first], 1)
        chosen, order = values.topk(min(k, values.shape[1]), dim=1)
        best = chosen, places.gather(1, order)
    return best[0].numpy(), best[1].numpy()


def index_of(rows_NE: FloatArray | np.memmap[Any, Any], path: Path | None = None) -> Any:
    """A FAISS index of rows, cells of which hold what lies close together; kept at `path`, and read from there where it
    is there already. Raises `CezsarError` where FAISS is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise CezsarError('FAISS is not installed; install it with: pip install "cezsar[faiss]"') from error
    index: Any
    if path is not None and path.is_file():
        index = faiss.read_index(str(path))
    else:
        count, width = rows_NE.shape
        cells = max(1, int(4 * count**0.5))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
        rng = np.random.default_rng(0)
        sample = np.sort(rng.choice(count, min(count, 40 * cells), replace=False))
        index.train(np.asarray(rows_NE[sample], np.float32))
        for first in range(0, count, 1 << 16):
            index.add(np.asarray(rows_NE[first : first + (1 << 16)], np.float32))
        if path is not None:
            faiss.write_index(index, str(path))
    index.nprobe = PROBED
    return index
