"""Models of pictures and words: small ones with random weights, saved as the genuine formats are, against the libraries
that made them, called directly."""

import json
import shutil
import socket

import numpy as np
import open_clip
import pytest
import torch
import transformers as hf
from huggingface_hub import constants
from open_clip.push_to_hf_hub import save_config_for_hf, save_for_hf
from open_clip.tokenizer import HFTokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from cezsar import encoders
from cezsar.encoders import create, present
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.catalogue import carried, open_clip_record
from cezsar.encoders.image_text import PROMPTS
from cezsar.errors import FormatError, InputError
from cezsar.video import Frame

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LETTERS = [chr(code) for code in range(33, 127)]
TEXTS = ["A person, juggling!", "running " * 60, "dog"]


def pictures(frames):
    return [Image.fromarray(frame.image) for frame in frames]


def agrees(encoder, frames, images, texts):
    features = encoder.encode(iter(frames))
    assert isinstance(encoder, FrameEncoder)
    assert features.shape == (len(images), encoder.dim) and features.dtype == np.float32
    np.testing.assert_allclose(features, images, atol=1e-5)
    np.testing.assert_allclose(encoder.text_vectors(TEXTS), texts, atol=1e-5)
    assert encoder.encode([]).shape == encoder.text_vectors([]).shape == (0, encoder.dim)


@pytest.fixture(scope="module")
def encoder(clip_folder):
    return create(f"clip:{clip_folder}", device="cpu")


def test_frames_sentences_and_objects_are_sentence_transformers_own(encoder, clip_folder, frames):
    directly = SentenceTransformer(str(clip_folder), device="cpu")
    agrees(encoder, frames, directly.encode(pictures(frames)), directly.encode(TEXTS))
    head = encoder.object_head
    assert (len(head.names), head.names[0]) == (1000, "tench")


def test_a_clips_fingerprint_follows_content_and_not_the_folder(encoder, clip_folder, tmp_path):
    place = tmp_path / "home" / "models" / "tiny-clip"
    shutil.copytree(clip_folder, place)
    assert present("clip:tiny-clip") and not present("clip:other-clip")
    given = create("clip:other-clip", weights=place, device="cpu")
    assert create("clip:tiny-clip", device="cpu").fingerprint == given.fingerprint == encoder.fingerprint
    config = place / "processor_config.json"
    config.write_text(config.read_text().replace("0.48145466", "0.5"))
    assert create("clip:tiny-clip", device="cpu").fingerprint != encoder.fingerprint


def letters(known, **settings):
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *known]
    vocabulary = {token: index for index, token in enumerate(known)}
    return hf.GemmaTokenizer(vocab=vocabulary, merges=[], padding_side="right", **settings)


def test_siglip_reads_plain_words_padded_to_its_length(tmp_path, frames):
    """As transformers does when told padding="max_length"; sentence-transformers alone gives other vectors."""
    tokenizer = letters(LETTERS, model_input_names=["input_ids"])  # as on the hub: padding is read, no mask hides it
    text = {**TOWER, "vocab_size": len(tokenizer), "projection_size": 16, "bos_token_id": None, "eos_token_id": 1}
    config = hf.SiglipConfig(text_config=text, vision_config={**TOWER, "image_size": 32, "patch_size": 8})
    torch.manual_seed(4)
    hf.SiglipModel(config).save_pretrained(tmp_path / "parts")
    images = hf.SiglipImageProcessor(size={"height": 32, "width": 32})
    hf.SiglipProcessor(images, tokenizer).save_pretrained(tmp_path / "parts")
    SentenceTransformer(str(tmp_path / "parts"), device="cpu").save(str(tmp_path / "whole"))
    made, model = create(f"clip:{tmp_path / 'whole'}", device="cpu"), hf.SiglipModel.from_pretrained(tmp_path / "whole")
    plain = ["a person juggling balls", "it runs fast " * 30, "dog"]
    tokens = tokenizer(plain, padding="max_length", max_length=64, truncation=True, return_tensors="pt")
    assert list(tokens) == ["input_ids"]
    with torch.inference_mode():
        expected = model.eval().get_text_features(**tokens).pooler_output.numpy()
        pixels = images([frame.image for frame in frames], return_tensors="pt")
        seen = model.get_image_features(**pixels).pooler_output.numpy()
    found = made.text_vectors(["A person, juggling  BALLS!", "It runs fast. " * 30, "Dog."])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(made.encode(frames), seen, atol=1e-4)


