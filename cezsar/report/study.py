"""What a report is about: a method on a data set, with what its subjects ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cezsar.analysis.gap import UnitSpace
from cezsar.analysis.shift import MOST_CLIPS
from cezsar.arrays import FloatArray, IntArray
from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.errors import InputError, MismatchError
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import active
from cezsar.zeroshot.methods import Prepared, Sources
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Cloud
from cezsar.zeroshot.scores import Scores, Several
from cezsar.zeroshot.spaces import embed_dataset, space_for

WINDOW_S = 10  # of a training video, where no model says


@dataclass(frozen=True, eq=False)
class Study:
    """A method on a data set, with what the subjects ask for."""

    ready: Prepared
    dataset: str  # its name
    descriptions: Mapping[str, Sequence[str]]
    protocol: Protocol  # random splits, for means and spreads
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)  # hard ones; proposed where there are none
    rows: IntArray = field(default_factory=lambda: np.empty(0, np.int64))  # the clips in `clouds`
    clouds: Mapping[str, Cloud] = field(default_factory=dict)  # "raw", "sentence", "joint" -> points there
    together: Scores | None = None  # of clips of these and of seen classes, with all classes to choose from
    seen: Sequence[str] = ()  # the seen classes there
    domains: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)  # as `domains_of` makes them
    several: Several = "nearest"  # what a class with several sentences is compared by
    seed: int = 0  # of everything that is drawn

    @cached_property
    def confusion(self) -> IntArray:
        """(C, C) counts, with all classes to choose from."""
        return confusion_matrix(self.ready.scores, self.ready.weights)

    @cached_property
    def filled(self) -> list[str]:
        """The classes that have clips."""
        present = np.unique(self.ready.scores.label_index)
        return [self.ready.scores.class_names[index] for index in present if index >= 0]

    def space(self, name: str) -> UnitSpace:
        """One of `clouds`, with the labels of its clips."""
        scores, owner = self.ready.scores, self.ready.embedded.embeddings.prototype_class
        return UnitSpace(self.clouds[name], scores.label_index[self.rows], owner, len(scores.class_names))

    def rng(self) -> np.random.Generator:
        """Anew for each subject, so that none depends on those before it."""
        return np.random.default_rng(self.seed)

    def about(self) -> dict[str, Any]:
        scores, weights = self.ready.scores, self.ready.weights
        return {
            "method": self.ready.title, "dataset": self.dataset, "clips": len(scores.ids),
            "classes": len(scores.class_names), "splits": f"{self.protocol.name}, seed {self.protocol.seed}",
            "weights": ", ".join(f"{name} {weight:g}" for name, weight in active(scores, weights).items()),
            "notes": " ".join(self.ready.embedded.notes) or "none",
        }  # fmt: skip


def seen_and_unseen(ready: Prepared, unseen: Sources, seen: Dataset, store: FeatureStore) -> tuple[Scores, list[str]]:
    """Clips of classes that training showed (`seen`, in `store`) and those of `unseen`, which `ready` was made of,
    scored against the classes of both; and the names of the seen ones. Raises `InputError` without a run, and as
    `Embeddings.joined` and `embed_dataset` do."""
    if ready.run is None or ready.store is None:
        raise InputError("seen and unseen classes can be told apart where there is a run and a store; give both")
    found = embed_dataset(space_for(ready.run), store, seen, seen.descriptions, run=ready.run).embeddings
    return Scores.from_embeddings(ready.embedded.embeddings.joined(found), unseen.several), found.class_names


def domains_of(
    train: FeatureStore, ready: Prepared, rng: np.random.Generator
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """At most `shift.MOST_CLIPS` training and test videos as vectors: "raw", mean features, and where there is a run
    "joint", VE; a random window of a training video stands for it. Raises `MismatchError` for features of different
    encoders, `InputError` without a store of test clips."""
    if ready.store is None:
        raise InputError("a domain shift needs features of the test clips; give their store")
    made, wanted = (store.provenance["encoder"] for store in (train, ready.store))
    if train.provenance["fingerprint"] != ready.store.provenance["fingerprint"]:
        raise MismatchError(f"{train.folder} has features of {made}, the test clips of {wanted}; extract both with one")
    seconds = ready.run.config.model.max_seconds if ready.run else WINDOW_S

    def some(ids: Sequence[str]) -> list[str]:
        return [ids[i] for i in np.sort(rng.permutation(len(ids))[:MOST_CLIPS])]

    clips = []
    for features_TD in map(train.features, some(train.ids)):
        first = int(rng.integers(max(1, len(features_TD) - seconds + 1)))
        clips.append(features_TD[first : first + seconds])
    tests = [ready.store.features(clip) for clip in some(ready.scores.ids)]
    means = [np.stack([clip_TD.mean(axis=0) for clip_TD in side]) for side in (clips, tests)]
    found = {"raw": (means[0], means[1])}
    if ready.run:
        training_NE, test_NE = map(space_for(ready.run).clips, (clips, tests))
        if training_NE is not None and test_NE is not None:
            found["joint"] = training_NE, test_NE
    return found
