"""Small video-text models with random weights, saved by transformers and compared with it called directly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPImageProcessor,
    CLIPTokenizer,
    LlavaOnevisionVideoProcessor,
    VideoMAEImageProcessor,
    VideoPrismClipModel,
    VideoPrismConfig,
    VideoPrismProcessor,
    VideoPrismTokenizer,
    XCLIPConfig,
    XCLIPModel,
    XCLIPProcessor,
)

from cezsar.encoders import create, present
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.image_text import PROMPTS
from cezsar.encoders.video_models import VideoTextEncoder, videoprism_words
from cezsar.errors import FormatError, InputError, MissingWeightsError
from cezsar.video import Frame

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LETTERS = [chr(code) for code in range(33, 127)]


def film(seconds: float, size: int = 24) -> list[Frame]:
    """What a decoder gives of a film at 8 pictures a second, no two alike."""
    random = np.random.default_rng(3)
    count = int(np.ceil(seconds * 8))
    return [Frame(k / 8, random.integers(0, 256, (size, size + 8, 3), dtype=np.uint8)) for k in range(count)]


def x_clip(folder: Path, images: Any) -> None:
    tokens = ["<|startoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(str(folder), model_max_length=77)
    ends = {"bos_token_id": 0, "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    frames = {"image_size": 16, "patch_size": 8, "num_frames": 4, "mit_hidden_size": 16, "mit_intermediate_size": 32}
    config = XCLIPConfig(
        text_config={**TOWER, **ends, "vocab_size": len(tokens)},
        vision_config={**TOWER, **frames, "mit_num_attention_heads": 2},
        projection_dim=16,
        prompt_num_attention_heads=2,
    )
    torch.manual_seed(1)
    XCLIPModel(config).save_pretrained(folder)
    XCLIPProcessor(images, tokenizer).save_pretrained(folder)


def videoprism(folder: Path) -> None:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    config = VideoPrismConfig(
        text_config={**TOWER, "vocab_size": len(pieces)},
        vision_config={**TOWER, "num_spatial_layers": 1, "num_temporal_layers": 1, "num_auxiliary_layers": 1},
    )
    torch.manual_seed(2)
    VideoPrismClipModel(config).save_pretrained(folder)
    processor = LlavaOnevisionVideoProcessor(size={"height": 288, "width": 288}, do_normalize=False)
    VideoPrismProcessor(processor, VideoPrismTokenizer(vocab=pieces, extra_ids=0)).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("video")
    size: dict[str, Any] = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    x_clip(root / "xclip", CLIPImageProcessor(**size))
    x_clip(root / "xclip-hub", VideoMAEImageProcessor(**size))  # as the hub's X-CLIP models are saved
    videoprism(root / "videoprism")
    return {folder.name: folder for folder in root.iterdir()}


@pytest.fixture(scope="module")
def encoder(folders: dict[str, Path]) -> VideoTextEncoder:
    made = create(f"video:{folders['xclip']}", device="cpu")
    assert isinstance(made, VideoTextEncoder)
    return made


def directly(folder: Path, clip: list[Frame]) -> np.ndarray:
    """transformers' features of a clip: N of its pictures, as BaseVideoProcessor.sample_frames takes them."""
    kind = XCLIPModel if folder.name.startswith("xclip") else VideoPrismClipModel
    processor = (XCLIPProcessor if kind is XCLIPModel else VideoPrismProcessor).from_pretrained(folder)
    model: Any = kind.from_pretrained(folder).eval()
    number = model.config.vision_config.num_frames
    indices = np.arange(0, len(clip), len(clip) / number).astype(int)
    pictures = [clip[index].image for index in indices]
    if kind is XCLIPModel:
        pixels = processor(videos=pictures, return_tensors="pt")["pixel_values"]
        inputs = {"pixel_values": pixels.reshape(1, number, *pixels.shape[-3:])}
    else:
        inputs = dict(processor(videos=np.stack(pictures), do_sample_frames=False, return_tensors="pt"))
    with torch.inference_mode():
        vector: np.ndarray = model.get_video_features(**inputs).pooler_output.flatten().numpy()
    return vector


