"""A run from a classifier's rows: its closed form, its files, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import KernelPCA

from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.training.rows import FUSION, SHARPNESS, ood_distance_of, ridge_map, run_of_rows
from cezsar.training.runs import Run

K, D, S = 12, 7, 5


class Sentences:
    """A vector of its own for each text."""

    name, fingerprint, dim = "letters", "letters-1", S

    def encode(self, sentences: Any) -> np.ndarray:
        return np.stack([np.random.default_rng(list(text.encode())).normal(size=S) for text in sentences]).astype("f4")


class Frames:
    """An encoder of which only the head and the name are asked for."""

    name, fingerprint, dim, domain = "frames", "frames-1", D, "toy pictures"

    def __init__(self, unit_norm: bool = False) -> None:
        rng = np.random.default_rng(3)
        names = [f"thing {k}" for k in range(K)]
        self.object_head = LinearHead(names, ["what it is"] * K, rng.normal(size=(K, D)), unit_norm=unit_norm)


def test_the_ridge_map_is_where_the_loss_is_least() -> None:
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(K, D)).astype("f4"), rng.normal(size=(K, S)).astype("f4")
    solved = ridge_map(rows, targets, 0.5)

    def loss(m: np.ndarray) -> float:
        total = 0.5 * float((m**2).sum())
        for row, target in zip(rows - rows.mean(0), targets - targets.mean(0), strict=True):
            total += float(((row @ m - target) ** 2).sum())
        return total

    least = loss(solved)
    for _ in range(50):
        assert loss(solved + 0.01 * rng.normal(size=solved.shape)) > least


def test_the_run_embeds_by_its_closed_form(tmp_path: Path) -> None:
    encoder, sentences = Frames(), Sentences()
    run = run_of_rows(tmp_path / "run", encoder, sentences)  # type: ignore[arg-type]
    assert run.trained and Run.open(tmp_path / "run").config == run.config and run.ood_distance() is None
    assert run.config.object_rule == "names" and run.config.fusion == FUSION
    model, head = run.load_model(), encoder.object_head
    names, defined = (
        sentences.encode(texts).astype(float) for texts in (head.names, [f"{name} what it is" for name in head.names])
    )
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    defined /= np.linalg.norm(defined, axis=1, keepdims=True)
    embedded_by = kernel_pca_by_library(names, components=model.config.d_emb)
    clips = np.random.default_rng(1).normal(size=(2, 4, D)).astype("f4")
    with torch.inference_mode():
        visual = model.visual_embedding(torch.from_numpy(clips), torch.tensor([4, 2])).numpy()
        spoken = model.sentence_embedding(torch.from_numpy(defined.astype("f4"))).numpy()
    # A component's sign is arbitrary, an inner product is not; weights are kept as float16.
    np.testing.assert_allclose(spoken @ spoken.T, embedded_by(defined) @ embedded_by(defined).T, atol=0.01)
    targets = (embedded_by(names) + embedded_by(defined)) / 2
    mapped = ridge_map(head.weight, targets.astype("f4"))
    expected = np.stack([clip[:n].mean(0) @ mapped for clip, n in zip(clips, (4, 2), strict=True)])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(visual @ spoken.T, expected @ embedded_by(defined).T, atol=0.01)


def kernel_pca_by_library(names: np.ndarray, components: int) -> Callable[[np.ndarray], np.ndarray]:
    """Embed by scikit-learn's kernel PCA of the directions from the mean name."""
    center = names.mean(0)

    def directions(vectors: np.ndarray) -> np.ndarray:
        return (vectors - center) / np.linalg.norm(vectors - center, axis=1, keepdims=True)

    # ||u - v||² = 2 - 2 u·v on the sphere, so exp(b (u·v - 1)) is the Gaussian kernel of gamma b / 2.
    fitted = KernelPCA(components, kernel="rbf", gamma=SHARPNESS / 2).fit(directions(names))

    def embed(vectors: np.ndarray) -> np.ndarray:
        rows = fitted.transform(directions(vectors))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return embed


def test_what_has_no_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no classifier whose rows"):
        run_of_rows(tmp_path / "run", Frames(unit_norm=True), Sentences())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="above 0"):
        run_of_rows(tmp_path / "run", Frames(), Sentences(), ridge=0.0)  # type: ignore[arg-type]
    run_of_rows(tmp_path / "run", Frames(), Sentences())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="already holds a run"):
        run_of_rows(tmp_path / "run", Frames(), Sentences())  # type: ignore[arg-type]


def test_ordinary_clips_are_familiar_and_others_are_not() -> None:
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(3, 40))

    def clip() -> np.ndarray:
        return (rng.normal(size=(6, 3)) @ directions + 0.1 * rng.normal(size=(6, 40))).astype("f4")

    familiar = ood_distance_of([clip() for _ in range(20)])
    assert np.mean([familiar.distance(clip()) < 1 for _ in range(50)]) > 0.9
    assert familiar.distance(rng.normal(size=(6, 40)).astype("f4") * 3) > 2
    with pytest.raises(InputError, match="ten at least"):
        ood_distance_of([clip()] * 9)
