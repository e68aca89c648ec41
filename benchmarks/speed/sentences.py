"""Sentence vectors, the second time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.speed import drawn
from benchmarks.speed.rows import Row
from cezsar.data.sentence_cache import SentenceCache
from cezsar.encoders.sentences import load_sentence_encoder

SENTENCES, A_VIDEO, PLAIN = 54_000, 4, 600


class Drawn:
    """Vectors that cost nothing to compute, so that the cache is filled quickly."""

    name, dim, fingerprint = "drawn", 384, "drawn"

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self.vectors = vectors

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        return np.stack([self.vectors[sentence] for sentence in sentences])


def measure(folder: Path, scale: float) -> Iterator[Row]:
    count = round(SENTENCES * scale)
    texts = [f"A person lifts object number {index} and puts it back on the table slowly." for index in range(count)]
    vectors = drawn.sentence_vectors(-(-count // A_VIDEO), A_VIDEO)[:count]
    SentenceCache(Drawn(dict(zip(texts, vectors, strict=True))), folder).encode(texts)
    started = time.perf_counter()
    found = SentenceCache(Drawn({}), folder).encode(texts)
    ours_s = time.perf_counter() - started
    assert np.array_equal(found, vectors)
    encoder = load_sentence_encoder("minilm")
    encoder.encode(texts[:10])
    started = time.perf_counter()
    for text in texts[:PLAIN]:
        encoder.encode([text])
    plain_s = (time.perf_counter() - started) / PLAIN * count
    yield Row("sentence vectors, second time", f"{count:,} sentences", ours_s, plain_s, at_least=500, at_most_s=1)
