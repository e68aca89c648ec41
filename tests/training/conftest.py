"""A small made-up training set: videos whose features point where their sentences do."""

import numpy as np
import pytest

from cezsar.config import MiningConfig
from cezsar.data.annotations import Annotations, Segment
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.training.triplets import build

WORDS = ("kick", "throw", "wave", "jump", "push", "lift")
PROVENANCE = {"encoder": "made-up", "fingerprint": "f" * 64, "dim": 12, "fps": 1.0}


def vector(sentence):
    """(16,) sentence vector: the word it is about, and a little of its own."""
    rng = np.random.default_rng(sum(sentence.encode()) * 7919 + len(sentence))
    base = np.zeros(16, np.float32)
    base[:6] = 0.55
    base[WORDS.index(sentence.split()[-1])] += 1
    return base + 0.15 * rng.normal(size=16).astype(np.float32)


class MadeUpSentences:
    """A sentence encoder of 16 dimensions."""

    name, dim, fingerprint = "made-up words", 16, "5" * 64

    def encode(self, sentences):
        return np.array([vector(sentence) for sentence in sentences], np.float32).reshape(-1, 16)


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """(annotations, store): 24 videos of 30 seconds, three segments each."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    segments = []
    with StoreWriter(folder, PROVENANCE) as writer:
        for number in range(24):
            features = 0.3 * rng.normal(size=(30, 12)).astype(np.float32)
            for part in range(3):
                word = int(rng.integers(6))
                features[part * 10 : part * 10 + 10, word] += 2
                sentence = f"person {number} in part {part} does {WORDS[word]}"
                segments.append(Segment(f"v{number:02}", part * 10.0, part * 10 + 9.5, sentence))
            writer.add(f"v{number:02}", features)
    durations = {segment.video_id: 30.0 for segment in segments}
    return Annotations(segments=segments, durations=durations), FeatureStore(folder)


@pytest.fixture(scope="session")
def triplets(made_up):
    annotations, store = made_up
    return build(annotations, store, MadeUpSentences(), np.random.default_rng(0), MiningConfig(negatives=4))


@pytest.fixture(scope="session")
def sentence_encoder():
    return MadeUpSentences()
