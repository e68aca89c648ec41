"""`cezsar calibrate`: what it chooses against loops and a library, and that `cezsar.load` and `classify` use it."""

import json
import math
import shutil

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import cezsar as package
from cezsar import world
from cezsar.analysis.calibration import calibration_error, labelled_scores, reliability_at
from cezsar.data.features import FeatureStore
from cezsar.data.labels import spoken
from cezsar.workspace import ASSETS
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.rejection import Rejector
from cezsar.zeroshot.scored import Scored

SHIPPED = ASSETS / "demo"
ACTIONS = [action.name for action in world.unseen_actions()]
KNOWN, UNKNOWN = ACTIONS[:12], ACTIONS[12:]


def kept(folder):
    """The rejector and the record of the calibration."""
    return Rejector.of_run(folder), json.loads((folder / "calibration.json").read_text())


@pytest.fixture
def given(workspace, tmp_path):
    """A run without a rejector, the store of the test clips, and two indices of it: (run, store, known, unknown)."""
    run = tmp_path / "run"
    shutil.copytree(workspace / "runs/demo", run, ignore=shutil.ignore_patterns("rejector.json", "calibration.json"))
    store = FeatureStore(workspace / "features/demo-test")
    for name, classes in (("known", KNOWN), ("unknown", UNKNOWN)):
        index = {each: [clip for clip in store.ids if store.labels[clip] == each] for each in classes}
        (tmp_path / f"{name}.json").write_text(json.dumps(index))
    return run, store.folder, tmp_path / "known.json", tmp_path / "unknown.json"


def rows_of(run, store, labels):
    """Every clip of these labels: its cosine similarity to each of `KNOWN` as the classifier has it, and its label."""
    features = FeatureStore(store)
    rows, truth = [], []
    with package.load(run) as classifier:
        described = {name: [spoken(name)] for name in KNOWN}  # an index brings no descriptions
        for clip in (clip for clip in features.ids if features.labels[clip] in labels):
            ranking = classifier.rank(classifier.embed(clip, features.features(clip)), described, top=len(KNOWN))
            rows.append([dict(ranking.labels)[name] for name in KNOWN])
            truth.append(features.labels[clip])
    return np.array(rows), truth


def fitted(rows, truth):
    """T of least negative log likelihood, by SciPy."""
    place = [KNOWN.index(label) for label in truth]

    def loss(log_t):
        t = math.exp(log_t)
        return sum(np.log(np.exp((row - row[at]) / t).sum()) for row, at in zip(rows, place, strict=True))

    return math.exp(minimize_scalar(loss, bounds=(math.log(1e-3), math.log(1e2)), method="bounded").x)


def test_from_known_clips_alone_and_from_unknown_ones(cezsar, given):
    run, store, known, unknown = given
    calibrate = ["calibrate", run, "--store", store, "--dataset", known, "--rate", 0.25]
    status, out, err = cezsar(*calibrate)
    assert status == 0, err
    rows, truth = rows_of(run, store, KNOWN)
    rejector, calibration = kept(run)
    assert rejector.threshold == pytest.approx(sorted(rows.max(axis=1))[3], abs=1e-3)  # a quarter of 12 clips are 3
    assert (rejector.chosen_by, rejector.clips, rejector.kind, rejector.rate) == ("false reject", 12, "cosine", 0.25)
    assert calibration["temperature"] == rejector.temperature == pytest.approx(fitted(rows, truth), rel=0.05)
    assert (calibration["clips"], calibration["classes"], calibration["stopped"]) == (12, 12, "inside")
    assert "3 of 12 known clips are rejected" in out and "nothing is known about clips of other classes" in out

    status, out, err = cezsar(*calibrate, "--unknown-dataset", unknown)
    assert status == 0, err
    rejector = Rejector.of_run(run)
    others = np.sort(rows_of(run, store, UNKNOWN)[0].max(axis=1))[::-1]
    assert others[1] > rejector.threshold > others[2] - 1e-3  # a quarter of 9 clips are 2
    assert rejector.threshold == pytest.approx(others[2], abs=1e-3)
    assert (rejector.chosen_by, rejector.clips) == ("false accept", 9)
    auroc = np.mean([(k > u) + 0.5 * (k == u) for k in rows.max(axis=1) for u in others])
    assert "2 of 9 unknown clips are accepted" in out and f"AUROC of known against unknown clips {auroc:.1%}" in out


