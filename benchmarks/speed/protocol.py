"""The 50-run protocol of UCF-101, from a feature store to accuracies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import drawn, machine
from benchmarks.speed.rows import Row
from cezsar.config import ModelConfig
from cezsar.data.datasets import Dataset
from cezsar.data.sentence_cache import Encoder
from cezsar.model import CEZSAR
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import JointSpace, embed_dataset

CLIPS, SECONDS, WIDTH, CLASSES, RUNS, TESTED = 13_320, 16, 4096, 101, 50, 50
PLAIN_CLIPS = 300


class Words:
    """A sentence encoder that costs nothing: a row drawn for each sentence."""

    name, fingerprint, dim = "drawn", "drawn", 384

    def encode(self, sentences: list[str]) -> np.ndarray:
        return np.stack([np.random.default_rng(len(text) + ord(text[-1])).standard_normal(384, np.float32)
                         for text in sentences])  # fmt: skip


def plain(model: CEZSAR, files: list[Path], prototypes_CE: torch.Tensor) -> list[int]:
    """A file a video, loaded whole; one clip at a time, float32; the best class by cosine, of all there are."""
    best = []
    for path in files:
        features_1TD = torch.from_numpy(np.load(path))[None, : SECONDS - 1]
        with torch.no_grad():
            lengths_1 = torch.tensor([features_1TD.shape[1]], device=machine.DEVICE)
            visual_E = model.visual_embedding(features_1TD.to(machine.DEVICE), lengths_1)[0]
        cosines = [torch.nn.functional.cosine_similarity(visual_E, each, dim=0) for each in prototypes_CE]
        best.append(int(torch.stack(cosines).argmax()))
    return best


def measure(folder: Path, scale: float) -> Iterator[Row]:
    clips = round(CLIPS * scale)
    store = drawn.store(folder / "ucf", clips, SECONDS, WIDTH, CLASSES)
    torch.manual_seed(0)
    model = CEZSAR(ModelConfig(WIDTH, 384)).eval().to(machine.DEVICE)
    words: Encoder = Words()
    names = sorted(set(store.labels.values()))
    dataset = Dataset("drawn", store.labels, {name: [name] for name in names})
    protocol = random_classes(names, TESTED, RUNS)

    def ours() -> None:
        embedded = embed_dataset(JointSpace(model, words), store, dataset, dataset.descriptions)
        evaluate(Scores.from_embeddings(embedded.embeddings), protocol)

    started = time.perf_counter()
    ours()
    ours_s = time.perf_counter() - started
    with torch.inference_mode():
        prototypes_CE = model.sentence_embedding(torch.from_numpy(words.encode(names)).to(machine.DEVICE))
    files = drawn.files(store, folder / "files", store.ids[:PLAIN_CLIPS])
    plain(model, files[:10], prototypes_CE)
    started = time.perf_counter()
    plain(model, files, prototypes_CE[:TESTED])
    plain_s = (time.perf_counter() - started) / len(files) * clips * RUNS
    config, tokens = model.config, model.config.max_seconds
    per_second = WIDTH * config.d_model + 4 * config.d_model**2 + 2 * config.d_model * config.ffn
    operations = 2 * tokens * (per_second + 2 * tokens * config.d_model)
    limit_s = clips * operations / machine.product_rate(torch.float32)
    yield Row(
        "50-run protocol", f"{clips:,} clips x {SECONDS} s x {WIDTH}, {CLASSES} classes, from a store", ours_s, plain_s,
        limit_s, "float32 products of the embedding pass", at_least=100, at_most=2,
    )  # fmt: skip
