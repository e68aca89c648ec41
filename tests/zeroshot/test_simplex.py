"""Curves along lines of the (α, β, γ) simplex and the map over it, against prediction at very many weights."""

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.choosing import choose_on_half
from cezsar.zeroshot.curves import fusion_curve, line_curve, line_curves
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.simplex import simplex_map


def make(clips=150, classes=6, sentences=1, seed=0, whole=False, modalities=("VE", "O", "C")):
    """Scores in which each modality knows something. Whole numbers tie often and round never."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(classes), sentences)
    labels = rng.integers(classes, size=clips)
    columns = {}
    for name in modalities:
        matrix = rng.integers(-2, 4, (clips, len(owner))) if whole else rng.normal(size=(clips, len(owner)))
        matrix[np.arange(clips), labels * sentences] += 1
        matrix[rng.random(clips) < 0.1] = 0  # clips without the modality
        columns[name] = matrix
    names = [f"class {c}" for c in range(classes)]
    return Scores([f"clip {n}" for n in range(clips)], [names[c] for c in labels], names, columns, column_class=owner)


def share(scores, weights):
    return float(np.mean(predict(scores, weights) == scores.label_index))


def between(start, end, t):
    parts = zip((start.alpha, start.beta, start.gamma), (end.alpha, end.beta, end.gamma), strict=True)
    return Weights(*((1 - t) * a + t * b for a, b in parts))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("sentences", [1, 2])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (Weights(0, 0.5, 0.5), Weights(1, 0, 0)),
        (Weights(0.25, 0.25, 0.5), Weights(0.5, 0.5, 0)),
        (Weights(0, 0, 1), Weights(0.75, 0.25, 0)),
    ],
)
def test_a_line_is_what_predict_gives(start, end, sentences, whole):
    scores = make(sentences=sentences, whole=whole, seed=2)
    curve = line_curve(scores, start, end)
    middles = ((curve.alpha[1:] + curve.alpha[:-1]) / 2)[np.diff(curve.alpha) > 1e-5]
    assert len(middles) > 10
    # Whole scores tie all along a line, and weights of 1/64 leave nothing to round; others are asked between steps.
    for t in np.arange(65) / 64 if whole else [0.0, *middles, 1.0]:
        assert curve.at(t) == pytest.approx(share(scores, between(start, end, t))), t


def test_the_line_from_o_to_ve_is_the_fusion_curve():
    scores = make(seed=5)
    line, curve = line_curve(scores, Weights.only("O"), Weights.only("VE")), fusion_curve(scores)
    for ours, theirs in ((line.alpha, curve.alpha), (line.on_B, curve.on_B), (line.between_B, curve.between_B)):
        np.testing.assert_array_equal(ours, theirs)


def test_lines_of_a_protocol_have_mean_and_spread():
    scores = make(classes=8, seed=3)
    protocol = random_classes(scores.class_names, 4, 5)
    start, end = Weights(0, 0, 1), Weights(0.5, 0.5, 0)
    mean, std = line_curves(scores, protocol, start, end).at(0.3)
    values = [run.top1 for run in evaluate(scores, protocol, between(start, end, 0.3)).runs]
    assert (float(mean), float(std)) == pytest.approx((np.mean(values), np.std(values, ddof=1)))


def test_the_map_is_evaluate_on_its_grid():
    scores = make(seed=1)
    found = simplex_map(scores, steps=8)
    points, accuracies = found.grid()
    assert points.shape == (45, 3) and np.allclose(points.sum(axis=1), 1)
    assert len({tuple(point) for point in points.round(9).tolist()}) == 45
    everything = all_classes(scores.class_names)
    for (alpha, beta, gamma), accuracy in zip(points.tolist(), accuracies, strict=True):
        weights = Weights(max(alpha, 0.0), max(beta, 0.0), gamma)
        assert accuracy == pytest.approx(evaluate(scores, everything, weights).runs[0].top1)
        assert found.at(weights) == pytest.approx(accuracy)
    with pytest.raises(InputError, match=r"γ = 0\.1 is none of the 9 lines"):
        found.at(Weights(0.8, 0.1, 0.1))


def test_the_peak_is_reached_and_nothing_on_a_line_is_higher():
    scores = make(seed=7)
    found = simplex_map(scores, steps=4)
    peak = found.best()
    assert share(scores, peak.weights) == pytest.approx(peak.accuracy)
    assert peak.low <= peak.weights.alpha <= peak.high
    for gamma in (0, 0.25, 0.5, 0.75, 1):
        for t in np.linspace(0, 1, 101):
            weights = Weights(t * (1 - gamma), (1 - t) * (1 - gamma), gamma)
            assert share(scores, weights) <= peak.accuracy + 1e-12


def test_captions_alone_may_be_best():
    scores = make(seed=0)
    truth = np.eye(6, dtype=np.float32)[scores.label_index]
    perfect = Scores(
        scores.ids, scores.labels, scores.class_names, scores.columns | {"VE": -truth, "O": -truth, "C": truth}
    )
    assert simplex_map(perfect, steps=1).best() == (Weights.only("C"), 0.0, 0.0, 1.0)


def test_a_map_needs_three_modalities():
    with pytest.raises(InputError, match="the clips have no C"):
        simplex_map(make(modalities=("VE", "O")))
    with pytest.raises(InputError, match="0 steps"):
        simplex_map(make(), steps=0)


# Chosen on other classes ---------------------------------------------------------------------------------------------


def test_alpha_is_chosen_on_one_half_and_told_on_the_other():
    scores = make(clips=300, classes=9, seed=4)
    found = choose_on_half(scores, ("VE", "C"), fixed={"half": 0.5}, runs=6, seed=3)
    halves = random_classes(scores.class_names, 4, 6, 3).splits
    for run, half in enumerate(halves):
        others = [name for name in scores.class_names if name not in half]
        alpha = found.alphas[run]

        def top1(names, alpha):
            weights = Weights(alpha, 0, 1 - alpha)
            return evaluate(scores, named("x", names, scores.class_names), weights).runs[0].top1

        assert all(top1(half, alpha) >= top1(half, other) for other in np.linspace(0, 1, 21))
        assert found.accuracies[run] == pytest.approx(top1(others, alpha))
        assert found.fixed["half"][run] == pytest.approx(top1(others, 0.5))
        assert found.best[run] >= found.accuracies[run]
    assert found.figure == pytest.approx((np.mean(found.accuracies), np.std(found.accuracies, ddof=1)))
    assert found.alpha.mean == pytest.approx(np.mean(found.alphas))


def test_three_classes_are_too_few_to_choose_on_half():
    with pytest.raises(InputError, match="four or more"):
        choose_on_half(make(classes=3))


def test_one_clip_by_hand():
    """VE says a, O says b, C cannot tell. Beside half of C, a wins from where t + (1 - t) / 4 >= 3 (1 - t) / 4."""
    columns = {"VE": np.array([[1.0, 0.0]]), "O": np.array([[0.0, 1.0]]), "C": np.array([[0.5, 0.5]])}
    scores = Scores(["clip"], ["a"], ["a", "b"], columns)
    curve = line_curve(scores, Weights(0, 0.5, 0.5), Weights(1, 0, 0))
    assert curve.alpha.tolist() == pytest.approx([0, 1 / 3, 1])
    assert (curve.on_B.tolist(), curve.between_B.tolist()) == ([0, 1, 1], [0, 1])
    found = simplex_map(scores, steps=2)
    assert [each.alpha.tolist() for each in found.curves] == [[0, 0.5, 1], [0, 0.5, 1]]
    assert found.corner == 1  # a tie, and a stands first
    assert found.best().accuracy == 1 and (found.best().low, found.best().high) == (0.5, 1)