def test_what_was_chosen_is_used(cezsar, given, tmp_path, workspace):
    run, store, known, _ = given
    clip = sorted((workspace / "demo/test").rglob("*.webm"))[0]
    classify = ["classify", clip, "--run", run, "--labels", ", ".join(KNOWN[:4])]
    status, out, _ = cezsar(*classify)
    assert status == 0 and "%" not in out.partition("objects:")[0] and "none of these" not in out
    cezsar("calibrate", run, "--store", store, "--dataset", known)
    sure = Rejector.of_run(run)
    for threshold in (-1.0, 2.0):
        Rejector(**{**sure.__dict__, "threshold": threshold}).save(run)
        status, out, _ = cezsar(*classify)
        assert status == 0 and ("none of these labels seems right (maximum cosine" in out) == (threshold > 1)
        assert out.partition("objects:")[0].count("%  ") == 4
    assert "of 12 known clips were rejected (known.json, among 12 classes)" in out
    (record,) = json.loads(cezsar(*classify, "--json")[1])
    assert record["none_of_these"] is True
    scores = np.array([label["similarity"] for label in record["labels"]])
    expected = np.exp((scores - scores.max()) / sure.temperature)
    probabilities = [label["probability"] for label in record["labels"]]
    assert probabilities == pytest.approx(list(expected / expected.sum()), abs=1e-3)
    (record,) = json.loads(cezsar(*classify, "--alpha", 0.1, "--json")[1])
    assert record["none_of_these"] is None  # chosen with other weights
    (run / "rejector.json").write_text('{"cezsar": "rejector", "version": 1, "kind": "cosine"}')
    status, _, err = cezsar(*classify)
    assert status == 2 and "rejector.json" in err and "damaged" in err and "cezsar calibrate" in err


def test_mistakes_are_told_and_change_nothing(cezsar, given, workspace):
    run, store, known, _ = given
    for option, value, said in (
        ("--rate", 1, "a rate of 1"),
        ("--unknown-store", store, "--unknown-dataset"),
        ("--unknown-dataset", known, "all 12 unknown clips"),
        ("--store", workspace / "features/demo-test-colour", "was trained with"),
    ):
        status, _, err = cezsar("calibrate", run, "--store", store, "--dataset", known, option, value)
        assert status == 2 and said in err
        assert not (run / "rejector.json").exists() and not (run / "calibration.json").exists()


def test_the_shipped_threshold_warns_of_most_unknown_clips_and_few_known_ones():
    """Half of the unseen classes as labels, 50 times: the figures of docs/demo.md."""
    shipped = Scored.open(SHIPPED / "scores/demo@demo")
    rejector = Rejector.of_run(SHIPPED / "runs/demo")
    scores_NC, truth_N = labelled_scores(shipped.scores(), shipped.weights)
    error = calibration_error(reliability_at(scores_NC, truth_N, rejector.temperature))
    assert error == pytest.approx(0.043, abs=0.001)
    names, rejected = shipped.scores().class_names, []
    for split in random_classes(names, 10, 50, 0).splits:
        labels = [names.index(name) for name in split]
        told_N = ~rejector.accepts(scores_NC[:, labels])
        known_N = np.isin(truth_N, labels)
        rejected.append((told_N[known_N].mean(), told_N[~known_N].mean()))
    known, unknown = np.mean(rejected, axis=0)
    assert known == pytest.approx(0.190, abs=0.001) and unknown == pytest.approx(0.732, abs=0.001)
