"""What a report is about: a method on a data set, with what its subjects ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cezsar.analysis.shift import MOST_CLIPS
from cezsar.arrays import FloatArray, IntArray
from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.data.labels import canonical, resolve
from cezsar.errors import InputError, MismatchError
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import active
from cezsar.zeroshot.methods import Prepared, Sources
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Cloud
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.spaces import embed_dataset, space_for

WINDOW_S = 10  # of a training video, where no model says


@dataclass(frozen=True, eq=False)
class Study:
    """A method on a data set, with what the subjects ask for.

    Attributes:
        ready: the method, its embeddings and scores.
        dataset: its name.
        descriptions: class name -> sentences.
        protocol: random splits, for means and spreads.
        groups: hard groups of classes, for the control; proposed where there are none.
        rows: indices of the clips in `clouds`.
        clouds: "raw", "sentence", "joint" -> clips and prototypes there.
        together: scores of these clips and of clips of seen classes, with all classes to choose from.
        seen: names of the seen classes there.
        domains: space -> vectors of training clips and of test clips there, for the domain shift.
        seed: of everything that is drawn.
    """

    ready: Prepared
    dataset: str
    descriptions: Mapping[str, Sequence[str]]
    protocol: Protocol
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    clouds: Mapping[str, Cloud] = field(default_factory=dict)
    together: Scores | None = None
    seen: Sequence[str] = ()
    domains: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    seed: int = 0

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two modalities of a fusion curve."""
        names = self.ready.scores.modalities
        return (names[0], names[1]) if len(names) > 1 else None

    @cached_property
    def confusion(self) -> IntArray:
        """(C, C) counts, with all classes to choose from."""
        return confusion_matrix(self.ready.scores, self.ready.weights)

    def rng(self) -> np.random.Generator:
        """Anew for each subject, so that none depends on those before it."""
        return np.random.default_rng(self.seed)

    def about(self) -> dict[str, Any]:
        scores, weights = self.ready.scores, self.ready.weights
        return {
            "method": self.ready.title,
            "dataset": self.dataset,
            "clips": len(scores.ids),
            "classes": len(scores.class_names),
            "modalities": ", ".join(scores.modalities),
            "weights": ", ".join(f"{name} {weight:g}" for name, weight in active(scores, weights).items()),
            "splits": f"{self.protocol.name}, seed {self.protocol.seed}",
            "store": self.ready.store.fingerprint[:16] if self.ready.store else "none",
            "notes": " ".join(self.ready.embedded.notes) or "none",
        }


def seen_and_unseen(ready: Prepared, unseen: Sources, seen: Dataset, store: FeatureStore) -> tuple[Scores, list[str]]:
    """Clips of seen and of unseen classes scored against all classes, and the names of the seen ones.

    Args:
        unseen: what `ready` was made of.
        seen: labelled clips of classes that training showed, none of them a training clip.
        store: of these clips.

    Raises:
        InputError: a class is on both sides, or there is no run.
        MismatchError: the store is not of the run's encoder.
    """
    if ready.run is None or ready.store is None:
        raise InputError("seen and unseen classes can be told apart where there is a run and a store; give both")
    keys = {canonical(name) for name in ready.scores.class_names}
    names = sorted(set(seen.labels.values()))
    if shared := [name for name in names if canonical(name) in keys]:
        raise InputError(f"{shared[0]!r} is a class of both {seen.name} and the test set; name it on one side only")
    spelt = dict(
        zip(ready.scores.class_names, resolve(ready.scores.class_names, list(unseen.descriptions)), strict=True)
    )
    described = {name: unseen.descriptions[spelt[name]] for name in ready.scores.class_names} | {
        name: sentences
        for name, sentences in seen.descriptions.items()
        if canonical(name) in {canonical(label) for label in names}
    }
    space, run = space_for(ready.run), ready.run
    parts = [
        embed_dataset(space, store_of, data, described, run=run, every_class=True).embeddings
        for data, store_of in ((unseen.dataset, ready.store), (seen, store))
    ]
    shared_modalities = [name for name in parts[0].modalities if name in parts[1].modalities]
    joined = Embeddings(
        [f"{side}:{id}" for side, part in zip(("unseen", "seen"), parts, strict=True) for id in part.ids],
        [label for part in parts for label in part.labels],
        parts[0].class_names,
        {name: np.concatenate([part.modalities[name] for part in parts]) for name in shared_modalities},
        parts[0].prototypes,
        parts[0].prototype_class,
    )
    return Scores.from_embeddings(joined, unseen.several), resolve(names, joined.class_names)


def domains_of(
    train: FeatureStore, ready: Prepared, rng: np.random.Generator
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Training and test clips as vectors, one a video: mean features, and VE where there is a run.

    Of a training video a random window as long as the model takes stands for it, since test clips are short.

    Args:
        train: of the encoder that the test clips' store has.
        rng: draws videos where there are more than `shift.MOST_CLIPS`, and windows.

    Raises:
        MismatchError: the stores have features of different encoders.
        InputError: there is no store of test clips.
    """
    if ready.store is None:
        raise InputError("a domain shift needs features of the test clips; give their store")
    made, wanted = (store.provenance["encoder"] for store in (train, ready.store))
    if train.provenance["fingerprint"] != ready.store.provenance["fingerprint"]:
        raise MismatchError(f"{train.folder} has features of {made}, the test clips of {wanted}; extract both with one")
    seconds = ready.run.config.model.max_seconds if ready.run else WINDOW_S

    def window(features_TD: FloatArray) -> FloatArray:
        first = int(rng.integers(max(1, len(features_TD) - seconds + 1)))
        return features_TD[first : first + seconds]

    def some(ids: Sequence[str]) -> list[str]:
        return [ids[i] for i in np.sort(rng.permutation(len(ids))[:MOST_CLIPS])]

    clips = [window(train.features(video)) for video in some(train.ids)]
    tests = [ready.store.features(clip) for clip in some(ready.scores.ids)]
    found = {"raw": (_means(clips), _means(tests))}
    if ready.run:
        space = space_for(ready.run)
        training_NE, test_NE = space.clips(clips), space.clips(tests)
        if training_NE is not None and test_NE is not None:
            found["joint"] = training_NE, test_NE
    return found


def _means(clips: Sequence[FloatArray]) -> FloatArray:
    return np.stack([clip_TD.mean(axis=0) for clip_TD in clips])
