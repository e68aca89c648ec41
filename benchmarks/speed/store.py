"""A store of 240,000 clips: opened, read through, embedded, trained on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import drawn, machine
from benchmarks.speed.protocol import Words
from benchmarks.speed.rows import Row
from benchmarks.speed.training import triplets_of
from cezsar.config import ModelConfig
from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.model import CEZSAR
from cezsar.training.loop import train
from cezsar.zeroshot.spaces import JointSpace, embed_dataset

CLIPS, SECONDS, WIDTH, CLASSES, TRAINED = 240_000, 10, 1280, 400, 3_000


def measure(folder: Path, scale: float) -> Iterator[Row]:
    clips = round(CLIPS * scale)
    drawn.store(folder, clips, SECONDS, WIDTH, CLASSES)
    size = f"{clips:,} clips x {SECONDS} s x {WIDTH}"
    shards = sorted(folder.glob("shard-*.h5"))
    machine.forget(shards)
    started = time.perf_counter()
    store = FeatureStore(folder)
    assert len(store) == clips and len(store.labels) == clips
    yield Row("opening a store", size, time.perf_counter() - started, at_most_s=2, at_most_gb=2)
    disk_s = machine.disk_read_s(shards)
    machine.forget(shards)
    started = time.perf_counter()
    for _ in store.blocks(store.ids):
        pass
    yield Row("reading a store", size, time.perf_counter() - started, limit_s=disk_s, limit="reading the files",
              at_most=1.5, at_most_gb=2)  # fmt: skip
    torch.manual_seed(0)
    model = CEZSAR(ModelConfig(WIDTH, 384, recipe="kernel")).eval().to(machine.DEVICE)
    names = sorted(set(store.labels.values()))
    dataset = Dataset("drawn", store.labels, {name: [name] for name in names})
    machine.forget(shards)
    started = time.perf_counter()
    embed_dataset(JointSpace(model, Words()), store, dataset, dataset.descriptions)
    yield Row("embedding a store", f"{size}, by a run like `photographs`", time.perf_counter() - started,
              limit_s=disk_s, limit="reading the files", at_most=2, at_most_gb=2)  # fmt: skip
    rng = np.random.default_rng(0)
    chosen = rng.choice(store.ids, min(TRAINED, clips), replace=False).tolist()
    triplets = triplets_of(store, chosen, SECONDS, rng)
    machine.forget(shards)
    started = time.perf_counter()
    train(triplets, store, folder / "run", training={"epochs": 1, "validation": 0.02})
    yield Row("training on a store", f"{size}; an epoch of {len(triplets):,} triplets of {len(chosen):,} of them",
              time.perf_counter() - started, at_most_gb=2)  # fmt: skip
