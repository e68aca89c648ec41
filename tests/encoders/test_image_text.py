"""Models of pictures and words: small ones with random weights, saved as the genuine formats are, against the libraries
that made them, called directly."""

import json
import shutil
import socket

import numpy as np
import open_clip
import pytest
import sentencepiece
import torch
import transformers as hf
from huggingface_hub import constants
from open_clip.push_to_hf_hub import save_config_for_hf, save_for_hf
from open_clip.tokenizer import HFTokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

from cezsar import encoders
from cezsar.encoders import create, image_text, present
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.catalogue import carried, open_clip_record
from cezsar.encoders.image_text import PROMPTS, ClipEncoder, JoinedEncoder, plain_words
from cezsar.errors import FormatError, InputError
from cezsar.video import Frame, Sampling
from cezsar.zeroshot.spaces import ImageTextSpace

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LETTERS = [chr(code) for code in range(33, 127)]
TEXTS = ["A person, juggling!", "running " * 60, "dog"]


def pictures(frames):
    return [Image.fromarray(frame.image) for frame in frames]


# clip: ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(clip_folder):
    return create(f"clip:{clip_folder}", device="cpu")


@pytest.fixture(scope="module")
def directly(clip_folder):
    return SentenceTransformer(str(clip_folder), device="cpu")


def test_frames_and_sentences_are_sentence_transformers_own(encoder, directly, frames):
    features = encoder.encode(iter(frames))
    assert isinstance(encoder, FrameEncoder) and features.shape == (5, 16) and features.dtype == np.float32
    np.testing.assert_allclose(features, directly.encode(pictures(frames)), atol=1e-5)
    np.testing.assert_allclose(encoder.text_vectors(TEXTS), directly.encode(TEXTS), atol=1e-5)
    assert encoder.text_vectors([]).shape == encoder.encode([]).shape == (0, 16)


def test_objects_are_scaled_cosines_with_the_names(encoder, directly, frames, monkeypatch):
    logits = encoder.head_for(["cat", "dog"], ["a feline", "a canine"]).logits(encoder.encode(frames))
    scale = float(directly.state_dict()["0.model.logit_scale"].exp())
    for t, image in enumerate(directly.encode(pictures(frames))):
        for k, text in enumerate(directly.encode(["a photo of a cat.", "a photo of a dog."])):
            cosine = image @ text / (image @ image) ** 0.5 / (text @ text) ** 0.5
            assert logits[t, k] == pytest.approx(scale * cosine, rel=1e-4)
    head = encoder.object_head
    assert (len(head.names), head.names[0]) == (1000, "tench")
    bare = ClipEncoder("bare", encoder.model, device="cpu")
    monkeypatch.setattr(bare.model, "state_dict", dict)
    assert bare.scale == image_text.DEFAULT_SCALE


def test_a_clips_fingerprint_follows_content_and_not_the_folder(encoder, clip_folder, tmp_path):
    place = tmp_path / "home" / "models" / "tiny-clip"
    shutil.copytree(clip_folder, place)
    assert present("clip:tiny-clip") and not present("clip:other-clip")
    given = create("clip:other-clip", weights=place, device="cpu")
    assert create("clip:tiny-clip", device="cpu").fingerprint == given.fingerprint == encoder.fingerprint
    config = place / "processor_config.json"
    config.write_text(config.read_text().replace("0.48145466", "0.5"))
    assert create("clip:tiny-clip", device="cpu").fingerprint != encoder.fingerprint


