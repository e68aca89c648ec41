"""What tasks work on: feature stores of any size, and sentences, drawn at random with a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cezsar.data.features import FeatureStore, StoreWriter

ENCODER = {"encoder": "drawn", "fingerprint": "drawn", "fps": 1.0, "domain": "nothing"}


def store(folder: Path, clips: int, seconds: int, width: int, classes: int = 1, seed: int = 0) -> FeatureStore:
    """Features as those of a ReLU network: not negative, sparse. Clips are windows of one long table, which is as much
    work to read as any, and quick to draw."""
    rng = np.random.default_rng(seed)
    table = np.maximum(rng.standard_normal((4096 + seconds, width), np.float32), 0).astype(np.float16)
    with StoreWriter(folder, {**ENCODER, "dim": width}) as writer:
        for clip in range(clips):
            first = int(rng.integers(4096))
            writer.add(f"clip {clip:06d}", table[first : first + seconds], f"class {clip % classes:03d}")
    return FeatureStore(folder)


def files(store: FeatureStore, folder: Path, ids: list[str]) -> list[Path]:
    """The same features as research code keeps them: a float32 file a video."""
    folder.mkdir(exist_ok=True)
    for clip in ids:
        np.save(folder / f"{clip}.npy", store.features(clip))
    return [folder / f"{clip}.npy" for clip in ids]


def sentence_vectors(videos: int, each: int = 4, width: int = 384, seed: int = 0) -> np.ndarray:
    """Unit vectors (videos x each, width) float32 of sentences that describe videos, as far apart as MiniLM's of
    ActivityNet Captions: a fifth of all pairs are below a cosine distance of 0.8, those of one video are closer."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((60, width), np.float32)
    about = rng.standard_normal((videos, 60), np.float32).repeat(each, axis=0)
    own = rng.standard_normal((videos * each, 60), np.float32)
    vectors = (0.7 * about + 0.7 * own + 0.31) @ directions
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def unit_rows(path: Path, count: int, width: int, queries: int, seed: int = 0) -> np.ndarray:
    """Write (count, width) float16 unit rows, a hundred about each centre; some further ones. Those nearest to each
    other have a cosine of 0.8, the tenth nearest 0.74."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((60, width), np.float32)
    centres = rng.standard_normal((-(-count // 100), 60), np.float32)

    def some(rows: int) -> np.ndarray:
        own = rng.standard_normal((rows, 60), np.float32)
        vectors = (0.8 * centres[rng.integers(len(centres), size=rows)] + 0.6 * own + 0.31) @ directions
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    np.lib.format.open_memmap(path, "w+", np.float16, (count, width))
    for first in range(0, count, 1 << 15):
        block = some(min(1 << 15, count - first))
        np.lib.format.open_memmap(path, "r+")[first : first + len(block)] = block  # opened anew: it leaves memory
    return some(queries)
