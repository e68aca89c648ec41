"""What this machine can do at most, measured: the limits that tasks are held against."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def best_s(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some runs, after one that is not counted: a limit is what can be had undisturbed."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def product_rate(kind: torch.dtype, size: int = 3072) -> float:
    """Floating-point operations a second in a product of large square matrices."""
    one, two = (torch.randn(size, size).to(kind) for _ in range(2))
    with torch.inference_mode():
        return 2 * size**3 / best_s(lambda: one @ two)


def bandwidth(size: int = 1 << 29) -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return 2 * size / best_s(lambda: np.copyto(target, source))


def row_reads_s(rows: int, table_NS: torch.Tensor, rng: np.random.Generator) -> float:
    """Seconds to read so many random rows of a table, on all cores, doing nothing with them but adding them up."""
    indices = torch.from_numpy(rng.integers(len(table_NS), size=(rows // 64, 64)))
    return best_s(lambda: torch.nn.functional.embedding_bag(indices, table_NS, mode="sum"), 3)


def disk_read_s(files: list[Path]) -> float:
    """Seconds to read files through, which no cache holds as far as the system can be asked to forget them."""
    forget(files)
    started, block = time.perf_counter(), bytearray(1 << 24)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass
    return time.perf_counter() - started


def forget(files: list[Path]) -> None:
    """Ask the system to drop what it keeps of these files in memory."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
