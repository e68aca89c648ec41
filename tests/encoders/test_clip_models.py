"""A tiny CLIP with random weights, compared with SentenceTransformer called directly."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cezsar.encoders import clip_models, create, present
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.clip_models import ClipEncoder
from cezsar.encoders.sentences import minilm_folder
from cezsar.errors import FormatError, InputError, MissingWeightsError
from cezsar.video import Frame


@pytest.fixture(scope="module")
def encoder(clip_folder: Path) -> ClipEncoder:
    made = create(f"clip:{clip_folder}", device="cpu")
    assert isinstance(made, ClipEncoder)
    return made


@pytest.fixture(scope="module")
def directly(clip_folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(clip_folder), device="cpu")


def test_frames_and_sentences_are_sentence_transformers_own(
    encoder: ClipEncoder, directly: Any, frames: list[Frame]
) -> None:
    features = encoder.encode(iter(frames))
    assert isinstance(encoder, FrameEncoder) and features.shape == (5, 16) and features.dtype == np.float32
    np.testing.assert_allclose(features, directly.encode([Image.fromarray(frame.image) for frame in frames]), atol=1e-5)
    texts = ["a photo of a cat.", "running " * 60, "dog"]
    np.testing.assert_allclose(encoder.text_vectors(texts), directly.encode(texts), atol=1e-5)
    assert encoder.text_vectors([]).shape == encoder.encode([]).shape == (0, 16)


def test_objects_are_scaled_cosines_with_the_names(encoder: ClipEncoder, directly: Any, frames: list[Frame]) -> None:
    head = encoder.head_for(["cat", "dog"], ["a feline", "a canine"])
    logits = head.logits(encoder.encode(frames))
    scale = float(directly.state_dict()["0.model.logit_scale"].exp())
    for t, frame in enumerate(frames):
        image = directly.encode([Image.fromarray(frame.image)])[0]
        for k, name in enumerate(["cat", "dog"]):
            text = directly.encode([f"a photo of a {name}."])[0]
            cosine = image @ text / (image @ image) ** 0.5 / (text @ text) ** 0.5
            assert logits[t, k] == pytest.approx(scale * cosine, rel=1e-4)


def test_the_default_objects_are_imagenets(encoder: ClipEncoder) -> None:
    head = encoder.object_head
    assert head is not None and (len(head.names), head.names[0]) == (1000, "tench")


def test_a_model_without_a_scale_gets_clips(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = ClipEncoder("bare", encoder.model, device="cpu")
    monkeypatch.setattr(bare.model, "state_dict", dict)
    assert bare.scale == clip_models.DEFAULT_SCALE


def test_fingerprint_follows_content_and_not_the_folder(
    encoder: ClipEncoder, clip_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(clip_folder, tmp_path / "home" / "models" / "tiny-clip")
    assert present("clip:tiny-clip") and not present("clip:other-clip")
    found = create("clip:tiny-clip", device="cpu")
    given = create("clip:other-clip", weights=tmp_path / "home" / "models" / "tiny-clip", device="cpu")
    assert found.fingerprint == given.fingerprint == encoder.fingerprint
    config = tmp_path / "home" / "models" / "tiny-clip" / "processor_config.json"
    config.write_text(config.read_text().replace("0.48145466", "0.5"))
    assert create("clip:tiny-clip", device="cpu").fingerprint != encoder.fingerprint


def test_what_is_no_image_text_model_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model of images and text"):
        create(f"clip:{minilm_folder()}", device="cpu")
    with pytest.raises(InputError, match="folder"):
        create("clip:clip-ViT-B-32", weights=clip_folder / "model.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="empty"):
        create(f"clip:{tmp_path / 'empty'}", device="cpu")


def test_a_missing_model_says_what_to_do() -> None:
    with pytest.raises(MissingWeightsError, match=r"0\.6 GB.*cezsar fetch clip:clip-ViT-B-32"):
        create("clip:clip-ViT-B-32")


def test_text_that_is_none_is_refused(encoder: ClipEncoder) -> None:
    with pytest.raises(InputError, match="int"):
        encoder.text_vectors(["a", 3])  # type: ignore[list-item]  # the mistake under test
