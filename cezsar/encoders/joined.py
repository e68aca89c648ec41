"""`<image-text model>+<classifier>`, as in `open_clip:PE-Core-B-16+efficientnet`: one ranks, the other names objects.

A row is the first encoder's followed by the second's. VE and text are the first's, the object head is the second's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from cezsar.encoders.base import FrameEncoder, LooksAround, ObjectHead
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.video import Frame

BLOCK = 32  # frames held at once


class JoinedEncoder:
    """Two frame encoders as one. `ranks` reads text, too; `names` has an object head that is linear in its features.

    Raises:
        InputError: they do not, or want frames of different rates or channel orders.
    """

    in_decoder = False

    def __init__(self, name: str, ranks: Any, names: FrameEncoder) -> None:
        self.name, self._ranks, self._names = name, ranks, names
        head = names.object_head
        if not hasattr(ranks, "text_vectors") or not isinstance(head, LinearHead) or head.unit_norm:
            raise InputError(f"{name}: the first must be a model of pictures and words, the second a classifier")
        if (ranks.sampling.fps, ranks.sampling.bgr) != (names.sampling.fps, names.sampling.bgr):
            raise InputError(f"{name}: the two want frames of different rates or channel orders")
        self.sampling, self.prompts, self.trust = ranks.sampling, ranks.prompts, ranks.trust
        self.domain = f"{ranks.domain}; objects from {names.domain}"
        self.visual_dim, self.dim = ranks.dim, ranks.dim + names.dim

    @functools.cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"joined {self._ranks.fingerprint} {self._names.fingerprint}".encode()).hexdigest()

    @functools.cached_property
    def object_head(self) -> ObjectHead:
        head = self._names.object_head
        assert isinstance(head, LinearHead)
        weight = np.hstack([np.zeros((len(head.names), self.visual_dim), np.float32), head.weight])
        return LinearHead(head.names, head.definitions, weight, head.bias)

    def text_vectors(self, sentences: Sequence[str]) -> np.ndarray:
        """N sentences -> (N, `visual_dim`) float32, the first encoder's."""
        vectors: np.ndarray = self._ranks.text_vectors(sentences)
        return vectors

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        # Rows that depend on their neighbours need all of them at once.
        size = None if isinstance(self._ranks, LooksAround) else BLOCK
        waiting, parts = iter(frames), [np.zeros((0, self.dim), np.float32)]
        while block := list(islice(waiting, size)):
            parts.append(np.hstack([self._ranks.encode(block), self._names.encode(block)]))
        return np.concatenate(parts)
