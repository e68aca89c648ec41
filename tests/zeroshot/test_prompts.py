"""Bare labels are put into prompts, sentences are left as they are: against averages written out by hand."""

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.spaces import ImageTextSpace, prototypes_of

VECTORS = {
    "a video of surfing": [3, 4], "surfing, seen": [0, 2],  # of length 1: (0.6, 0.8) and (0, 1)
    "a video of yo yo": [5, 0], "yo yo, seen": [0, 7], "surfing": [-1, 0], "A person rides a wave.": [0, -3],
}  # fmt: skip


class Words:
    """A text tower that knows six sentences."""

    prompts, trust, visual_dim = ("a video of {}", "{}, seen"), "", 2

    def text_vectors(self, sentences):
        return np.array([VECTORS[sentence] for sentence in sentences], np.float32)


def test_a_bare_label_is_the_mean_of_its_prompts_unit_vectors():
    described = {"Surfing": ["surfing", "A person rides a wave."], "YoYo": ["yo yo"], "wave": ["surfing"]}
    names, rows, owner = prototypes_of(ImageTextSpace(Words()), described)
    assert (names, owner.tolist()) == (["Surfing", "YoYo", "wave"], [0, 0, 1, 2])
    np.testing.assert_allclose(rows, [[0.3, 0.9], [0, -1], [0.5, 0.5], [-1, 0]], atol=1e-6)  # another's is a sentence
    own = ImageTextSpace(Words(), prompts=["{}"])
    np.testing.assert_allclose(prototypes_of(own, {"surfing": ["surfing"]})[1], [[-1, 0]])


@pytest.mark.parametrize("prompts", [[], ["a video of {}", "a video"]])
def test_prompts_without_a_place_for_the_label_are_refused(prompts):
    with pytest.raises(InputError, match=r"needs? \{\}"):
        ImageTextSpace(Words(), prompts)
