"""Small open_clip models with random weights in the hub's form, compared with open_clip called directly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.push_to_hf_hub import save_config_for_hf, save_for_hf
from open_clip.tokenizer import HFTokenizer
from PIL import Image
from safetensors.torch import save_file
from transformers import GemmaTokenizer

from cezsar import encoders
from cezsar.encoders import create, present
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.open_clip_models import OpenClipEncoder, pretrained
from cezsar.errors import FormatError, InputError, MissingWeightsError
from cezsar.video import Frame

TEXTS = ["A person, juggling!", "running " * 60, "dog"]
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
PLAIN = {  # as OpenAI's models are made
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": TEXT,
}
TIMM = {  # as PE-Core and MobileCLIP2 are
    "embed_dim": 16,
    "custom_text": True,
    "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"},
    "text_cfg": TEXT,
}
SIGLIP2 = {  # with a tokenizer of its own, and the answer in the last place
    "embed_dim": 32,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {
        **TEXT, "vocab_size": 96, "hf_tokenizer_name": "none/such", "tokenizer_kwargs": {"clean": "canonicalize"},
        "no_causal_mask": True, "pool_type": "last",
    },
}  # fmt: skip
FRAMES: dict[str, dict[str, Any]] = {
    "plain": {},
    "timm": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"},
    "siglip2": {"mean": [0.5, 0.4, 0.3], "resize_mode": "squash"},
}


def letters() -> GemmaTokenizer:
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *map(chr, range(33, 91)), *map(chr, range(97, 123))]
    return GemmaTokenizer(vocab={token: index for index, token in enumerate(known)}, merges=[], padding_side="right")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder a kind, as the hub holds open_clip's models."""
    made = {}
    for kind, config in (("plain", PLAIN), ("timm", TIMM), ("siglip2", SIGLIP2)):
        folder = made[kind] = tmp_path_factory.mktemp("open-clip") / f"tiny-{kind}"
        folder.mkdir()
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": FRAMES[kind]}))
        torch.manual_seed(7)
        model = open_clip.create_model(f"local-dir:{folder}")
        if kind == "siglip2":
            letters().save_pretrained(folder)
            save_for_hf(model, HFTokenizer(str(folder)), config, str(folder), safe_serialization=True)
        else:
            save_file(model.state_dict(), folder / "open_clip_model.safetensors")
            save_config_for_hf(model, folder / "open_clip_config.json", config)
    return made