TEXT = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
SEES = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}
KINDS = {
    "plain": {"embed_dim": 16, "quick_gelu": True, "vision_cfg": SEES, "text_cfg": TEXT},  # as OpenAI's models are made
    "timm": {  # as PE-Core and MobileCLIP2 are
        "embed_dim": 16, "custom_text": True, "text_cfg": TEXT,
        "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"},
    },
    "siglip2": {  # with a tokenizer of its own, and the answer in the last place
        "embed_dim": 32, "init_logit_bias": -10, "custom_text": True, "vision_cfg": SEES,
        "text_cfg": {
            **TEXT, "vocab_size": 96, "hf_tokenizer_name": "none/such", "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True, "pool_type": "last",
        },
    },
}  # fmt: skip
FRAMES = {
    "plain": {},
    "timm": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"},
    "siglip2": {"mean": [0.5, 0.4, 0.3], "resize_mode": "squash"},
}
FEW = [letter for letter in LETTERS if letter not in "[\\]^_`{|}~"]


@pytest.fixture(scope="module")
def open_clip_folders(tmp_path_factory):
    made = {}
    for kind, config in KINDS.items():
        folder = made[kind] = tmp_path_factory.mktemp("open-clip") / f"tiny-{kind}"
        folder.mkdir()
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": FRAMES[kind]}))
        torch.manual_seed(7)
        model = open_clip.create_model(f"local-dir:{folder}")
        if kind == "siglip2":
            letters(FEW).save_pretrained(folder)
            save_for_hf(model, HFTokenizer(str(folder)), config, str(folder), safe_serialization=True)
        else:
            save_file(model.state_dict(), folder / "open_clip_model.safetensors")
            save_config_for_hf(model, folder / "open_clip_config.json", config)
    return made


