"""What examples are worth: in plain loops, and on the demo."""

from dataclasses import replace

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.workspace import ASSETS
from cezsar.zeroshot.examples import blended, example_rows
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.shots import WORTHS, chosen_worth, shots

DEMO = Scored.open(ASSETS / "demo" / "scores" / "demo@demo")


def unit(vector):
    return vector / np.linalg.norm(vector)


def small(clips_of=(4, 3, 1), width=6, seed=0):
    """Clips about a centre each; class 1 has two sentences, class 2 one clip."""
    rng = np.random.default_rng(seed)
    centres, labels = rng.normal(size=(3, width)), np.repeat(["a", "b", "c"], clips_of).tolist()
    rows = [centres["abc".index(label)] + 0.8 * rng.normal(size=width) for label in labels]
    modalities = {"VE": np.array(rows), "O": rng.normal(size=(len(rows), width))}
    prototypes = np.concatenate([centres, centres[1:2]]) + rng.normal(size=(4, width))
    return Embeddings([f"clip {n}" for n in range(len(rows))], labels, ["a", "b", "c"], modalities, prototypes,
                      np.array([0, 1, 2, 1]))  # fmt: skip


@pytest.mark.parametrize("space", ["joint", "image-text"])
def test_no_example_is_tested_and_every_accuracy_is_that_of_a_plain_loop(space):
    clips, weights = replace(small(), space=space), Weights(0.7, 0.3)
    found = shots(clips, weights, counts=(2, 0, 1), draws=3, seed=4, worth=3.0)
    rows, labels = example_rows(clips.modalities, weights).astype(float), np.array(clips.labels)
    fused = [unit(0.7 * visual + 0.3 * objects) for visual, objects in zip(*clips.modalities.values(), strict=True)]
    assert found.counts == [0, 1, 2] and found.tested == [4, 4, 4]  # of a 4 - 2, of b 3 - 2, of c the only one
    for draw, rng in enumerate(np.random.default_rng(4).spawn(3)):
        mixed = rng.permutation(len(labels)).tolist()
        aside = {
            name: [row for row in mixed if labels[row] == name][:most]
            for name, most in zip("abc", (2, 2, 0), strict=True)
        }
        tested = [row for row in range(len(labels)) if row not in aside[labels[row]]]
        for column, count in enumerate(found.counts):
            for way in ("sentences", "blend", "examples"):
                hits = []
                units = {c: [unit(each) for each in clips.prototypes[clips.prototype_class == c].astype(float)]
                         for c in range(3)}  # fmt: skip
                means = {c: unit(np.mean([rows[each] for each in aside[name][:count]], axis=0))
                         for c, name in enumerate("abc") if aside[name][:count]}  # fmt: skip
                if space == "image-text" and count and way != "sentences":  # both as they differ from their kind's mean
                    middle, shown = (np.mean([np.mean(rows, axis=0) for rows in units.values()], axis=0),
                                     np.mean([*means.values()], axis=0))  # fmt: skip
                    units = {c: [unit(each - middle) for each in own] for c, own in units.items()}
                    means = {c: unit(each - shown) for c, each in means.items()}
                for row in tested:
                    best = {}
                    for c, name in enumerate("abc"):
                        n = len(aside[name][:count])
                        share = {"sentences": 0, "blend": n / (n + 3), "examples": 1}[way]
                        own = [unit((1 - share) * each + share * means[c]) for each in units[c]] if n else units[c]
                        best[name] = max(each @ fused[row] for each in own)
                    hits.append(max(best, key=best.get) == labels[row])
                if way == "examples" and count == 0:
                    assert np.isnan(found.top1[way][draw, column])
                else:
                    assert found.top1[way][draw, column] == pytest.approx(np.mean(hits))


def test_nothing_to_show_or_to_test_is_refused():
    with pytest.raises(InputError, match="no class has two clips"):
        shots(small((1, 1, 1)), Weights())
    assert shots(small(), Weights(), draws=2).counts == [0, 1, 2]  # the largest class has four clips
    with pytest.raises(InputError, match="ask for 3 at most"):
        shots(small(), Weights(), counts=[4])
    for settings in ({"draws": 1}, {"counts": ()}, {"counts": (-1, 2)}):
        with pytest.raises(InputError, match="two draws or more"):
            shots(small(), Weights(), **settings)
    with pytest.raises(InputError, match="an example counts by its VE and O"):
        shots(replace(small(), modalities={"C": small().modalities["VE"]}), Weights.only("C"))


def test_on_the_demo_blends_are_as_good_as_either_and_without_examples_all_is_zero_shot():
    clips, weights = DEMO.embeddings(), DEMO.weights
    found = shots(clips, weights, draws=10)
    right_N = predict(whole := Scores.from_embeddings(clips), weights) == whole.label_index
    shown = found.top1["sentences"]
    np.testing.assert_array_equal(found.top1["blend"][:, 0], shown[:, 0])
    np.testing.assert_array_equal(shown, shown[:, :1].repeat(len(found.counts), axis=1))
    nothing = shots(clips, weights, counts=[0], draws=2)  # all clips are tested
    assert set(nothing.tested) == {len(right_N)} and (nothing.top1["blend"] == right_N.mean()).all()
    for way in ("sentences", "examples"):
        gain = (found.top1["blend"] - found.top1[way])[:, 1:]
        assert (gain.mean(0) + gain.std(0, ddof=1) / len(gain) ** 0.5 >= 0).all(), way


@pytest.mark.parametrize("several", ["nearest", "mean"])
def test_it_gives_what_scoring_changed_prototypes_gives(several):
    """Each draw's clips scored as a data set of their own, with the prototypes that `blended` makes."""
    clips, weights = small((9, 12, 10), width=16, seed=2), Weights(0.6, 0.4)
    found, rows_NE = shots(clips, weights, several, counts=(1, 3), draws=4), example_rows(clips.modalities, weights)
    labels = np.array(clips.labels)
    for draw, rng in enumerate(np.random.default_rng(0).spawn(4)):
        mixed = rng.permutation(len(labels))
        aside = [mixed[labels[mixed] == name][:3] for name in "abc"]
        rest = clips.clips(np.setdiff1d(mixed, np.concatenate(aside)))
        for column, count in enumerate((1, 3)):
            parts = [
                blended(clips.prototypes[clips.prototype_class == place], rows_NE[own[:count]], count / (count + 1))
                for place, own in enumerate(aside)
            ]
            shown = replace(rest, prototypes=np.concatenate(parts), prototype_class=np.array([0, 1, 1, 2]))
            scores = Scores.from_embeddings(shown, several)
            assert found.top1["blend"][draw, column] == (predict(scores, weights) == scores.label_index).mean()


def test_what_sentences_count_as_is_what_blends_are_best_with():
    clips, weights = small((9, 12, 10)), Weights(1, 0)
    reached = {worth: shots(clips, weights, counts=(1, 2, 4, 8), worth=worth).top1["blend"].mean() for worth in WORTHS}
    assert len(set(reached.values())) > 1 and chosen_worth(clips, weights) == max(reached, key=reached.get)
