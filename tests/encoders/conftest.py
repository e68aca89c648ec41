"""Small models with random weights, saved as the genuine formats are saved, and frames to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cezsar.video import Frame


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty workspace and no hub, whatever the machine has."""
    from huggingface_hub import constants

    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on two threads, and much slower where another process has one of the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def frames() -> list[Frame]:
    """Five frames of a shape that has to be resized and cropped, no two alike."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (5, 9, 12, 3), dtype=np.uint8)
    return [Frame(float(t), np.kron(image, np.ones((20, 20, 1), np.uint8))) for t, image in enumerate(coarse)]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
