"""A model of pictures and words with another network's objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cezsar.encoders import create, joined, present
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.joined import JoinedEncoder
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling
from cezsar.zeroshot.spaces import ImageTextSpace


class Words:
    """Ranks: a row is the frame's mean colour."""

    name, dim, visual_dim, fingerprint, domain, in_decoder = "words", 3, 3, "w", "web pictures", False
    sampling, prompts, trust, object_head = Sampling(), ("{}",), "", None

    def text_vectors(self, sentences: Any) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[: len(sentences)]

    def encode(self, frames: Any) -> np.ndarray:
        return np.array([frame.image.mean((0, 1)) for frame in frames], np.float32)


@pytest.fixture(scope="module")
def efficientnet() -> FrameEncoder:
    return create("efficientnet", device="cpu")


def test_rows_stand_side_by_side(
    efficientnet: FrameEncoder, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined, "BLOCK", 2)
    both = JoinedEncoder("words+efficientnet", Words(), efficientnet)
    rows = both.encode(iter(frames))
    seen, named = Words().encode(frames), efficientnet.encode(frames)
    np.testing.assert_allclose(rows, np.hstack([seen, named]), atol=1e-4)
    assert isinstance(both, FrameEncoder) and both.dim == 1283 and both.encode([]).shape == (0, 1283)
    assert efficientnet.object_head is not None
    np.testing.assert_allclose(both.object_head.logits(rows), efficientnet.object_head.logits(named), atol=1e-3)
    expected = np.mean([row / np.linalg.norm(row) for row in seen], axis=0)
    np.testing.assert_allclose(ImageTextSpace(both).clips([rows])[0], expected, rtol=1e-5)


def test_what_does_not_join_is_refused(efficientnet: FrameEncoder) -> None:
    with pytest.raises(InputError, match="the second a classifier"):
        JoinedEncoder("both", efficientnet, efficientnet)
    with pytest.raises(InputError, match="the second a classifier"):
        JoinedEncoder("both", Words(), Words())  # type: ignore[arg-type]
    words = Words()
    words.sampling = Sampling(fps=2.0)
    with pytest.raises(InputError, match="different rates"):
        JoinedEncoder("both", words, efficientnet)


def test_by_name() -> None:
    assert present("efficientnet+efficientnet") and not present("clip:clip-ViT-B-32+efficientnet")
    with pytest.raises(InputError, match="the second a classifier"):
        create("efficientnet+efficientnet")
