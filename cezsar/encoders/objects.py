"""Objects: stored frame features -> what is in the clip, in words. O(v) of the method, made as `RULES` says."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.special import softmax

from cezsar.arrays import unit_rows
from cezsar.atomic import read_tensors, write_tensors
from cezsar.encoders.base import ObjectHead, Vocabulary
from cezsar.errors import InputError
from cezsar.formats import VERSIONS, check_stamp

HEAD = "cezsar object head"
HEAD_FORMAT = f"{HEAD} {VERSIONS[HEAD]}"
RULES = {
    "sentence": "one sentence of the most probable objects' names and definitions (Section 3.5 of the paper)",
    "definitions": "a sentence for each object, name and definition, summed by probability (after [9])",
    "names": "the direction of the sum of the objects' names by probability, which is averaged over seconds",
}

Recognised = list[tuple[str, str, float]]  # objects of a clip, most probable first: name, definition, probability


class LinearHead:
    """A linear classifier on frame features: logits = features @ weight_KD.T + bias_K. With `unit_norm` each feature
    row is brought to length one first, so that a logit is a scaled cosine similarity."""

    def __init__(
        self, names: Sequence[str], definitions: Sequence[str], weight: np.ndarray, bias: np.ndarray | None = None,
        unit_norm: bool = False,
    ) -> None:  # fmt: skip
        self.names, self.definitions, self.unit_norm = list(names), list(definitions), unit_norm
        self.weight = np.ascontiguousarray(weight, np.float32)
        self.bias = np.ascontiguousarray(np.zeros(len(self.names)) if bias is None else bias, np.float32)

    @functools.cached_property
    def fingerprint(self) -> str:
        words = json.dumps([HEAD_FORMAT, self.names, self.definitions, self.unit_norm, self.weight.shape])
        return hashlib.sha256(words.encode() + self.weight.tobytes() + self.bias.tobytes()).hexdigest()

    def logits(self, features_TD: np.ndarray) -> np.ndarray:
        """(T, D) -> (T, K) float32. Raises `InputError` for another width, or what is not finite."""
        features_TD = np.asarray(features_TD, np.float32)
        width = self.weight.shape[1]
        if features_TD.ndim != 2 or features_TD.shape[1] != width:
            raise InputError(f"this object head takes (T, {width}) features; these are {features_TD.shape}")
        if not np.isfinite(features_TD).all():
            row = int(np.flatnonzero(~np.isfinite(features_TD).all(1))[0])
            raise InputError(f"features of second {row} are not finite (NaN or infinity): extract them again")
        return (unit_rows(features_TD) if self.unit_norm else features_TD) @ self.weight.T + self.bias

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; names and definitions are in its metadata."""
        words = {"names": self.names, "definitions": self.definitions, "unit_norm": self.unit_norm}
        metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in words.items()}
        write_tensors(path, {"weight": self.weight, "bias": self.bias}, {"format": HEAD_FORMAT, **metadata})

    @classmethod
    def load(cls, path: str | Path) -> LinearHead:
        """Read what `save` wrote. Raises `FormatError` on anything else."""
        with read_tensors(path, "give another recogniser") as (arrays, metadata):
            kind, _, version = metadata.get("format", "").rpartition(" ")
            check_stamp(path, HEAD, {"cezsar": kind, "version": version}, "give another recogniser")
            words = {key: json.loads(metadata[key]) for key in ("names", "definitions", "unit_norm")}
            head = cls(weight=arrays["weight"], bias=arrays["bias"], **words)
            "".join([*head.names, *head.definitions])  # are text
            sizes = {len(head.names), len(head.definitions), *head.bias.shape, *head.weight.shape[:1]}
            if head.weight.ndim != 2 or len(sizes) > 1 or not np.isfinite([head.weight.sum(), head.bias.sum()]).all():
                raise ValueError("names, definitions and weights do not agree, or are not finite")
        return head


def top_objects(logits_TK: np.ndarray, k: int = 3, rule: str = "sentence") -> tuple[np.ndarray, np.ndarray]:
    """Indices (k,) int64 and probabilities (k,) float32 of a clip's most probable objects, ties in vocabulary order:
    the softmax of the mean over time of the logits; by the rule "names" the mean over time of the softmax, so that what
    one second shows clearly is not lost."""
    logits_TK = np.asarray(logits_TK, np.float64)
    if rule != "names":
        logits_TK = logits_TK.mean(0, keepdims=True)
    probability_K = softmax(logits_TK, axis=1).mean(0)
    indices = np.argsort(-probability_K, kind="stable")[:k]
    return indices, probability_K[indices].astype(np.float32)


def in_words(vocabulary: Vocabulary, indices: np.ndarray, probabilities: np.ndarray) -> Recognised:
    """Objects by their indices, as `Recognised`."""
    names, definitions = vocabulary.names, vocabulary.definitions
    return [(names[i], definitions[i], float(p)) for i, p in zip(indices.tolist(), probabilities, strict=True)]


def recognise(head: ObjectHead, features_TD: np.ndarray, k: int = 3, rule: str = "sentence") -> Recognised:
    """The k most probable objects of a clip of (T, D) features, as `top_objects` has them."""
    return in_words(head, *top_objects(head.logits(features_TD), k, rule))


def object_sentence(vocabulary: Vocabulary, indices: Iterable[int]) -> str:
    """O(v) as one text: "name definition" of each object, joined by full stops."""
    return ". ".join(f"{vocabulary.names[index]} {vocabulary.definitions[index]}".strip() for index in indices)


def object_phrases(head: ObjectHead, indices: Iterable[int], min_words: int = 5, max_words: int = 20) -> list[str]:
    """Positives for training, each once: definitions cut at their semicolons, every piece with the object's name before
    it. Pieces of fewer than `min_words` words are joined with the next one, longer ones end after `max_words`."""
    phrases: dict[str, None] = {}
    for index in indices:
        name, piece = head.names[index].split(), list[str]()
        for part in head.definitions[index].split(";"):
            piece += part.split()
            if len(name) + len(piece) >= min_words and piece:
                phrases[" ".join((name + piece)[:max_words])] = None
                piece = []
    return list(phrases)


def imagenet_vocabulary(subset: str = "imagenet-1k") -> tuple[list[str], list[str]]:
    """Names (the first lemma of a WordNet synset, of which two may be equal) and definitions of an ImageNet class list,
    `subset` as timm names it, in the order of classifiers' outputs."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo(subset)
    lemmas = [info.label_name_to_description(label) for label in info.label_names()]
    detailed = [info.label_name_to_description(label, detailed=True) for label in info.label_names()]
    definitions = [both[len(lemma) + 1 :].strip() for lemma, both in zip(lemmas, detailed, strict=True)]
    return [lemma.split(",")[0].strip() for lemma in lemmas], definitions
