"""What this machine can do at most, measured: the limits that tasks are held against."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch

from cezsar.encoders.compute import computing, pick_device

DEVICE = pick_device()  # where tasks compute, and so the plain ways and rates of products


def heading() -> str:
    """What the table was measured on, and when."""
    cpu = platform.processor() or platform.machine()
    if (about := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in about.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    on = [f"{len(os.sched_getaffinity(0))} cores of {cpu}"]
    on += [torch.cuda.get_device_name()] if DEVICE == "cuda" else []
    return f"{date.today()}, {', '.join(on)}, torch {torch.__version__}, Python {platform.python_version()}"


def finished() -> None:
    """Wait for what was given to the device."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def best_s(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some runs, after one that is not counted: a limit is what can be had undisturbed."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        finished()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def product_rate(kind: torch.dtype, size: int = 3072) -> float:
    """Floating-point operations a second in a product of large square matrices, on the device."""
    one, two = (torch.randn(size, size).to(DEVICE, kind) for _ in range(2))
    with torch.inference_mode(), computing(DEVICE, "fp32"):
        return 2 * size**3 / best_s(lambda: one @ two)


def bandwidth(size: int = 1 << 29) -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return 2 * size / best_s(lambda: np.copyto(target, source))


def row_reads_s(rows: int, table_NS: torch.Tensor, rng: np.random.Generator) -> float:
    """Seconds to read so many random rows of a table on the device, doing nothing with them but adding them up."""
    indices = torch.from_numpy(rng.integers(len(table_NS), size=(rows // 64, 64))).to(DEVICE)
    table_NS = table_NS.to(DEVICE)
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
