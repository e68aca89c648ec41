"""Bare labels are put into prompts, sentences are left as they are: against averages written out by hand."""

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.spaces import ImageTextSpace, prototypes_of

VECTORS = {
    "a video of surfing": [3, 4],  # of length 5: (0.6, 0.8)
    "surfing, seen": [0, 2],  # (0, 1)
    "a video of yo yo": [5, 0],
    "yo yo, seen": [0, 7],
    "surfing": [-1, 0],
    "A person rides a wave.": [0, -3],
}


class Words:
    """A text tower that knows six sentences."""

    prompts = ("a video of {}", "{}, seen")
    trust = ""

    def text_vectors(self, sentences):
        return np.array([VECTORS[sentence] for sentence in sentences], np.float32)


def test_a_bare_label_is_the_mean_of_its_prompts_unit_vectors():
    names, rows, owner = prototypes_of(
        ImageTextSpace(Words()), {"Surfing": ["surfing", "A person rides a wave."], "YoYo": ["yo yo"]}
    )
    assert (names, owner.tolist()) == (["Surfing", "YoYo"], [0, 0, 1])
    np.testing.assert_allclose(rows, [[0.3, 0.9], [0, -1], [0.5, 0.5]], atol=1e-6)


def test_prompts_can_be_told():
    space = ImageTextSpace(Words(), prompts=["{}"])
    np.testing.assert_allclose(prototypes_of(space, {"surfing": ["surfing"]})[1], [[-1, 0]])


def test_a_label_of_another_class_is_a_sentence():
    np.testing.assert_allclose(prototypes_of(ImageTextSpace(Words()), {"wave": ["surfing"]})[1], [[-1, 0]])


@pytest.mark.parametrize("prompts", [[], ["a video of {}", "a video"]])
def test_prompts_without_a_place_for_the_label_are_refused(prompts):
    with pytest.raises(InputError, match=r"needs? \{\}"):
        ImageTextSpace(Words(), prompts)
