"""The run `photographs` as it comes along: what it is made of, and that it ranks real pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_sample_image

import cezsar
from cezsar import encoders
from cezsar.data.datasets import named_descriptions
from cezsar.data.sentence_cache import SHIPPED, SentenceCache, open_encoder
from cezsar.encoders.objects import imagenet_vocabulary
from cezsar.encoders.sentences import load_sentence_encoder
from cezsar.training.rows import FUSION, OBJECTS, run_of_rows
from cezsar.training.runs import Run, find_run


@pytest.fixture(scope="module")
def run() -> Run:
    return Run.open("photographs")


def test_it_is_found_by_name_small_and_of_the_encoders_that_are_here(run: Run) -> None:
    assert find_run("photographs") == run.folder and find_run("nothing of the kind") is None
    assert sum(file.stat().st_size for file in run.folder.iterdir()) < 3e6
    encoder = encoders.create("efficientnet")
    run.check_feature_encoder(encoder.name, encoder.fingerprint)
    sentences = open_encoder(run.config.sentence_encoder["name"])
    run.check_sentence_encoder(sentences.name, sentences.fingerprint, sentences.dim)
    assert (run.config.object_rule, run.config.objects, run.config.fusion) == ("names", OBJECTS, FUSION)


def test_a_picture_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    film = tmp_path / "film.avi"
    palace = np.ascontiguousarray(load_sample_image("china.jpg")[..., ::-1])
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 4, palace.shape[1::-1])
    for _ in range(12):
        writer.write(palace)
    writer.release()
    labels = ["visiting a palace", "playing drums", "swimming", "riding a bike", "cooking an egg"]
    with cezsar.load("photographs") as classifier:
        ranking = classifier.classify(film, labels)
    assert ranking.labels[0][0] == "visiting a palace" and ranking.margin > 0.1
    assert ranking.objects[0][0] == "palace" and set(ranking.contributions) == {"VE", "O"}
    assert ranking.per_second is not None and ranking.per_second.shape == (3, 5)
    assert ranking.probabilities is not None and ranking.none_of_these is False and ranking.warning == ""


def test_what_it_needs_for_a_first_answer_comes_along(tmp_path: Path) -> None:
    sentences = load_sentence_encoder("minilm")
    texts = [*imagenet_vocabulary()[0], *(text for (text,) in named_descriptions("kinetics400").values())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "encode", None)
        found = SentenceCache(sentences, tmp_path, SHIPPED).encode(texts)
    np.testing.assert_allclose(found[::50], sentences.encode(texts[::50]), rtol=5e-4, atol=2e-6)  # float16
    assert sum(file.stat().st_size for file in SHIPPED[0].rglob("*.npz")) < 1.5e6


@pytest.mark.heavy
def test_the_documented_command_makes_it_again(run: Run, tmp_path: Path) -> None:
    again = run_of_rows(tmp_path / "photographs", encoders.create("efficientnet"), open_encoder("minilm"))
    assert again.config == run.config
    shipped, made = (load_file(folder / "model.safetensors") for folder in (run.folder, again.folder))
    # The sign of a component is arbitrary, and not the same with every library of linear algebra.
    parts = "sentence.components.weight", "sentence.components.bias", "visual.project.weight"
    signs = np.sign((shipped[parts[0]].astype(np.float32) * made[parts[0]]).sum(1))
    for name, values in made.items():
        values = (values.T * signs).T if name in parts else values
        np.testing.assert_allclose(shipped[name].astype(np.float32), values, rtol=2e-3, atol=1e-3, err_msg=name)
