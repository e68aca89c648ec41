"""The interfaces that the rest of the package relies on. Here T are seconds (rows), D features, K objects."""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from cezsar.video import Frame, Sampling

# In place of the fingerprint of an encoder that ran elsewhere, as with the authors' release: it can be checked by its
# name and the width of its vectors only.
BY_NAME = "by name"


class Vocabulary(Protocol):
    """Objects in words: an object head, or what a feature store keeps of one."""

    @property
    def names(self) -> Sequence[str]: ...  # of the K objects
    @property
    def definitions(self) -> Sequence[str]: ...  # of a dictionary, one a name; "" where there is none


@runtime_checkable
class ObjectHead(Vocabulary, Protocol):
    """A classifier that sits on stored frame features, so that objects need no second look at the video."""

    @property
    def fingerprint(self) -> str: ...  # SHA-256 (hex) of weights, names and definitions
    def logits(self, features_TD: np.ndarray) -> np.ndarray: ...  # (T, K) float32; `InputError` if not finite


@runtime_checkable
class FrameEncoder(Protocol):
    """Frames of one clip -> one feature row per second, together with all that identifies those features."""

    @property
    def name(self) -> str: ...  # that `cezsar.encoders.create` knows it by
    @property
    def dim(self) -> int: ...  # D, the width of a feature row
    @property
    def sampling(self) -> Sampling: ...  # the frames it wants
    @property
    def fingerprint(self) -> str: ...  # SHA-256 (hex) of preprocessing and weights; equal: interchangeable features
    @property
    def domain(self) -> str: ...  # one line on what it was trained on, and so what it may be trusted for
    @property
    def in_decoder(self) -> bool: ...  # whether it is light and picklable and should run in the decoder process
    @property
    def object_head(self) -> ObjectHead | None: ...  # objects from its features; None if it has none of its own

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        """Frames in time order -> (T, D) float32; row i stands for second [i, i + 1) of the clip."""
