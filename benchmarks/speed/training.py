"""Training with the triplet loss (Eq. 7): triplets a second, the loss that is reached, and memory of a large store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import drawn, machine
from benchmarks.speed.rows import Row
from cezsar.config import MiningConfig, ModelConfig
from cezsar.data.features import FeatureStore
from cezsar.model import CEZSAR
from cezsar.training.loop import train
from cezsar.training.mining import mine
from cezsar.training.triplets import Triplets

VIDEOS, SECONDS, WIDTH, A_VIDEO, POSITIVES = 1_600, 12, 4096, 2, 3
PLAIN_TRIPLETS, PLAIN_BATCH, MARGIN = 1_500, 1, 1.0


def triplets_of(store: FeatureStore, ids: list[str], seconds: int, rng: np.random.Generator) -> Triplets:
    """Two sub-clips of ten of the seconds of each video, each with three positives of ten negatives."""
    vectors = drawn.sentence_vectors(len(ids), POSITIVES)
    video_M = np.repeat(np.arange(len(ids)), A_VIDEO)
    positives_MP = POSITIVES * video_M[:, None] + np.arange(POSITIVES)
    settings = MiningConfig()
    negatives_MPn, _ = mine(positives_MP, video_M, vectors, np.repeat(np.arange(len(ids)), POSITIVES), rng, settings)
    rows_M2 = rng.integers(seconds - 9, size=(len(video_M), 1)) + np.array([0, 10])
    encoders = {
        "feature_encoder": {key: store.provenance[key] for key in ("encoder", "fingerprint", "dim")},
        "sentence_encoder": {"name": "drawn", "fingerprint": "drawn", "dim": vectors.shape[1]},
    }
    whole = (video_M, rows_M2, positives_MP, negatives_MPn)
    video_M, rows_M2, positives_MP, negatives_MPn = (array.astype(np.int32) for array in whole)
    texts = [f"sentence {index}" for index in range(len(vectors))]
    return Triplets(ids, video_M, rows_M2, texts, vectors, positives_MP, negatives_MPn, encoders)


def plain(files: list[Path], triplets: Triplets, chosen: np.ndarray) -> None:
    """A triplet at a time: its video's file loaded whole, its three embeddings, its loss, a step."""
    torch.manual_seed(0)
    model = CEZSAR(ModelConfig(WIDTH, triplets.vectors_NS.shape[1])).train().to(machine.DEVICE)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4)
    vectors_NS = torch.from_numpy(triplets.vectors_NS).to(machine.DEVICE)
    for clip, column, rank in chosen:
        first, stop = triplets.rows_M2[clip]
        features_1TD = torch.from_numpy(np.load(files[triplets.video_M[clip]]))[None, first:stop]
        lengths_1 = torch.tensor([stop - first], device=machine.DEVICE)
        visual_1E = model.visual_embedding(features_1TD.to(machine.DEVICE), lengths_1)
        near_1E = model.sentence_embedding(vectors_NS[triplets.positives_MP[clip, column]])[None]
        far_1E = model.sentence_embedding(vectors_NS[triplets.negatives_MPn[clip, column, rank]])[None]
        loss = torch.nn.functional.triplet_margin_loss(visual_1E, near_1E, far_1E, margin=MARGIN)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def measure(folder: Path, scale: float) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    store = drawn.store(folder / "store", round(VIDEOS * scale), SECONDS, WIDTH)
    triplets = triplets_of(store, store.ids, SECONDS, rng)
    started = time.perf_counter()
    run = train(triplets, store, folder / "run", training={"epochs": 2, "validation": 0.02})
    lines = [line for line in run.history() if line["kind"] == "steps"]
    ours_s = len(triplets) / np.median([line["triplets_per_s"] for line in lines])
    print(f"whole of two epochs: {time.perf_counter() - started:.1f} s, an epoch's steps {ours_s:.1f} s", flush=True)
    files = drawn.files(store, folder / "files", store.ids)
    chosen = np.stack(np.nonzero(triplets.negatives_MPn >= 0), axis=1)
    chosen = chosen[rng.permutation(len(chosen))[:PLAIN_TRIPLETS]]
    plain(files, triplets, chosen[:50])
    started = time.perf_counter()
    plain(files, triplets, chosen)
    plain_s = (time.perf_counter() - started) / len(chosen) * len(triplets)
    config = run.load_model().config
    per_second = WIDTH * config.d_model + 4 * config.d_model**2 + 2 * config.d_model * config.ffn
    sentences = POSITIVES * 11 * config.sentence_dim * config.d_emb
    operations = 3 * 2 * (10 * per_second + sentences)  # forward, and twice as much backward
    kind = torch.bfloat16 if run.record()["precision"] == "bf16" else torch.float32
    limit_s = len(triplets.video_M) * operations / machine.product_rate(kind)
    yield Row(
        "training", f"an epoch of {len(triplets):,} triplets, {WIDTH}-d features read from a store", ours_s, plain_s,
        limit_s, f"{kind} products".removeprefix("torch."), at_least=25, at_most=2.5,
    )  # fmt: skip
