"""The prop recogniser: learns what it is shown, from appearance alone, and is a linear head like others."""

import numpy as np
import pytest

from cezsar.demo.recogniser import fit_props
from cezsar.encoders.motion import APPEARANCE, MotionEncoder
from cezsar.encoders.objects import LinearHead, top_objects
from cezsar.world import OBJECTS

COLUMNS = MotionEncoder().columns(*APPEARANCE)
OTHERS = np.setdiff1d(np.arange(MotionEncoder().dim), COLUMNS)


@pytest.fixture(scope="module")
def rows():
    """Makes rows whose appearance depends on the prop, and, when cheating, another column, too; and the props."""
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(3, len(COLUMNS)))

    def made(count, cheating):
        props = rng.integers(3, size=count)
        features = 3 + rng.normal(size=(count, MotionEncoder().dim)).astype(np.float32)
        features[:, COLUMNS] += 0.5 * looks[props]
        if cheating:
            features[:, OTHERS[0]] = 10 * props
        return features, props

    return made


def test_it_recognises_what_it_was_shown_and_not_how_it_moved(rows, tmp_path):
    training = rows(900, cheating=True)
    head = fit_props(*training, 1)
    features, props = rows(300, cheating=False)
    logits = head.logits(features)
    assert (logits.argmax(1) == props).mean() > 0.95
    assert not head.weight[:, OTHERS].any()
    (index,), (probability,) = top_objects(logits[:1], 1)
    assert index == props[0] and 0.5 < probability < 1
    # A linear head: sums written out, and the same from disk.
    by_hand = [sum(float(w) * float(x) for w, x in zip(row, features[0], strict=True)) for row in head.weight]
    np.testing.assert_allclose(logits[0], by_hand + head.bias, atol=1e-2)
    head.save(tmp_path / "head.safetensors")
    again = LinearHead.load(tmp_path / "head.safetensors")
    assert again.fingerprint == head.fingerprint and again.names == list(OBJECTS)
    assert fit_props(*training, 1).fingerprint == head.fingerprint != fit_props(*training, 2).fingerprint