@pytest.fixture
def known(monkeypatch):
    plain = {key: value for key, value in KINDS["plain"].items() if key != "quick_gelu"}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", plain)
    first = {"url": "", "hf_hub": "org/tiny-plain/", "quick_gelu": True, "mean": (0.1, 0.2, 0.3), "std": (1.0,) * 3}
    tags = {"first": first, "second": {**first, "hf_hub": "org/tiny-second/", "quick_gelu": False}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", tags)


def by_open_clip(frames, *source, **settings):
    model, transform = open_clip.create_model_from_pretrained(*source, **settings)
    with torch.inference_mode():
        return model, model.eval().encode_image(torch.stack([transform(each) for each in pictures(frames)])).numpy()


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_and_sentences_are_open_clips_own(kind, open_clip_folders, frames):
    encoder = create(f"open_clip:{open_clip_folders[kind]}", device="cpu")
    source = f"local-dir:{open_clip_folders[kind]}"
    model, images = by_open_clip(frames, source)
    with torch.inference_mode():
        texts = model.encode_text(open_clip.get_tokenizer(source)(TEXTS)).numpy()
    agrees(encoder, frames, images, texts)
    assert encoder.scale == pytest.approx(model.logit_scale.exp().item())
    if kind == "siglip2":
        tokens = letters(FEW)(["a person juggling"], padding="max_length", max_length=20, return_tensors="pt").input_ids
        with torch.inference_mode():
            plain = encoder.model.encode_text(tokens).numpy()
        np.testing.assert_allclose(encoder.text_vectors(["A person, Juggling!"]), plain, atol=1e-6)


def test_a_file_of_weights_is_run_as_open_clip_knows_the_model(open_clip_folders, known, frames):
    file = open_clip_folders["plain"] / "open_clip_model.safetensors"
    encoder = create("open_clip:tiny", weights=file, device="cpu")
    own = {"image_mean": (0.1, 0.2, 0.3), "image_std": (1.0, 1.0, 1.0)}
    _, images = by_open_clip(frames, "tiny", str(file), force_quick_gelu=True, **own)
    np.testing.assert_allclose(encoder.encode(frames), images, atol=1e-5)
    other = create("open_clip:tiny:second", weights=file, device="cpu")
    assert other.fingerprint != encoder.fingerprint
    assert np.abs(other.encode(frames) - encoder.encode(frames)).max() > 1e-5  # GELU and not its quick form


def test_repositories_are_those_that_open_clip_names():
    for name, card in encoders.CARDS.items():
        kind, _, model = name.partition(":")
        assert kind != "open_clip" or f"{card.repository}/" == open_clip_record(model)["hf_hub"]
    assert encoders.card("open_clip:ViT-B-32").repository == "timm/vit_base_patch32_clip_224.openai"


def test_a_tokenizer_that_is_not_here_is_not_asked_of_the_hub(open_clip_folders, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: pytest.fail(f"{where} was asked"))
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", KINDS["siglip2"])
    with pytest.raises(FormatError, match="cannot be loaded by open_clip"):
        create("open_clip:tiny", weights=open_clip_folders["siglip2"] / "open_clip_model.safetensors", device="cpu")
    assert not constants.HF_HUB_OFFLINE


def film(seconds, size=24):
    random, count = np.random.default_rng(3), int(np.ceil(seconds * 8))
    return [Frame(k / 8, random.integers(0, 256, (size, size + 8, 3), dtype=np.uint8)) for k in range(count)]


def x_clip(folder, images):
    tokens = ["<|startoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = hf.CLIPTokenizer.from_pretrained(str(folder), model_max_length=77)
    ends = {"bos_token_id": 0, "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    frames = {"image_size": 16, "patch_size": 8, "num_frames": 4, "mit_hidden_size": 16, "mit_intermediate_size": 32}
    config = hf.XCLIPConfig(
        text_config={**TOWER, **ends, "vocab_size": len(tokens)}, projection_dim=16, prompt_num_attention_heads=2,
        vision_config={**TOWER, **frames, "mit_num_attention_heads": 2},
    )  # fmt: skip
    torch.manual_seed(1)
    hf.XCLIPModel(config).save_pretrained(folder)
    hf.XCLIPProcessor(images, tokenizer).save_pretrained(folder)


def videoprism(folder):
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    layers = {"num_spatial_layers": 1, "num_temporal_layers": 1, "num_auxiliary_layers": 1}
    text = {**TOWER, "vocab_size": len(pieces)}
    torch.manual_seed(2)
    config = hf.VideoPrismConfig(text_config=text, vision_config={**TOWER, **layers})
    hf.VideoPrismClipModel(config).save_pretrained(folder)
    processor = hf.LlavaOnevisionVideoProcessor(size={"height": 288, "width": 288}, do_normalize=False)
    hf.VideoPrismProcessor(processor, hf.VideoPrismTokenizer(vocab=pieces, extra_ids=0)).save_pretrained(folder)


@pytest.fixture(scope="module")
def video_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("video")
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    x_clip(root / "xclip", hf.CLIPImageProcessor(**size))
    x_clip(root / "xclip-hub", hf.VideoMAEImageProcessor(**size))  # as the hub's X-CLIP models are saved
    videoprism(root / "videoprism")
    return {folder.name: folder for folder in root.iterdir()}


@pytest.fixture(scope="module")
def video_encoder(video_folders):
    return create(f"video:{video_folders['xclip']}", device="cpu")


def video_directly(folder, clip):
    """transformers' features of a clip: N of its pictures, as BaseVideoProcessor.sample_frames takes them."""
    kind = hf.XCLIPModel if folder.name.startswith("xclip") else hf.VideoPrismClipModel
    processor = (hf.XCLIPProcessor if kind is hf.XCLIPModel else hf.VideoPrismProcessor).from_pretrained(folder)
    model = kind.from_pretrained(folder).eval()
    number = model.config.vision_config.num_frames
    chosen = [clip[index].image for index in np.arange(0, len(clip), len(clip) / number).astype(int)]
    if kind is hf.XCLIPModel:
        pixels = processor(videos=chosen, return_tensors="pt")["pixel_values"]
        inputs = {"pixel_values": pixels.reshape(1, number, *pixels.shape[-3:])}
    else:
        inputs = dict(processor(videos=np.stack(chosen), do_sample_frames=False, return_tensors="pt"))
    with torch.inference_mode():
        return model.get_video_features(**inputs).pooler_output.flatten().numpy()


@pytest.mark.parametrize("kind, seconds", [("xclip", 7.3), ("xclip-hub", 10), ("xclip", 0.3), ("videoprism", 3)])
def test_a_clips_rows_are_transformers_features_of_the_clip(kind, seconds, video_folders):
    encoder, clip = create(f"video:{video_folders[kind]}", device="cpu"), film(seconds)
    rows = encoder.encode(iter(clip))
    assert isinstance(encoder, FrameEncoder) and encoder.sampling.fps == 8
    assert rows.shape == (np.ceil(seconds), encoder.dim) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.repeat(rows[:1], len(rows), 0))
    np.testing.assert_allclose(rows[0], video_directly(video_folders[kind], clip), atol=1e-5)


def test_a_long_film_is_seen_in_windows_of_ten_seconds(video_encoder, video_folders):
    clip = film(22.4)
    expected = [video_directly(video_folders["xclip"], part) for part in (clip[:80], clip[80:160], clip[-80:])]
    np.testing.assert_allclose(video_encoder.encode(clip), np.repeat(expected, [10, 10, 3], 0), atol=1e-5)
    assert video_encoder.encode([]).shape == (0, 16)


def test_sentences_are_bent_by_no_clip_and_plain_where_the_model_is_trained_so(video_encoder, video_folders):
    processor = hf.XCLIPProcessor.from_pretrained(video_folders["xclip"])
    tokens = processor(text=TEXTS, padding=True, truncation=True, return_tensors="pt")
    prism = create(f"video:{video_folders['videoprism']}", device="cpu")
    tokenizer = hf.VideoPrismTokenizer.from_pretrained(str(video_folders["videoprism"]))
    plain = tokenizer(["a video of dogs."], padding="max_length", max_length=64, return_tensors="pt")
    with torch.inference_mode():
        for encoder, texts, given in ((video_encoder, TEXTS, tokens), (prism, ["A video of dogs"], plain)):
            expected = encoder.model.get_text_features(**given).pooler_output
            np.testing.assert_allclose(encoder.text_vectors(texts), expected, atol=1e-5)
    assert video_encoder.prompts == ("{}",) and video_encoder.scale == pytest.approx(np.exp(2.6592), rel=1e-4)
    assert prism.prompts == PROMPTS
    same, other = (create(f"video:{video_folders[kind]}", device="cpu") for kind in ("xclip", "xclip-hub"))
    assert same.fingerprint == video_encoder.fingerprint != other.fingerprint  # the other's mean is 0.5


def test_what_is_no_model_is_refused(open_clip_folders, video_folders, clip_folder, known, tmp_path):
    empty, part, odd = (tmp_path / name for name in ("empty", "part", "odd"))
    empty.mkdir()
    odd.mkdir()
    (odd / "open_clip_model.safetensors").write_bytes(b"damaged")
    shutil.copy(open_clip_folders["siglip2"] / "open_clip_config.json", odd)
    shutil.copytree(video_folders["xclip"], part)
    tensors = load_file(part / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, part / "model.safetensors", {"format": "pt"})
    for name, weights, kind, said in (
        (f"clip:{carried('minilm')}", None, InputError, "no model of images and text"),
        ("clip:clip-ViT-B-32", clip_folder / "model.safetensors", InputError, "must be a folder"),
        ("open_clip:PE-Core-B16", None, InputError, "no model 'PE-Core-B16'; did you mean PE-Core-B-16"),
        ("open_clip:tiny", empty, InputError, "has no weights"),
        (f"open_clip:{odd}", None, FormatError, "cannot be loaded by open_clip"),
        (f"video:{empty}", None, FormatError, "cannot be loaded by transformers"),
        (f"video:{part}", None, FormatError, r"lack text_projection\.weight"),
        (f"video:{clip_folder}", None, InputError, "no model of videos and text: .* holds a CLIPModel"),
    ):
        with pytest.raises(kind, match=said):
            create(name, weights=weights, device="cpu")
