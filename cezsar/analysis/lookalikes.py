"""Look-alike classes: pairs whose descriptions are worth rewriting, and the words that tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from cezsar.analysis.confusion import FUNCTION_WORDS, prototype_similarity, row_normalised
from cezsar.data.labels import canonical, resolve
from cezsar.data.prototype_checks import differing_words
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings

MORE_FUNCTION_WORDS = frozenset(
    ["are", "as", "be", "he", "her", "his", "is", "it", "its", "onto", "she", "that", "their", "them", "then", "they",
     "this", "which", "while", "who"]
)  # fmt: skip
"""Words of sentences, beside those of names, that tell no two actions apart."""


@dataclass(frozen=True)
class Lookalikes:
    """Two classes that clips are confused between, and whose prototypes are near.

    Attributes:
        similarity: cosine similarity of their prototypes, of the nearest two where they have several.
        share: of the clips of one that are taken for the other, from 0 to 1: mean of both directions.
        taken: clips of `first` that are taken for `second`.
        reverse: clips of `second` that are taken for `first`.
        first_words, second_words: words that the sentences of one class have and those of the other lack.
    """

    first: str
    second: str
    similarity: float
    share: float
    taken: int
    reverse: int
    first_words: list[str]
    second_words: list[str]


def confusable(
    embeddings: Embeddings,
    confusion_KK: npt.ArrayLike,
    classes: Sequence[str],
    descriptions: Mapping[str, Sequence[str]] | None = None,
    k: int = 10,
) -> list[Lookalikes]:
    """Pairs of classes whose prototypes are alike and that take each other's clips, most confused first.

    Alike is: more similar than the mean of all pairs; other confusions do not stem from the sentences. Of equal shares
    the more similar pair comes first, then the order of `classes`.

    Args:
        embeddings: whose prototypes are compared.
        confusion_KK: counts of clips, as `evaluation.confusion_matrix` makes them.
        classes: of its rows, in any spelling.
        descriptions: class name, in any spelling, -> sentences, for the words.
        k: pairs at most, from 1.

    Raises:
        InputError: an unknown class, a matrix that does not go with `classes`, or k below 1.
    """
    if k < 1:
        raise InputError(f"{k} pairs were asked for; ask for at least 1")
    names = resolve(classes, embeddings.class_names)
    shares_KK, counts_KK = row_normalised(confusion_KK), np.asarray(confusion_KK)
    if shares_KK.shape != (len(names), len(names)):
        raise InputError(f"a confusion matrix of shape {shares_KK.shape} does not go with {len(names):,} classes")
    rows = [embeddings.class_names.index(name) for name in names]
    similarity_KK = prototype_similarity(
        embeddings.prototypes, embeddings.prototype_class, len(embeddings.class_names)
    )[np.ix_(rows, rows)]
    pairs = list(combinations(range(len(names)), 2))
    usual = float(np.mean([similarity_KK[pair] for pair in pairs])) if pairs else 0.0
    share = {(i, j): float(shares_KK[i, j] + shares_KK[j, i]) / 2 for i, j in pairs}
    # With two classes the only pair is the mean; it still is what can be rewritten.
    found = [pair for pair in pairs if share[pair] > 0 and (similarity_KK[pair] > usual or len(names) == 2)]
    sentences = {canonical(name): texts for name, texts in (descriptions or {}).items()}
    return [
        Lookalikes(
            names[i],
            names[j],
            float(similarity_KK[i, j]),
            share[i, j],
            int(counts_KK[i, j]),
            int(counts_KK[j, i]),
            *_words(*(sentences.get(canonical(names[row]), ()) for row in (i, j))),
        )
        for i, j in sorted(found, key=lambda pair: (-share[pair], -similarity_KK[pair]))[:k]
    ]


def _words(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words of one class's sentences that the other's lack, function words aside, in the order of the sentences."""
    silent = FUNCTION_WORDS | MORE_FUNCTION_WORDS
    ours, theirs = differing_words(" ".join(first), " ".join(second))
    return [word for word in ours if word not in silent], [word for word in theirs if word not in silent]
