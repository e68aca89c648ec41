"""The tuner against `fusion.predict` and `evaluation.evaluate`, which never prune, ties and blank clips included."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import UNDECIDED, Weights, predict
from cezsar.zeroshot.protocols import Protocol, all_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.skyband import skyband
from cezsar.zeroshot.tuning import Tuner, flips, gains

MODALITIES = ("VE", "O", "C")


def random_values(kind, rng, shape):
    """Score matrices that are hard in different ways."""
    if kind == "half":
        return rng.normal(size=shape).astype(np.float16)
    if kind == "float":
        return rng.normal(size=shape)
    if kind == "ties":
        return rng.integers(-2, 3, shape) / 4
    if kind == "near":  # a few float32 steps apart, so that rounding makes equal what is not
        return np.float32(0.3) + rng.integers(0, 12, shape) * np.float32(2**-25)
    if kind == "negative":
        return -np.abs(rng.normal(size=shape))
    values = rng.normal(size=shape)  # "blank": clips that lack a modality, and dead classes
    values[rng.random(shape[0]) < 0.4] = 0
    values[:, rng.random(shape[1]) < 0.3] = 0
    return values


def make(kind, modalities=2, clips=300, classes=30, sentences=1, seed=0):
    rng = np.random.default_rng(seed)
    owner = np.sort(np.concatenate([np.arange(classes), rng.integers(classes, size=classes * (sentences - 1))]))
    columns = {name: random_values(kind, rng, (clips, len(owner))) for name in MODALITIES[:modalities]}
    if kind == "blank" and modalities > 1:  # clips whose modalities cancel out at equal weights
        columns["O"][::7] = -columns["VE"][::7]
    names = [f"class {c}" for c in range(classes)]
    labels = [names[c] for c in rng.integers(classes, size=clips)]
    labels[3], labels[4] = "", "no such class"
    return Scores([f"clip {n}" for n in range(clips)], labels, names, columns, column_class=owner)


def settings(modalities, rng):
    fixed = [(1, 0, 0), (0.5, 0.5, 0), (1, 1, 1), (0.8, 0.2, 0), (0, 0, 1), (0, 1, 0), (1e-4, 3, 0.5), (0.3, 0, 0.7)]
    drawn = [tuple(rng.dirichlet([1, 1, 1])) for _ in range(6)]
    return [Weights(*map(float, w)) for w in fixed + drawn if any(w[:modalities])]


def assert_equal_to_evaluation(scores, tuner, weights, names=None):
    tuned = tuner.at(weights)
    protocol = all_classes(scores.class_names) if names is None else Protocol("split", [names])
    run = evaluate(scores, protocol, weights).runs[0]
    assert (tuned.top1, tuned.top5, tuned.undecided) == (run.top1, run.top5, run.undecided)
    assert tuned.per_class == run.per_class() and tuned.mean_per_class == run.mean_per_class
    chosen = None if names is None else [scores.class_names.index(name) for name in names]
    expected = np.where(tuned.truth_N >= 0, predict(scores, weights, chosen), UNDECIDED)
    assert np.array_equal(tuned.predicted_N, expected)
    assert np.array_equal(tuned.top1_N, (expected == tuned.truth_N) & (expected != UNDECIDED))
    assert tuned.top5_N.sum() == sum(run.hits[5])


KINDS = ("half", "float", "ties", "near", "negative", "blank")


@pytest.mark.parametrize("sentences", [1, 3])
@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_that_of_the_evaluation(kind, modalities, sentences):
    scores = make(kind, modalities, sentences=sentences)
    tuner = Tuner(scores)
    for weights in settings(modalities, np.random.default_rng(1)):
        assert_equal_to_evaluation(scores, tuner, weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sentences", [1, 3])
def test_a_split_is_chosen_from_alone(kind, sentences):
    scores = make(kind, sentences=sentences)
    names = [scores.class_names[c] for c in (17, 3, 25, 8, 11, 0, 29, 14)]
    tuner = Tuner(scores, [name.upper() for name in names])
    for weights in settings(2, np.random.default_rng(2)):
        assert_equal_to_evaluation(scores, tuner, weights, names)


@pytest.mark.parametrize("classes", [1, 2, 5, 6])
def test_few_classes(classes):
    scores = make("ties", classes=classes, clips=60)
    assert_equal_to_evaluation(scores, Tuner(scores), Weights())


def test_many_classes_are_pruned_and_blocks_cut(monkeypatch):
    monkeypatch.setattr("cezsar.zeroshot.tuning.CLIPS_AT_ONCE", 256)
    scores = make("half", clips=2_000, classes=300)
    heard = []
    tuner = Tuner(scores, on_progress=lambda done, of: heard.append((done, of)))
    assert heard[-1] == (1_998, 1_998) and heard == sorted(heard)
    assert 20 < tuner.rivals_per_clip < 30  # 5 (1 + ln(300 / 5)), and not 299
    for weights in settings(2, np.random.default_rng(3)):
        assert_equal_to_evaluation(scores, tuner, weights)


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_skyband_against_counting(modalities):
    rng = np.random.default_rng(4)
    matrices = [rng.integers(0, 12, (40, 60)).astype(np.float32) for _ in range(modalities)]
    found = skyband(matrices, 3)
    for row in range(40):
        for c in range(60):
            ahead = sum(
                all(m[row, d] >= m[row, c] for m in matrices)
                and (d < c or all(m[row, d] > m[row, c] for m in matrices))
                for d in range(60)
                if d != c
            )
            if modalities < 3:
                assert found[row, c] == (ahead < 3)
            elif ahead < 3:
                assert found[row, c]
    assert found.mean() < 0.6


def test_a_hand_computed_case():
    # Class b beats class c everywhere; a and b cross at alpha = 1/2, where the lower index wins.
    scores = Scores(["one"], ["b"], ["a", "b", "c"], {"VE": np.array([[1, 0, -1]]), "O": np.array([[0, 1, 0.5]])})
    tuner = Tuner(scores)
    assert [tuner.at(Weights(a, 1 - a)).predicted_N[0] for a in (0.0, 0.25, 0.5, 0.75)] == [1, 1, 0, 0]
    assert tuner.at(Weights(0.5, 0.5)).top5 == 1.0


def test_flips_and_gains():
    scores = make("half", clips=500, classes=12)
    tuner = Tuner(scores)
    before, after = tuner.at(Weights(1, 0)), tuner.at(Weights(0.3, 0.7))
    old, new, truth = before.predicted_N, after.predicted_N, scores.label_index
    expected = ([], [], [])
    for n in range(500):
        if truth[n] >= 0 and old[n] != new[n]:
            expected[0 if new[n] == truth[n] else 1 if old[n] == truth[n] else 2].append(n)
    turned = flips(before, after)
    assert tuple(rows.tolist() for rows in turned) == expected and all(expected)
    rows = gains(before, after)
    assert {row.name for row in rows} == set(scores.class_names)
    assert [abs(row.net) for row in rows] == sorted((abs(row.net) for row in rows), reverse=True)
    for row in rows:
        c = scores.class_names.index(row.name)
        assert (row.gained, row.lost) == tuple(int((truth[r] == c).sum()) for r in (turned.gained, turned.lost))
        assert row.net == row.gained - row.lost
    assert sum(row.net for row in rows) == round((after.top1 - before.top1) * before.n_clips)
    with pytest.raises(InputError, match="different clips or classes"):
        flips(before, Tuner(scores, scores.class_names[:6]).at(Weights()))


def test_several_threads_use_one_tuner():
    scores = make("half", clips=3_000, classes=40)
    tuner = Tuner(scores)
    several = [Weights(a, 1 - a) for a in np.linspace(0, 1, 24).tolist()]
    alone = [tuner.at(weights).predicted_N for weights in several]
    with ThreadPoolExecutor(4) as pool:
        together = [tuned.predicted_N for tuned in pool.map(tuner.at, several)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("sentences", [1, 3])
def test_what_is_saved_answers_the_same(tmp_path, sentences):
    scores = make("blank", sentences=sentences)
    tuner = Tuner(scores, scores.class_names[5:])
    tuner.save(tmp_path / "tuner.safetensors")
    loaded = Tuner.load(tmp_path / "tuner.safetensors")
    for weights in settings(2, np.random.default_rng(5)):
        assert_equal_to_evaluation(scores, loaded, weights, scores.class_names[5:])
    scores.save(tmp_path / "scores.safetensors")
    with pytest.raises(FormatError, match="should hold tuner"):
        Tuner.load(tmp_path / "scores.safetensors")


def test_what_cannot_be_answered_is_refused():
    scores = make("half", modalities=1)
    with pytest.raises(InputError, match="leave nothing"):
        Tuner(scores).at(Weights(0, 1, 0))
    with pytest.raises(InputError, match="no such"):
        Tuner(scores, ["class 1", "no such"])
    unlabelled = Scores(["one"], [""], ["a", "b"], {"VE": np.ones((1, 2))})
    with pytest.raises(InputError, match="no clip is labelled"):
        Tuner(unlabelled)


def test_scores_that_rounding_makes_equal():
    above, weight = np.float32(1.9), 1.1
    while np.float32(above - np.float32(2**-23)) * np.float32(weight) != above * np.float32(weight):
        above += np.float32(2**-23)
    columns = np.full((1, 8), above)
    columns[0, 0] -= np.float32(2**-23)  # every other class beats class 0, and none does once weighted
    names = [f"class {c}" for c in range(8)]
    scores = Scores(["one"], ["class 7"], names, {"VE": columns, "O": columns})
    assert predict(scores, Weights(weight, 0)) == [0]
    assert_equal_to_evaluation(scores, Tuner(scores), Weights(weight, 0))
