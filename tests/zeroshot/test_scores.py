"""Embeddings and Scores against Eq. 8-9 written out in plain loops, and against hand-computed cases."""

import math
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, cosine, fuse, lengths, parts, predict, rank
from cezsar.zeroshot.scores import Embeddings, Scores


def embeddings(seed=0, n=12, classes=5, dim=8, sentences=1, modalities=("VE", "O", "C"), relu=True):
    """Random embeddings of unequal lengths; with several sentences, classes' prototypes come in mixed order."""
    rng = np.random.default_rng(seed)

    def draw(rows):
        values = rng.normal(size=(rows, dim)) * rng.uniform(0.1, 4, size=(rows, 1))
        return (np.maximum(values, 0) if relu else values).astype(np.float32)

    owner = rng.permutation(np.repeat(np.arange(classes), sentences))
    names = [f"class {c}" for c in range(classes)]
    labels = [names[rng.integers(classes)] for _ in range(n)]
    rows = {name: draw(n) for name in modalities}
    return Embeddings([f"clip-{i}" for i in range(n)], labels, names, rows, draw(len(owner)), owner)


def loop_cosine(e, weights, several):
    """Eq. 8-9, one clip and one class at a time."""

    def dot(a, b):
        return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))

    table, w, width = [], {"VE": weights.alpha, "O": weights.beta, "C": weights.gamma}, e.prototypes.shape[1]
    for n in range(len(e.ids)):
        fused = [math.fsum(w[m] * float(rows[n, d]) for m, rows in e.modalities.items()) for d in range(width)]
        row = []
        for c in range(len(e.class_names)):
            own = [p for p, owner in zip(e.prototypes, e.prototype_class, strict=True) if owner == c]
            if several == "mean":
                own = [[math.fsum(p[d] / math.sqrt(dot(p, p)) for p in own if dot(p, p)) for d in range(len(fused))]]
            norms = [math.sqrt(dot(p, p)) * math.sqrt(dot(fused, fused)) for p in own]
            cosines = [dot(p, fused) / norm for p, norm in zip(own, norms, strict=True) if norm]
            row.append(max(cosines) if cosines else 0.0)
        table.append(row)
    return np.array(table)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("sentences", "several"), [(1, "nearest"), (1, "mean"), (3, "nearest"), (3, "mean")])
@pytest.mark.parametrize("weights", [Weights(), Weights(1, 0, 0), Weights(0, 0.4, 1.7), Weights(3, 2, 1)])
def test_cosine_is_that_of_the_fused_vector(relu, sentences, several, weights):
    e = embeddings(sentences=sentences, relu=relu)
    scores = Scores.from_embeddings(e, several=several)
    expected, got, fused = loop_cosine(e, weights, several), cosine(scores, weights), fuse(scores, weights)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-6)
    np.testing.assert_allclose(fused, expected * lengths(scores, weights)[:, None], rtol=1e-4, atol=1e-5)
    assert predict(scores, weights).tolist() == fused.argmax(1).tolist() == expected.argmax(1).tolist()
    by_modality = parts(scores, weights)
    assert list(by_modality) == [name for name in ("VE", "O", "C") if weights.of(name)]
    np.testing.assert_allclose(sum(by_modality.values()), got, atol=1e-6)


def test_tiny_embeddings_keep_their_direction_and_a_missing_modality_leaves_the_others_to_decide():
    e = embeddings(5, modalities=("VE", "O"))
    e.modalities["O"][[0, 4]] = 0
    e.modalities["VE"][0] = 0
    scores = Scores.from_embeddings(e)
    np.testing.assert_allclose(cosine(scores, Weights())[4], cosine(scores, Weights(1, 0, 0))[4], atol=1e-6)
    np.testing.assert_array_equal(fuse(scores, Weights(1, 0, 9)), fuse(scores, Weights(1, 0, 0)))
    assert (cosine(scores, Weights())[0] == 0).all()
    assert np.flatnonzero(predict(scores, Weights()) == UNDECIDED).tolist() == [0]
    tiny = replace(e, modalities={name: rows * np.float32(1e-30) for name, rows in e.modalities.items()})
    np.testing.assert_allclose(cosine(Scores.from_embeddings(tiny), Weights()), cosine(scores, Weights()), atol=1e-5)