@pytest.mark.parametrize("kind, seconds", [("xclip", 7.3), ("xclip-hub", 10), ("xclip", 0.3), ("videoprism", 3)])
def test_a_clips_rows_are_transformers_features_of_the_clip(
    kind: str, seconds: float, folders: dict[str, Path]
) -> None:
    encoder = create(f"video:{folders[kind]}", device="cpu")
    clip = film(seconds)
    rows = encoder.encode(iter(clip))
    assert isinstance(encoder, FrameEncoder) and encoder.sampling.fps == 8
    assert rows.shape == (np.ceil(seconds), encoder.dim) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.repeat(rows[:1], len(rows), 0))
    np.testing.assert_allclose(rows[0], directly(folders[kind], clip), atol=1e-5)


def test_a_long_film_is_seen_in_windows_of_ten_seconds(encoder: VideoTextEncoder, folders: dict[str, Path]) -> None:
    clip = film(22.4)
    rows = encoder.encode(clip)
    windows = [clip[:80], clip[80:160], clip[-80:]]
    expected = [directly(folders["xclip"], window) for window in windows]
    np.testing.assert_allclose(rows, np.repeat(expected, [10, 10, 3], 0), atol=1e-5)
    assert encoder.encode([]).shape == (0, 16)


def test_x_clips_sentences_are_those_that_no_clip_has_bent(encoder: VideoTextEncoder, folders: dict[str, Path]) -> None:
    texts = ["juggling balls", "a " * 90, "dog"]
    tokens = XCLIPProcessor.from_pretrained(folders["xclip"])(
        text=texts, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = encoder.model.get_text_features(**tokens).pooler_output
    np.testing.assert_allclose(encoder.text_vectors(texts), expected.numpy(), atol=1e-5)
    assert encoder.prompts == ("{}",) and encoder.scale == pytest.approx(np.exp(2.6592), rel=1e-4)


def test_videoprisms_sentences_are_plain_and_as_long_as_the_model(folders: dict[str, Path]) -> None:
    encoder = create(f"video:{folders['videoprism']}", device="cpu")
    assert isinstance(encoder, VideoTextEncoder) and encoder.prompts == PROMPTS
    tokenizer = VideoPrismTokenizer.from_pretrained(str(folders["videoprism"]))
    tokens = tokenizer(["a video of dogs."], padding="max_length", max_length=64, return_tensors="pt")
    with torch.inference_mode():
        expected = encoder.model.get_text_features(**tokens).pooler_output.numpy()
    np.testing.assert_allclose(encoder.text_vectors(["A video of dogs"]), expected, atol=1e-5)
    assert len(encoder.text_vectors(["word " * 90])) == 1


@pytest.mark.parametrize(
    "given, plain", [("Hello, World!", "hello world."), ("Hello,World..", "hello world."), ("  A   b", "a b.")]
)
def test_videoprisms_words(given: str, plain: str) -> None:
    assert videoprism_words(given) == plain


def test_fingerprint_follows_weights_and_preprocessing(encoder: VideoTextEncoder, folders: dict[str, Path]) -> None:
    assert create(f"video:{folders['xclip']}", device="cpu").fingerprint == encoder.fingerprint
    assert create(f"video:{folders['xclip-hub']}", device="cpu").fingerprint != encoder.fingerprint  # mean 0.5


def test_what_cannot_be_loaded_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(InputError, match="must be a folder"):
        create("video:microsoft/xclip-base-patch32", weights=folders["xclip"] / "model.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="cannot be loaded by transformers"):
        create(f"video:{tmp_path / 'empty'}")
    x_clip(tmp_path / "part", CLIPImageProcessor())
    tensors = load_file(tmp_path / "part" / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, tmp_path / "part" / "model.safetensors", {"format": "pt"})
    with pytest.raises(FormatError, match=r"lack text_projection\.weight"):
        create(f"video:{tmp_path / 'part'}")


def test_a_model_of_single_images_is_refused(clip_folder: Path) -> None:
    with pytest.raises(InputError, match=r"no model of videos and text: .* holds a CLIPModel"):
        create(f"video:{clip_folder}")


def test_a_missing_model_says_what_to_do() -> None:
    name = "video:google/videoprism-lvt-base-f16r288"
    assert not present(name)
    with pytest.raises(MissingWeightsError, match=rf"1\.0 GB.*cezsar fetch {name}"):
        create(name)
