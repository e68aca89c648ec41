"""The prop recogniser: learns what it is shown, from appearance alone, and is a linear head like others."""

import numpy as np
import pytest

from cezsar.encoders.motion import APPEARANCE, MotionEncoder
from cezsar.encoders.objects import LinearHead, top_objects
from cezsar.encoders.props import fit_props
from cezsar.errors import InputError

NAMES, DEFINITIONS = ["ball", "broom", "drum"], ["a round thing", "a thing to sweep with", "a thing to beat"]


@pytest.fixture(scope="module")
def made_up():
    """Rows whose appearance columns depend on the prop, and whose other columns give it away only in training."""
    rng = np.random.default_rng(0)
    encoder = MotionEncoder()
    columns = encoder.columns(*APPEARANCE)
    others = np.setdiff1d(np.arange(encoder.dim), columns)
    looks = rng.normal(size=(3, len(columns)))

    def rows(count, cheating):
        props = rng.integers(3, size=count)
        features = 3 + rng.normal(size=(count, encoder.dim)).astype(np.float32)
        features[:, columns] += 0.5 * looks[props]
        if cheating:
            features[:, others[0]] = 10 * props
        return features, props

    features, props = rows(900, cheating=True)
    return encoder, others, fit_props(features, props, NAMES, DEFINITIONS, encoder, seed=1), rows, (features, props)


def test_it_recognises_what_it_was_shown_and_not_how_it_moved(made_up):
    _, others, head, rows, _ = made_up
    features, props = rows(300, cheating=False)
    found = head.logits(features).argmax(1)
    assert (found == props).mean() > 0.95
    assert not head.weight[:, others].any()
    index, probability = top_objects(head.logits(features[:1]), 3)
    assert index[0] == props[0] and probability.sum() == pytest.approx(1, abs=1e-5)


def test_it_is_a_linear_head_and_comes_back_from_disk(made_up, tmp_path):
    _, _, head, rows, _ = made_up
    features, _ = rows(5, cheating=False)
    by_hand = [
        [sum(float(w) * float(x) for w, x in zip(row, feature, strict=True)) + float(b)
         for row, b in zip(head.weight, head.bias, strict=True)]
        for feature in features
    ]  # fmt: skip
    np.testing.assert_allclose(head.logits(features), by_hand, atol=1e-2)
    head.save(tmp_path / "h.safetensors")
    again = LinearHead.load(tmp_path / "h.safetensors")
    assert again.fingerprint == head.fingerprint and again.names == NAMES and again.definitions == DEFINITIONS


def test_same_seed_same_head(made_up):
    encoder, _, head, _, (features, props) = made_up
    assert fit_props(features, props, NAMES, DEFINITIONS, encoder, seed=1).fingerprint == head.fingerprint
    assert fit_props(features, props, NAMES, DEFINITIONS, encoder, seed=2).fingerprint != head.fingerprint


def test_parts_that_do_not_fit_are_refused(made_up):
    encoder, _, _, _, (features, props) = made_up
    for arguments in ((features[:0], props[:0], NAMES), (features, props[:5], NAMES), (features, props, NAMES[:2])):
        with pytest.raises(InputError, match="recogniser of"):
            fit_props(*arguments, DEFINITIONS, encoder)
