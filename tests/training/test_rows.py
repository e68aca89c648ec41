"""A run from a classifier's rows: its closed form, its files, and what it makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import KernelPCA

from cezsar.arrays import unit_rows
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
        names, weight = [f"thing {k}" for k in range(K)], np.random.default_rng(3).normal(size=(K, D))
        self.object_head = LinearHead(names, ["what it is"] * K, weight, unit_norm=unit_norm)


def test_the_ridge_map_is_where_the_loss_is_least() -> None:
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(K, D)).astype("f4"), rng.normal(size=(K, S)).astype("f4")
    solved = ridge_map(rows, targets, 0.5)

    def loss(m: np.ndarray) -> float:
        pairs = zip(rows - rows.mean(0), targets - targets.mean(0), strict=True)
        return 0.5 * float((m**2).sum()) + sum(float(((row @ m - target) ** 2).sum()) for row, target in pairs)

    assert all(loss(solved + 0.01 * rng.normal(size=solved.shape)) > loss(solved) for _ in range(50))


def test_the_run_embeds_by_its_closed_form(tmp_path: Path) -> None:
    run, head = run_of_rows(tmp_path / "run", Frames(), Sentences()), Frames().object_head
    assert run.trained and Run.open(tmp_path / "run").config == run.config and run.ood_distance() is None
    assert run.config.object_rule == "names" and run.config.fusion == FUSION
    model = run.load_model()
    texts = head.names, [f"{name} what it is" for name in head.names]
    names, defined = (unit_rows(Sentences().encode(each).astype(float)) for each in texts)
    # scikit-learn's kernel PCA of the directions from the mean name: ||u - v||² = 2 - 2 u·v on the sphere, so
    # exp(b (u·v - 1)) is the Gaussian kernel of gamma b / 2.
    center = names.mean(0)
    library = KernelPCA(model.config.d_emb, kernel="rbf", gamma=SHARPNESS / 2).fit(unit_rows(names - center))
    by_name, by_definition = (unit_rows(library.transform(unit_rows(each - center))) for each in (names, defined))
    clips = np.random.default_rng(1).normal(size=(2, 4, D)).astype("f4")
    with torch.inference_mode():
        visual = model.visual_embedding(torch.from_numpy(clips), torch.tensor([4, 2])).numpy()
        spoken = model.sentence_embedding(torch.from_numpy(defined.astype("f4"))).numpy()
    # A component's sign is arbitrary, an inner product is not; weights are kept as float16.
    np.testing.assert_allclose(spoken @ spoken.T, by_definition @ by_definition.T, atol=0.01)
    mapped = ridge_map(head.weight, ((by_name + by_definition) / 2).astype("f4"))
    expected = unit_rows(np.stack([clip[:n].mean(0) @ mapped for clip, n in zip(clips, (4, 2), strict=True)]))
    np.testing.assert_allclose(visual @ spoken.T, expected @ by_definition.T, atol=0.01)


def test_what_has_no_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no classifier whose rows"):
        run_of_rows(tmp_path / "run", Frames(unit_norm=True), Sentences())


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