@pytest.fixture
def known(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip knows the plain model by the name tiny, with two trained weights."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", {key: PLAIN[key] for key in PLAIN if key[0] != "q"})
    frames = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}
    record = {"url": "", "hf_hub": "org/tiny-plain/", "quick_gelu": True, **frames}
    tags = {"first": record, "second": {**record, "hf_hub": "org/tiny-second/", "quick_gelu": False}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", tags)


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_and_sentences_are_open_clips_own(kind: str, folders: dict[str, Path], frames: list[Frame]) -> None:
    encoder = create(f"open_clip:{folders[kind]}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder) and isinstance(encoder, FrameEncoder)
    source = f"local-dir:{folders[kind]}"
    model, transform = open_clip.create_model_from_pretrained(source)
    tokens = open_clip.get_tokenizer(source)
    with torch.inference_mode():
        images = model.eval().encode_image(torch.stack([transform(Image.fromarray(frame.image)) for frame in frames]))
        texts = model.encode_text(tokens(TEXTS))
    features = encoder.encode(iter(frames))
    assert features.shape == (5, encoder.dim) and features.dtype == np.float32
    np.testing.assert_allclose(features, images.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.text_vectors(TEXTS), texts.numpy(), atol=1e-5)
    assert encoder.scale == pytest.approx(model.logit_scale.exp().item())
    assert encoder.encode([]).shape == encoder.text_vectors([]).shape == (0, encoder.dim)


def test_siglip2_sentences_are_plain_and_as_long_as_the_model(folders: dict[str, Path]) -> None:
    encoder = create(f"open_clip:{folders['siglip2']}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    np.testing.assert_array_equal(*encoder.text_vectors(["A person, Juggling!", "a person juggling"]))
    tokens = letters()(["a person juggling"], padding="max_length", max_length=20, return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = encoder.model.encode_text(tokens)
    np.testing.assert_allclose(encoder.text_vectors(["A person, Juggling!"]), expected.numpy(), atol=1e-6)


def test_a_file_of_weights_is_run_as_open_clip_knows_the_model(
    folders: dict[str, Path], known: None, frames: list[Frame]
) -> None:
    file = folders["plain"] / "open_clip_model.safetensors"
    encoder = create("open_clip:tiny", weights=file, device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    model, transform = open_clip.create_model_from_pretrained(
        "tiny", str(file), force_quick_gelu=True, image_mean=(0.1, 0.2, 0.3), image_std=(1.0, 1.0, 1.0)
    )
    with torch.inference_mode():
        images = model.eval().encode_image(torch.stack([transform(Image.fromarray(frame.image)) for frame in frames]))
    np.testing.assert_allclose(encoder.encode(frames), images.numpy(), atol=1e-5)
    other = create("open_clip:tiny:second", weights=file, device="cpu")
    assert isinstance(other, OpenClipEncoder) and other.fingerprint != encoder.fingerprint
    assert np.abs(other.encode(frames) - encoder.encode(frames)).max() > 1e-5  # GELU and not its quick form


def test_fingerprint_follows_content_and_not_the_place(folders: dict[str, Path], known: None, tmp_path: Path) -> None:
    models = tmp_path / "home" / "models"
    shutil.copytree(folders["plain"], models / "tiny-plain")
    assert present("open_clip:tiny") and present("open_clip:org/tiny-plain") and not present("open_clip:tiny:second")
    found = [create(f"open_clip:{name}", device="cpu") for name in ("tiny", "org/tiny-plain", str(folders["plain"]))]
    assert len({encoder.fingerprint for encoder in found}) == 1
    config = models / "tiny-plain" / "open_clip_config.json"
    config.write_text(config.read_text().replace('"bicubic"', '"bilinear"'))
    assert create("open_clip:tiny", device="cpu").fingerprint != found[0].fingerprint


def test_repositories_are_those_that_open_clip_names() -> None:
    for name, card in encoders.CARDS.items():
        kind, _, model = name.partition(":")
        if kind == "open_clip":
            assert f"{card.repository}/" == pretrained(model)["hf_hub"]
    repositories = {
        "ViT-B-32": "timm/vit_base_patch32_clip_224.openai",
        "ViT-B-32:laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "ViTamin-S": "jienengchen/ViTamin-S",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "none": "",
    }
    assert {model: encoders.card(f"open_clip:{model}").repository for model in repositories} == repositories


def test_what_cannot_be_loaded_is_refused(folders: dict[str, Path], known: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model 'PE-Core-B16'; did you mean PE-Core-B-16"):
        create("open_clip:PE-Core-B16")
    with pytest.raises(InputError, match="has no weights"):
        create("open_clip:tiny", weights=tmp_path / "absent")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(FormatError, match="cannot be loaded by open_clip"):
        create("open_clip:tiny", weights=tmp_path / "open_clip_model.safetensors")
    shutil.copy(folders["siglip2"] / "open_clip_config.json", tmp_path)
    with pytest.raises(FormatError, match="cannot be loaded by open_clip"):
        create(f"open_clip:{tmp_path}")


def test_a_missing_model_says_what_to_do() -> None:
    with pytest.raises(MissingWeightsError, match=r"1\.8 GB.*cezsar fetch open_clip:PE-Core-B-16"):
        create("open_clip:PE-Core-B-16")


def test_a_tokenizer_that_is_not_here_is_not_asked_of_the_hub(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: asked.append(where))
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", SIGLIP2)
    shutil.copy(folders["siglip2"] / "open_clip_model.safetensors", tmp_path / "tiny.safetensors")
    with pytest.raises(FormatError, match="cannot be loaded by open_clip"):
        create("open_clip:tiny", weights=tmp_path / "tiny.safetensors", device="cpu")
    assert not asked and not constants.HF_HUB_OFFLINE
