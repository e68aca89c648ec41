"""A run from a classifier's rows: its closed form, its files, and what it makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.training.rows import FUSION, SCALE, familiar_with, ridge_map, run_of_rows
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
    with pytest.raises(InputError, match="above 0"):
        ridge_map(rows, targets, 0.0)


def test_the_run_embeds_by_its_closed_form(tmp_path: Path) -> None:
    encoder, sentences = Frames(), Sentences()
    run = run_of_rows(tmp_path / "run", encoder, sentences)  # type: ignore[arg-type]
    assert run.trained and Run.open(tmp_path / "run").config == run.config and run.familiarity() is None
    assert run.config.object_rule == "names" and run.config.fusion == FUSION
    model, head = run.load_model(), encoder.object_head
    names = sentences.encode(head.names)
    origin = np.mean([vector / np.linalg.norm(vector) for vector in names], axis=0)
    told = sentences.encode([f"{name} what it is" for name in head.names])
    told /= np.linalg.norm(told, axis=1, keepdims=True)
    clips = np.random.default_rng(1).normal(size=(2, 4, D)).astype("f4")
    with torch.inference_mode():
        visual = model.visual_embedding(torch.from_numpy(clips), torch.tensor([4, 2])).numpy()
        spoken = model.sentence_embedding(torch.from_numpy(told)).numpy()
    expected = [
        SCALE * clip[:seconds].mean(0) @ ridge_map(head.weight, told)
        for clip, seconds in zip(clips, (4, 2), strict=True)
    ]
    np.testing.assert_allclose(visual, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(spoken, told - origin, atol=1e-6)


def test_what_has_no_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no classifier whose rows"):
        run_of_rows(tmp_path / "run", Frames(unit_norm=True), Sentences())  # type: ignore[arg-type]
    run_of_rows(tmp_path / "run", Frames(), Sentences())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="already holds a run"):
        run_of_rows(tmp_path / "run", Frames(), Sentences())  # type: ignore[arg-type]


def test_ordinary_clips_are_familiar_and_others_are_not() -> None:
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(3, 40))

    def clip() -> np.ndarray:
        return (rng.normal(size=(6, 3)) @ directions + 0.1 * rng.normal(size=(6, 40))).astype("f4")

    familiar = familiar_with([clip() for _ in range(20)])
    assert np.mean([familiar.distance(clip()) < 1 for _ in range(50)]) > 0.9
    assert familiar.distance(rng.normal(size=(6, 40)).astype("f4") * 3) > 2
    with pytest.raises(InputError, match="ten at least"):
        familiar_with([clip()] * 9)
