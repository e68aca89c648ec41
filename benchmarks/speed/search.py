"""The nearest of a million rows for each of a hundred queries, as clips for labels, or sentences for clips."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import drawn, machine
from benchmarks.speed.rows import Row
from cezsar.zeroshot.search import index_of, nearest

ROWS, WIDTH, QUERIES, K, PLAIN = 1_000_000, 384, 100, 10, 20_000


def plain_s(queries_QE: np.ndarray, rows_NE: np.ndarray) -> float:
    """Seconds of a row at a time, and of sorting."""
    started = time.perf_counter()
    products_NQ = [queries_QE @ row_E.astype(np.float32) for row_E in rows_NE[:PLAIN]]
    np.argsort(-np.array(products_NQ), axis=0)[:K]
    return (time.perf_counter() - started) * len(rows_NE) / min(PLAIN, len(rows_NE))


def measure(folder: Path, scale: float) -> Iterator[Row]:
    path, count = folder / "rows.npy", round(ROWS * scale)
    queries_QE = drawn.unit_rows(path, count, WIDTH, QUERIES)
    rows_NE = np.load(path, mmap_mode="r")
    size = f"{QUERIES} queries, {count:,} x {WIDTH} in float16"
    disk_s = machine.disk_read_s([path])
    products_s = 2 * QUERIES * rows_NE.size / machine.product_rate(torch.float32)
    limit_s, limit = max((disk_s, "reading the file"), (products_s, "float32 products"))
    machine.forget([path])
    started = time.perf_counter()
    found_Qk = nearest(queries_QE, rows_NE, K)[1]
    ours_s = time.perf_counter() - started
    yield Row(f"the {K} nearest", size, ours_s, plain_s(queries_QE, rows_NE), limit_s, limit, at_least=5, at_most=4,
              at_most_gb=1.5)  # fmt: skip
    started = time.perf_counter()
    index = index_of(rows_NE, folder / "index.faiss")
    made_s = time.perf_counter() - started
    ask, one_QE = partial(nearest, rows_NE=rows_NE, k=K), queries_QE[:1]
    near_Qk = ask(queries_QE, index=index)[1]
    recall = np.mean([len(set(one) & set(other)) / K for one, other in zip(found_Qk, near_Qk, strict=True)])
    one_s = [machine.best_s(partial(ask, one_QE, index=each), 3) for each in (None, index)]
    what = f"recall@{K} {recall:.3f}; index made in {made_s:.1f} s; a query alone {{:.3f}} s, exact {{:.3f}} s"
    faiss_s = machine.best_s(partial(ask, queries_QE, index=index), 3)
    yield Row("the same by FAISS, approximate", f"{size}: {what.format(*one_s[::-1])}", faiss_s, ours_s)
