"""A small made-up training set: videos whose features point where their sentences do."""

import numpy as np
import pytest

from cezsar.config import MiningConfig
from cezsar.data.annotations import Annotations, Segment
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.training.triplets import build

WORDS = ("kick", "throw", "wave", "jump", "push", "lift")
PROVENANCE = {"encoder": "made-up", "fingerprint": "f" * 64, "dim": 12, "fps": 1.0}


class MadeUpSentences:
    name, dim, fingerprint = "made-up words", 16, "5" * 64

    def encode(self, sentences):
        vectors = np.zeros((len(sentences), 16), np.float32)
        vectors[:, :6] = 0.55
        for vector, sentence in zip(vectors, sentences, strict=True):
            vector[WORDS.index(sentence.split()[-1])] += 1
            vector += 0.15 * np.random.default_rng(sum(sentence.encode()) * 7919 + len(sentence)).normal(size=16)
        return vectors


@pytest.fixture(scope="session")
def sentence_encoder():
    return MadeUpSentences()


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """(annotations, store): 24 videos of 30 seconds, three segments each."""
    folder, rng, segments = tmp_path_factory.mktemp("store"), np.random.default_rng(0), []
    with StoreWriter(folder, PROVENANCE) as writer:
        for number in range(24):
            features = 0.3 * rng.normal(size=(30, 12)).astype(np.float32)
            for part in range(3):
                word = int(rng.integers(6))
                features[part * 10 : part * 10 + 10, word] += 2
                sentence = f"person {number} in part {part} does {WORDS[word]}"
                segments.append(Segment(f"v{number:02}", part * 10.0, part * 10 + 9.5, sentence))
            writer.add(f"v{number:02}", features)
    return Annotations(segments, {segment.video_id: 30.0 for segment in segments}), FeatureStore(folder)


@pytest.fixture(scope="session")
def triplets(made_up, sentence_encoder):
    return build(*made_up, sentence_encoder, np.random.default_rng(0), MiningConfig(negatives=4))
