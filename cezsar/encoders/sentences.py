"""Sentences -> vectors: the frozen sentence encoder SBERT(s) of the method (Eq. 6 builds on it).

`minilm` is carried by a wheel that is installed with this package, and checked against its published SHA-256.
`distilroberta` is the paper's own. Any other name is a sentence-transformers model on the hub, any path a folder that
SentenceTransformer saved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cezsar.encoders import catalogue, compute, weight_files
from cezsar.encoders.fetching import fetch
from cezsar.errors import FormatError, InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Width and fingerprint of minilm: so the model need not be loaded before a sentence asks for it.
MINILM_KNOWN = 384, "9dbafa682f12374d9c059d9135a4777259a5b7215ea3848974d72112fbdf9f08"
BATCH = 64


class SentenceEncoder:
    """A sentence encoder. Vectors are the model's own: nothing is normalised here (MiniLM ends in a unit norm)."""

    def __init__(
        self, name: str, load: Callable[[], SentenceTransformer], known: tuple[int, str] | None = None
    ) -> None:
        """Load the model, unless its width and fingerprint are `known`: then it is loaded when first needed."""
        self.name, self._load, self._known = name, load, known
        self.dim = int(known[0] if known else self._model.get_embedding_dimension() or 0)
        if not self.dim:
            raise FormatError(f"the sentence encoder {name} does not say how wide its vectors are")

    @functools.cached_property
    def _model(self) -> SentenceTransformer:
        return self._load()

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
        tokenizer = getattr(self._model.tokenizer, "tokenizer", self._model.tokenizer)
        return [len(tokenizer(sentence, truncation=False, verbose=False)["input_ids"]) for sentence in sentences]

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """N sentences -> (N, d_s) float32, in the order given; each distinct one is computed once."""
        if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
            raise InputError(f"a list of sentences is expected, not {sentences!r:.80}")
        place: dict[str, int] = {}
        rows = [place.setdefault(sentence, len(place)) for sentence in sentences]
        if not rows:
            return np.zeros((0, self.dim), np.float32)
        vectors = self._model.encode(list(place), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(vectors, np.float32)[rows]


def load_sentence_encoder(name_or_folder: str | Path = "minilm", device: str | None = None) -> SentenceEncoder:
    """`minilm`, `distilroberta`, any sentence-transformers name, or a folder; what is not here is fetched.

    Raises `MissingWeightsError` where that cannot be, `FormatError` where what is there cannot be loaded.
    """
    name, device = str(name_or_folder), compute.pick_device(device)
    folder = catalogue.carried(name) if name == "minilm" else fetch(name)
    known = MINILM_KNOWN if name == "minilm" else None
    return SentenceEncoder(name, lambda: weight_files.load_transformer(name, folder, device), known)
