"""What all tests share: one thread, no network, and a small stick-figure world with everything made from it."""

import functools
import json
import os

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import pytest
import torch

torch.set_num_threads(1)  # several would only wait for each other where tests run side by side


@pytest.fixture(scope="session", autouse=True)
def _one_minilm():
    """MiniLM is loaded once, however often it is asked for."""
    from cezsar.encoders import weight_files

    load = weight_files.load_transformer
    once = functools.cache(load)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            weight_files, "load_transformer", lambda name, *more: (once if name == "minilm" else load)(name, *more)
        )
        yield


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory):
    """A workspace in which the whole demo has run, small: (folder, report)."""
    from cezsar.demo.run import Recipe, run_demo

    home = tmp_path_factory.mktemp("workspace")
    recipe = Recipe(videos=10, clips_per_class=1, training={"lr": 1e-3, "epochs": 2, "batch": 32, "standardise": True})
    return home, run_demo(home, seed=5, recipe=recipe)


@pytest.fixture(scope="session")
def decoder():
    from cezsar.video import Decoder

    with Decoder() as shared:
        yield shared


@pytest.fixture
def workspace(small_demo, monkeypatch):
    """The small demo's workspace as `$CEZSAR_HOME`."""
    monkeypatch.setenv("CEZSAR_HOME", str(small_demo[0]))
    return small_demo[0]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A CLIP of 16 dimensions with its own vocabulary and image processor, saved by SentenceTransformer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    parts, folder = tmp_path_factory.mktemp("clip-parts"), tmp_path_factory.mktemp("clip") / "tiny-clip"
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (parts / "vocab.json").write_text(json.dumps(vocabulary))
    (parts / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(str(parts), model_max_length=77)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": len(tokens), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    torch.manual_seed(3)
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=16)
    CLIPModel(config).save_pretrained(parts)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(parts)
    SentenceTransformer(str(parts), device="cpu").save(str(folder))
    return folder