def test_what_is_no_image_text_model_is_refused(clip_folder, tmp_path):
    with pytest.raises(InputError, match="no model of images and text"):
        create(f"clip:{carried('minilm')}", device="cpu")
    with pytest.raises(InputError, match="folder"):
        create("clip:clip-ViT-B-32", weights=clip_folder / "model.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="empty"):
        create(f"clip:{tmp_path / 'empty'}", device="cpu")


@pytest.fixture(scope="module")
def siglip_folders(tmp_path_factory):
    """The first kind's tokenizer cleans text by itself, the second kind's does not."""
    root = tmp_path_factory.mktemp("siglip")
    text = ["a video of a person juggling balls, a photo of a cat, a dog runs fast and throws it"]
    with (root / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text * 5), model_writer=file, model_type="char", vocab_size=40,
            hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
    named = {"model_input_names": ["input_ids"]}  # as the hub's tokenizers say: padding is read, no mask hides it
    tokenizers = {
        "siglip": SiglipTokenizer(str(root / "spiece.model"), **named),
        "siglip2": letters(LETTERS, **named),
    }
    for kind, tokenizer in tokenizers.items():
        torch.manual_seed(4)
        text = {**TOWER, "vocab_size": len(tokenizer), "projection_size": 16, "bos_token_id": None, "eos_token_id": 1}
        vision = {**TOWER, "image_size": 32, "patch_size": 8}
        hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(root / "parts")
        images = hf.SiglipImageProcessor(size={"height": 32, "width": 32})
        hf.SiglipProcessor(images, tokenizer).save_pretrained(root / "parts")
        SentenceTransformer(str(root / "parts"), device="cpu").save(str(root / kind))
        shutil.rmtree(root / "parts")
    return {kind: root / kind for kind in tokenizers}


def letters(known, **settings):
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *known]
    vocabulary = {token: index for index, token in enumerate(known)}
    return hf.GemmaTokenizer(vocab=vocabulary, merges=[], padding_side="right", **settings)


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_siglip_reads_plain_words_padded_to_its_length(kind, siglip_folders, frames):
    """As transformers does when told padding="max_length"; sentence-transformers alone gives other vectors."""
    folder = siglip_folders[kind]
    made, model = create(f"clip:{folder}", device="cpu"), hf.SiglipModel.from_pretrained(folder).eval()
    plain = ["a person juggling balls", "it runs fast " * 30, "dog"]
    padded = {"padding": "max_length", "max_length": 64, "truncation": True, "return_tensors": "pt"}
    tokens = hf.AutoTokenizer.from_pretrained(folder)(plain, **padded)
    pixels = hf.SiglipImageProcessor.from_pretrained(folder)([frame.image for frame in frames], return_tensors="pt")
    assert list(tokens) == ["input_ids"]
    with torch.inference_mode():
        expected = model.get_text_features(**tokens).pooler_output.numpy()
        images = model.get_image_features(**pixels).pooler_output.numpy()
    found = made.text_vectors(["A person, juggling  BALLS!", "It runs fast. " * 30, "Dog."])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(made.encode(frames), images, atol=1e-4)
    alone = SentenceTransformer(str(folder), device="cpu").encode(plain[:1])
    assert np.abs(alone - expected[:1]).max() > 0.01


# open_clip: ----------------------------------------------------------------------------------------------------------

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
    """One folder a kind, as the hub holds open_clip's models."""
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
    """open_clip knows the plain model by the name tiny, with two trained weights."""
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
    features = encoder.encode(iter(frames))
    assert isinstance(encoder, FrameEncoder) and features.shape == (5, encoder.dim) and features.dtype == np.float32
    np.testing.assert_allclose(features, images, atol=1e-5)
    np.testing.assert_allclose(encoder.text_vectors(TEXTS), texts, atol=1e-5)
    assert encoder.scale == pytest.approx(model.logit_scale.exp().item())
    assert encoder.encode([]).shape == encoder.text_vectors([]).shape == (0, encoder.dim)