@pytest.mark.parametrize("several", ["nearest", "mean"])
def test_dead_prototypes_score_nothing_and_are_named(several):
    e = embeddings(7, classes=4, sentences=2, relu=False)
    e.prototypes[e.prototype_class == 2] = 0
    e.prototypes[np.flatnonzero(e.prototype_class == 1)[0]] = 0  # class 1 has another
    scores = Scores.from_embeddings(e, several)
    assert scores.dead_classes == ["class 2"]
    np.testing.assert_allclose(cosine(scores, Weights()), loop_cosine(e, Weights(), several), atol=2e-6)
    assert (cosine(scores, Weights())[:, 1] < 0).any()  # a zero prototype beside a living one does not lift it to 0


def test_what_is_not_finite_is_refused_by_clip_and_modality():
    e = embeddings(9)
    bad = e.modalities["O"].copy()
    bad[7, 1] = np.nan
    with pytest.raises(InputError, match=r"O embedding of clip 'clip-7' is not finite"):
        replace(e, modalities=e.modalities | {"O": bad})
    with pytest.raises(InputError, match="prototype of class 'class"):
        replace(e, prototypes=np.full_like(e.prototypes, np.inf))
    with pytest.raises(InputError, match="the VE score of clip 'b'"):
        Scores(["a", "b"], ["", ""], ["x"], {"VE": np.array([[1], [np.nan]])})


NAMES = {"ids": ["a", "b"], "labels": ["x", ""], "class_names": ["x", "y"]}
EMBEDDED = {"modalities": {"VE": np.ones((2, 3))}, "prototypes": np.ones((2, 3)), "prototype_class": np.array([0, 1])}


@pytest.mark.parametrize(("kind", "change", "message"), [
    (Embeddings, {"ids": ["a", "a"]}, "'a' is given twice"),
    (Embeddings, {"class_names": ["Jump ing", "jumping"]}, "class 'jumping' is given twice"),
    (Embeddings, {"class_names": ["x", "y", "z"]}, "not each of the 3 classes has a prototype"),
    (Embeddings, {"modalities": {"O": np.zeros((2, 4))}}, r"O has shape \(2, 4\)"),
    (Scores, {"columns": {"VE": np.ones((2, 3))}}, "VE has shape"),
])  # fmt: skip
def test_parts_that_do_not_fit_are_refused(kind, change, message):
    good = NAMES | (EMBEDDED if kind is Embeddings else {"columns": {"VE": np.ones((2, 2))}})
    kind(**good)
    with pytest.raises(InputError, match=message):
        kind(**(good | change))


def test_weights():
    assert [Weights(0.7, 0.2, 0.1).of(name) for name in ("VE", "O", "C")] == [0.7, 0.2, 0.1]
    for values in [(-0.1, 1, 0), (0, 0, 0), (float("nan"), 1, 0), (float("inf"), 0, 0), ("1", 0, 0)]:
        with pytest.raises(InputError, match="not all zero"):
            Weights(*values)
    with pytest.raises(InputError, match="VE only; give one of them weight"):
        fuse(Scores(["a"], [""], ["x"], {"VE": np.ones((1, 1))}), Weights(0, 1, 1))


