"""Sentences -> vectors: the frozen sentence encoder SBERT(s) of the method (Eq. 6 builds on it)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cezsar.encoders import catalogue, compute, weight_files
from cezsar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Width and fingerprint of minilm: so the model need not be loaded before a sentence asks for it.
MINILM_KNOWN = 384, "9dbafa682f12374d9c059d9135a4777259a5b7215ea3848974d72112fbdf9f08"
BATCH = 64


class SentenceEncoder:
    """A sentence encoder, loaded at once, unless width and fingerprint are `known`: then when it is first needed.
    Vectors are the model's own: nothing is normalised here (MiniLM ends in a unit norm)."""

    def __init__(
        self, name: str, load: Callable[[], SentenceTransformer], known: tuple[int, str] | None = None
    ) -> None:
        self.name, self._load = name, load
        if known is None:
            width = self._model.get_embedding_dimension() or len(self._model.encode("a"))
            known = width, weight_files.transformer_fingerprint(self._model, kind="sentences")
        self.dim, self.fingerprint = known

    @functools.cached_property
    def _model(self) -> SentenceTransformer:
        return self._load()

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
        if not sentences:
            return np.zeros((0, self.dim), np.float32)
        distinct = list(dict.fromkeys(sentences))
        vectors = self._model.encode(distinct, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
        row_of = {sentence: row for row, sentence in enumerate(distinct)}
        return np.asarray(vectors, np.float32)[[row_of[sentence] for sentence in sentences]]


def load_sentence_encoder(name_or_folder: str | Path = "minilm", device: str | None = None) -> SentenceEncoder:
    """`minilm` (carried by a package), `distilroberta` (the paper's), any sentence-transformers name, or a folder; what
    is not here is fetched. Raises `MissingWeightsError` where that cannot be, `FormatError` for a damaged model."""
    name, device = str(name_or_folder), compute.pick_device(device)
    folder = catalogue.carried(name) if name == "minilm" else weight_files.fetch(name)
    known = MINILM_KNOWN if name == "minilm" else None
    return SentenceEncoder(name, lambda: weight_files.load_transformer(name, folder, device), known)
