"""A tiny CLIP with random weights, compared with SentenceTransformer called directly."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cezsar.encoders import create, image_text, present
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
    assert bare.scale == image_text.DEFAULT_SCALE


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


@pytest.fixture(scope="module")
def siglip_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small SigLIP models with random weights, saved by SentenceTransformer: the first kind's tokenizer cleans text by
    itself, the second kind's does not."""
    import sentencepiece
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import GemmaTokenizer, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor
    from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

    root = tmp_path_factory.mktemp("siglip")
    text = ["a video of a person juggling balls, a photo of a cat, a dog runs fast and throws it"]
    with (root / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text * 5), model_writer=file, model_type="char", vocab_size=40,
            hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *map(chr, range(33, 127))]
    names = ["input_ids"]  # as the hub's tokenizers say: padding is read, no mask hides it
    tokenizers: dict[str, Any] = {
        "siglip": SiglipTokenizer(str(root / "spiece.model"), model_input_names=names),
        "siglip2": GemmaTokenizer(
            vocab={token: index for index, token in enumerate(known)}, merges=[], padding_side="right",
            model_input_names=names,
        ),
    }  # fmt: skip
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    for kind, tokenizer in tokenizers.items():
        torch.manual_seed(4)
        text = {**tower, "vocab_size": len(tokenizer), "projection_size": 16, "bos_token_id": None, "eos_token_id": 1}
        vision = {**tower, "image_size": 32, "patch_size": 8}
        SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(root / "parts")
        images = SiglipImageProcessor(size={"height": 32, "width": 32})
        SiglipProcessor(images, tokenizer).save_pretrained(root / "parts")
        SentenceTransformer(str(root / "parts"), device="cpu").save(str(root / kind))
        shutil.rmtree(root / "parts")
    return {kind: root / kind for kind in tokenizers}


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_siglip_reads_plain_words_padded_to_its_length(
    kind: str, siglip_folders: dict[str, Path], frames: list[Frame]
) -> None:
    """As transformers does when told padding="max_length"; sentence-transformers alone gives other vectors."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer, SiglipImageProcessor, SiglipModel

    folder = siglip_folders[kind]
    made = create(f"clip:{folder}", device="cpu")
    assert isinstance(made, ClipEncoder)
    model = SiglipModel.from_pretrained(folder).eval()
    plain = ["a person juggling balls", "it runs fast " * 30, "dog"]
    tokens = AutoTokenizer.from_pretrained(folder)(
        plain, padding="max_length", max_length=64, truncation=True, return_tensors="pt"
    )
    pictures = SiglipImageProcessor.from_pretrained(folder)([frame.image for frame in frames], return_tensors="pt")
    assert list(tokens) == ["input_ids"]
    with torch.inference_mode():
        expected = model.get_text_features(**tokens).pooler_output.numpy()
        images = model.get_image_features(**pictures).pooler_output.numpy()
    found = made.text_vectors(["A person, juggling  BALLS!", "It runs fast. " * 30, "Dog."])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(made.encode(frames), images, atol=1e-4)
    alone = SentenceTransformer(str(folder), device="cpu").encode(plain[:1])
    assert np.abs(alone - expected[:1]).max() > 0.01


def test_a_missing_model_says_what_to_do() -> None:
    with pytest.raises(MissingWeightsError, match=r"0\.6 GB.*cezsar fetch clip:clip-ViT-B-32"):
        create("clip:clip-ViT-B-32")


def test_text_that_is_none_is_refused(encoder: ClipEncoder) -> None:
    with pytest.raises(InputError, match="int"):
        encoder.text_vectors(["a", 3])  # type: ignore[list-item]  # the mistake under test