def test_siglip2_sentences_are_plain_and_as_long_as_the_model(open_clip_folders):
    encoder = create(f"open_clip:{open_clip_folders['siglip2']}", device="cpu")
    tokens = letters(FEW)(["a person juggling"], padding="max_length", max_length=20, return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = encoder.model.encode_text(tokens).numpy()
    np.testing.assert_allclose(encoder.text_vectors(["A person, Juggling!"]), expected, atol=1e-6)


def test_a_file_of_weights_is_run_as_open_clip_knows_the_model(open_clip_folders, known, frames):
    file = open_clip_folders["plain"] / "open_clip_model.safetensors"
    encoder = create("open_clip:tiny", weights=file, device="cpu")
    own = {"image_mean": (0.1, 0.2, 0.3), "image_std": (1.0, 1.0, 1.0)}
    _, images = by_open_clip(frames, "tiny", str(file), force_quick_gelu=True, **own)
    np.testing.assert_allclose(encoder.encode(frames), images, atol=1e-5)
    other = create("open_clip:tiny:second", weights=file, device="cpu")
    assert other.fingerprint != encoder.fingerprint
    assert np.abs(other.encode(frames) - encoder.encode(frames)).max() > 1e-5  # GELU and not its quick form


def test_open_clips_fingerprint_follows_content_and_not_the_place(open_clip_folders, known, tmp_path):
    models, folder = tmp_path / "home" / "models", open_clip_folders["plain"]
    shutil.copytree(folder, models / "tiny-plain")
    assert present("open_clip:tiny") and present("open_clip:org/tiny-plain") and not present("open_clip:tiny:second")
    found = {create(f"open_clip:{name}", device="cpu").fingerprint for name in ("tiny", "org/tiny-plain", folder)}
    assert len(found) == 1
    config = models / "tiny-plain" / "open_clip_config.json"
    config.write_text(config.read_text().replace('"bicubic"', '"bilinear"'))
    assert create("open_clip:tiny", device="cpu").fingerprint not in found


def test_repositories_are_those_that_open_clip_names():
    for name, card in encoders.CARDS.items():
        kind, _, model = name.partition(":")
        assert kind != "open_clip" or f"{card.repository}/" == open_clip_record(model)["hf_hub"]
    repositories = {
        "ViT-B-32": "timm/vit_base_patch32_clip_224.openai",
        "ViT-B-32:laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "none": "",
    }
    assert {model: encoders.card(f"open_clip:{model}").repository for model in repositories} == repositories


def test_what_is_no_open_clip_model_is_refused(open_clip_folders, known, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no model 'PE-Core-B16'; did you mean PE-Core-B-16"):
        create("open_clip:PE-Core-B16")
    with pytest.raises(InputError, match="no weights file or folder"):
        create("open_clip:tiny", weights=tmp_path / "absent")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(FormatError, match="cannot be loaded by open_clip"):
        create("open_clip:tiny", weights=tmp_path / "open_clip_model.safetensors")
    shutil.copy(open_clip_folders["siglip2"] / "open_clip_config.json", tmp_path)
    with pytest.raises(FormatError, match="cannot be loaded by open_clip"):
        create(f"open_clip:{tmp_path}")


def test_a_tokenizer_that_is_not_here_is_not_asked_of_the_hub(open_clip_folders, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: pytest.fail(f"{where} was asked"))
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", KINDS["siglip2"])
    with pytest.raises(FormatError, match="cannot be loaded by open_clip"):
        create("open_clip:tiny", weights=open_clip_folders["siglip2"] / "open_clip_model.safetensors", device="cpu")
    assert not constants.HF_HUB_OFFLINE


# video: --------------------------------------------------------------------------------------------------------------


def film(seconds, size=24):
    """What a decoder gives of a film at 8 pictures a second, no two alike."""
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


def test_x_clips_sentences_are_those_that_no_clip_has_bent(video_encoder, video_folders):
    processor = hf.XCLIPProcessor.from_pretrained(video_folders["xclip"])
    tokens = processor(text=TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = video_encoder.model.get_text_features(**tokens).pooler_output.numpy()
    np.testing.assert_allclose(video_encoder.text_vectors(TEXTS), expected, atol=1e-5)
    assert video_encoder.prompts == ("{}",) and video_encoder.scale == pytest.approx(np.exp(2.6592), rel=1e-4)


def test_videoprisms_sentences_are_plain_and_as_long_as_the_model(video_folders):
    encoder = create(f"video:{video_folders['videoprism']}", device="cpu")
    assert encoder.prompts == PROMPTS
    tokenizer = hf.VideoPrismTokenizer.from_pretrained(str(video_folders["videoprism"]))
    tokens = tokenizer(["a video of dogs."], padding="max_length", max_length=64, return_tensors="pt")
    with torch.inference_mode():
        expected = encoder.model.get_text_features(**tokens).pooler_output.numpy()
    np.testing.assert_allclose(encoder.text_vectors(["A video of dogs"]), expected, atol=1e-5)
    assert len(encoder.text_vectors(["word " * 90])) == 1
    for given, plain in (("Hello, World!", "hello world"), ("Hello,World..", "hello world"), ("  A   b", "a b")):
        assert plain_words(given, " ") == plain


def test_video_models_fingerprint_follows_preprocessing(video_encoder, video_folders):
    same, other = (create(f"video:{video_folders[kind]}", device="cpu") for kind in ("xclip", "xclip-hub"))
    assert same.fingerprint == video_encoder.fingerprint != other.fingerprint  # the other's mean is 0.5


def test_what_is_no_video_text_model_is_refused(video_folders, clip_folder, tmp_path):
    with pytest.raises(InputError, match="must be a folder"):
        create("video:microsoft/xclip-base-patch32", weights=video_folders["xclip"] / "model.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="cannot be loaded by transformers"):
        create(f"video:{tmp_path / 'empty'}")
    shutil.copytree(video_folders["xclip"], tmp_path / "part")
    tensors = load_file(tmp_path / "part" / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, tmp_path / "part" / "model.safetensors", {"format": "pt"})
    with pytest.raises(FormatError, match=r"lack text_projection\.weight"):
        create(f"video:{tmp_path / 'part'}")
    with pytest.raises(InputError, match=r"no model of videos and text: .* holds a CLIPModel"):
        create(f"video:{clip_folder}")


# Joined --------------------------------------------------------------------------------------------------------------


class Words:
    """Ranks: a row is the frame's mean colour."""

    name, dim, visual_dim, fingerprint, domain, in_decoder = "words", 3, 3, "w", "web pictures", False
    sampling, prompts, trust, object_head = Sampling(), ("{}",), "", None

    def text_vectors(self, sentences):
        return np.eye(3, dtype=np.float32)[: len(sentences)]

    def encode(self, frames):
        return np.array([frame.image.mean((0, 1)) for frame in frames], np.float32)


@pytest.fixture(scope="module")
def efficientnet():
    return create("efficientnet", device="cpu")


def test_rows_stand_side_by_side(efficientnet, frames, monkeypatch):
    monkeypatch.setattr(image_text, "BLOCK", 2)
    both = JoinedEncoder("words+efficientnet", Words(), efficientnet)
    rows = both.encode(iter(frames))
    seen, named = Words().encode(frames), efficientnet.encode(frames)
    np.testing.assert_allclose(rows, np.hstack([seen, named]), atol=1e-4)
    assert isinstance(both, FrameEncoder) and both.dim == 1283 and both.encode([]).shape == (0, 1283)
    np.testing.assert_allclose(both.object_head.logits(rows), efficientnet.object_head.logits(named), atol=1e-3)
    expected = np.mean([row / np.linalg.norm(row) for row in seen], axis=0)
    np.testing.assert_allclose(ImageTextSpace(both).clips([rows])[0], expected, rtol=1e-5)


def test_what_does_not_join_is_refused(efficientnet):
    for ranks, names in ((efficientnet, efficientnet), (Words(), Words())):
        with pytest.raises(InputError, match="the second a classifier"):
            JoinedEncoder("both", ranks, names)
    words = Words()
    words.sampling = Sampling(fps=2.0)
    with pytest.raises(InputError, match="different rates"):
        JoinedEncoder("both", words, efficientnet)
    assert present("efficientnet+efficientnet") and not present("clip:clip-ViT-B-32+efficientnet")
    with pytest.raises(InputError, match="the second a classifier"):
        create("efficientnet+efficientnet")
