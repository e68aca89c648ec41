"""Three weights chosen on half of the classes: every figure from maps and evaluations of the halves, one by one."""

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.choosing import choose_on_half, choose_weights_on_half
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import named, random_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.simplex import simplex_map


def made(clips=160, classes=8, modalities=("VE", "O", "C")):
    rng = np.random.default_rng(5)
    names = [f"c{place}" for place in range(classes)]
    labels = rng.integers(classes, size=clips)
    columns = {
        name: (strength * np.eye(classes)[labels] + rng.normal(size=(clips, classes))).astype(np.float32)
        for name, strength in zip(modalities, (1.5, 0.8, 1.0), strict=False)
    }
    return Scores([f"v{row}" for row in range(clips)], [names[label] for label in labels], names, columns)


def top1(scores, weights, classes):
    return evaluate(scores, named("some", classes, scores.class_names), weights).runs[0].top1


def test_weights_are_chosen_on_one_half_and_told_on_the_other():
    scores = made()
    own = Weights(0.8, 0.2, 0.1)
    found = choose_weights_on_half(scores, fixed={"own": own}, steps=5, runs=4, seed=3)
    halves = random_classes(scores.class_names, 4, 4, 3).splits
    assert len(found.weights) == len(halves) == 4
    for run, half in enumerate(halves):
        other = [name for name in scores.class_names if name not in half]
        peak = simplex_map(scores, 5, half).best()
        assert found.weights[run] == peak.weights
        assert top1(scores, peak.weights, half) == pytest.approx(peak.accuracy)
        assert found.accuracies[run] == pytest.approx(top1(scores, peak.weights, other))
        assert found.fixed["own"][run] == pytest.approx(top1(scores, own, other))
        grid_K3, accuracy_K = simplex_map(scores, 5, other).grid()
        assert found.best[run] >= accuracy_K.max() and found.best[run] >= found.accuracies[run] - 0.05
        assert top1(scores, Weights(*grid_K3[accuracy_K.argmax()].tolist()), other) == pytest.approx(accuracy_K.max())
    assert found.figure == pytest.approx((np.mean(found.accuracies), np.std(found.accuracies, ddof=1)))


def test_too_few_classes_and_a_missing_modality_are_refused():
    with pytest.raises(InputError, match="four or more"):
        choose_weights_on_half(made(classes=3))
    with pytest.raises(InputError, match="no C"):
        choose_weights_on_half(made(modalities=("VE", "O")))


def test_a_choice_by_hand():
    """VE names every clip right where α > 1/2, whichever classes there are: 3/4 is chosen, and right on the others."""
    truth = np.eye(6, dtype=np.float32)
    names = [f"class {index}" for index in range(6)]
    scores = Scores([f"clip {n}" for n in range(6)], names, names, {"VE": truth, "O": np.roll(truth, 1, axis=1)})
    found = choose_on_half(scores, fixed={"O": 0.0}, runs=4)
    assert found.accuracies == [1] * 4 and found.best == [1] * 4
    assert all(0.5 <= alpha <= 0.75 for alpha in found.alphas)  # where no rival of a half is O's choice, any α will do
