"""Sentences -> vectors: the frozen sentence encoder SBERT(s) of the method (Eq. 6 builds on it)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cezsar.encoders import catalogue, compute, weight_files
from cezsar.errors import InputError

# Width and fingerprint of minilm: so the model need not be loaded before a sentence asks for it.
MINILM_KNOWN = 384, "9dbafa682f12374d9c059d9135a4777259a5b7215ea3848974d72112fbdf9f08"
BATCH = 64


class SentenceEncoder:
    """A sentence encoder, loaded at once, unless width and fingerprint are `known`: then when it is first needed.
    Vectors are the model's own: nothing is normalised here (MiniLM ends in a unit norm)."""

    def __init__(self, name: str, load: Callable[[], Any], known: tuple[int, str] | None = None) -> None:
        self.name, self._load = name, load
        if known is None:
            width = self._model.get_embedding_dimension() or len(self._model.encode("a"))
            known = width, weight_files.transformer_fingerprint(self._model, kind="sentences")
        self.dim, self.fingerprint = known

    @functools.cached_property
    def _model(self) -> Any:
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


class MiniLM:
    """The embedded encoder as sentence-transformers computes it, the mean of its tokens brought to length 1, by
    transformers alone: it needs no second of imports more. As far as `SentenceEncoder` asks a SentenceTransformer."""

    max_seq_length = 256

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        with weight_files.loading("minilm", folder, "transformers"):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            bert: Any = AutoModel.from_pretrained(folder, add_pooling_layer=False)
        self._bert = bert.to(device).eval()

    def encode(self, sentences: Sequence[str], batch_size: int, **shown: bool) -> np.ndarray:
        """(N, 384) float32; sentences of like length are computed together."""
        import torch

        vectors = np.empty((len(sentences), MINILM_KNOWN[0]), np.float32)
        order = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))
        for rows in (order[first : first + batch_size] for first in range(0, len(order), batch_size)):
            tokens = self.tokenizer(
                [sentences[row] for row in rows], padding=True, truncation=True, max_length=self.max_seq_length,
                return_tensors="pt",
            ).to(self._bert.device)  # fmt: skip
            with torch.inference_mode():
                tokens_NLS = self._bert(**tokens).last_hidden_state * tokens["attention_mask"][..., None]
                vectors[rows] = torch.nn.functional.normalize(tokens_NLS.sum(1)).cpu().numpy()
        return vectors


def load_sentence_encoder(name_or_folder: str | Path = "minilm", device: str | None = None) -> SentenceEncoder:
    """`minilm` (carried by a package), `distilroberta` (the paper's), any sentence-transformers name, or a folder; what
    is not here is fetched. Raises `MissingWeightsError` where that cannot be, `FormatError` for a damaged model."""
    name, device = str(name_or_folder), compute.pick_device(device)
    if name == "minilm":
        own = catalogue.carried(name)
        return SentenceEncoder(name, lambda: MiniLM(own, device), MINILM_KNOWN)
    folder = weight_files.fetch(name)
    return SentenceEncoder(name, lambda: weight_files.load_transformer(name, folder, device))