def test_predictions_among_some_classes_ties_and_labels_in_any_spelling():
    labels = ["HandStand_Pushups", "", "fencing", "juggling", "Fencing"]
    scores = Scores(list("abcde"), labels, ["fencing", "hand stand pushups"], {"O": np.zeros((5, 2))})
    assert scores.label_index.tolist() == [1, -1, 0, -1, 0]
    columns = {"VE": np.array([[1, 3, 3, 2], [5, 0, 0, 0], [-1, -2, -2, 0]])}
    scores = Scores(list("abc"), [""] * 3, list("wxyz"), columns)
    assert predict(scores, Weights()).tolist() == [1, 0, 3]
    assert predict(scores, Weights(), [3, 2, 1]).tolist() == [1, UNDECIDED, 3]
    assert predict(scores, Weights(), [1, 2]).tolist() == [1, UNDECIDED, 1]


def test_rank_orders_labels_best_first():
    best, margin = rank(np.array([0.1, 0.9, 0.9, -1], np.float32), list("wxyz"), top=3)
    assert [name for name, _ in best] == ["x", "y", "w"] and margin == 0
    assert rank(np.array([0.5], np.float32), ["only"]) == ([("only", 0.5)], 0.0)
    assert rank(np.array([0.5, 0.25], np.float32), ["x", "y"], top=1) == ([("x", 0.5)], 0.25)


def test_embeddings_and_scores_come_back_as_they_were(tmp_path):
    e = embeddings(11, sentences=2)
    e.ids[0], e.class_names[1] = "naïve \udce9 clip", "class 1, β"  # a file name that was not UTF-8, too
    e.prototypes[e.prototype_class == 0] = 0
    scores = Scores.from_embeddings(e)
    for one in (e, scores):
        one.save(tmp_path / "file.safetensors")
        read = type(one).load(tmp_path / "file.safetensors")
        for name, value in vars(one).items():
            np.testing.assert_equal(getattr(read, name), value)
    assert scores.dead_classes == ["class 0"] and list(read.columns) == ["VE", "O", "C"]
    scores.save(tmp_path / "half.safetensors", half=True)
    half = Scores.load(tmp_path / "half.safetensors")
    assert half.columns["VE"].dtype == np.float32 and half.gram.dtype == np.float64
    np.testing.assert_allclose(half.columns["VE"], scores.columns["VE"], rtol=1e-3)
    with pytest.raises(InputError, match="float16"):
        Scores(["a"], [""], ["x"], {"VE": np.array([[1e5]])}).save(tmp_path / "large.safetensors", half=True)


def test_sets_of_one_space_are_joined():
    one, other = embeddings(modalities=("VE", "O")), embeddings(1, sentences=2, modalities=("VE", "C"))
    with pytest.raises(InputError, match="'class 0' is a class of both"):
        one.joined(other)
    names = [f"another {name}" for name in other.class_names]
    other = replace(other, class_names=names, labels=[f"another {name}" for name in other.labels])
    both = one.joined(other)
    assert (list(both.modalities), both.ids[12], both.labels[12]) == (["VE"], "clip-0 (2)", other.labels[0])
    apart = (Scores.from_embeddings(each).matrices["VE"] for each in (one, other))
    whole = Scores.from_embeddings(both).matrices["VE"]
    np.testing.assert_allclose(whole[:12, :5], next(apart), atol=1e-5)
    np.testing.assert_allclose(whole[12:, 5:], next(apart), atol=1e-5)
    with pytest.raises(InputError, match="different spaces"):
        one.joined(replace(other, space="sentence"))


def test_files_of_another_kind_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "file.safetensors"
    with pytest.raises(InputError, match="cannot be read"):
        Scores.load(path)
    Scores.from_embeddings(embeddings()).save(path)
    with pytest.raises(FormatError, match="should hold embeddings, version 1, and holds scores"):
        Embeddings.load(path)
    for content in (path.read_bytes()[:-100], b"", b"not a file of arrays at all", b"\x80\x04cposix\nsystem\n."):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="damaged"):
            Scores.load(path)
    described = {"description": np.frombuffer(b'{"ids": 3, "labels": []}', np.uint8)}
    save_file({"column_class": np.arange(1)} | described, path, {"cezsar": "scores", "version": "1"})
    with pytest.raises(FormatError, match="damaged"):
        Scores.load(path)
