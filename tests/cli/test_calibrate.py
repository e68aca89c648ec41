"""`cezsar calibrate`: what it chooses against loops and a library, and that `cezsar.load` and `classify` use it."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import cezsar as package
from cezsar import world
from cezsar.analysis.calibration import calibration_error, labelled_scores, reliability_at
from cezsar.cli import main
from cezsar.data.features import FeatureStore
from cezsar.data.labels import spoken
from cezsar.training.importing import pack, unpack
from cezsar.training.runs import Run
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.rejection import Rejector
from cezsar.zeroshot.scored import Scored

SHIPPED = Path(__file__).resolve().parents[2] / "assets/demo"
ACTIONS = [action.name for action in world.unseen_actions()]
KNOWN, UNKNOWN = ACTIONS[:12], ACTIONS[12:]


@pytest.fixture
def cezsar(capsys):
    """Run a command; returns (exit status, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def kept(folder):
    """The rejector and the record of the calibration."""
    return Rejector.of_run(folder), json.loads((folder / "calibration.json").read_text())


@pytest.fixture
def given(workspace, tmp_path):
    """A run without a rejector, the store of the test clips, and two indices of it: (run, store, known, unknown)."""
    run = tmp_path / "run"
    shutil.copytree(workspace / "runs/demo", run)
    for name in ("rejector.json", "calibration.json"):
        (run / name).unlink()
    store = FeatureStore(workspace / "features/demo-test")
    labels = dict(zip(store.ids, (store.labels[clip] for clip in store.ids), strict=True))
    for name, classes in (("known", KNOWN), ("unknown", UNKNOWN)):
        index = {each: [clip for clip, label in labels.items() if label == each] for each in classes}
        (tmp_path / f"{name}.json").write_text(json.dumps(index))
    return run, store.folder, tmp_path / "known.json", tmp_path / "unknown.json"


def rows_of(run, store, labels):
    """Every clip of these labels: its cosine similarity to each of `KNOWN` as the classifier has it, and its label."""
    features = FeatureStore(store)
    rows, truth = [], []
    with package.load(run) as classifier:
        described = {name: [spoken(name)] for name in KNOWN}  # an index brings no descriptions
        for clip in features.ids:
            if features.labels[clip] in labels:
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


def test_from_known_clips_alone(cezsar, given):
    run, store, known, _ = given
    status, out, err = cezsar("calibrate", run, "--store", store, "--dataset", known, "--rate", 0.25)
    assert status == 0, err
    rows, truth = rows_of(run, store, KNOWN)
    rejector, calibration = kept(run)
    assert rejector.threshold == pytest.approx(sorted(rows.max(axis=1))[3], abs=1e-3)  # a quarter of 12 clips are 3
    assert (rejector.chosen_by, rejector.clips, rejector.kind, rejector.rate) == ("false reject", 12, "cosine", 0.25)
    assert calibration["temperature"] == rejector.temperature == pytest.approx(fitted(rows, truth), rel=0.05)
    assert (calibration["clips"], calibration["classes"], calibration["stopped"]) == (12, 12, "inside")
    assert "3 of 12 known clips are rejected" in out and "12 known clips of known.json, among 12 classes" in out
    assert "nothing is known about clips of other classes" in out and "--unknown-dataset" in out
    assert "warning, no guarantee" in out


def test_from_unknown_clips(cezsar, given):
    run, store, known, unknown = given
    both = ["--store", store, "--dataset", known, "--unknown-dataset", unknown]
    status, out, err = cezsar("calibrate", run, *both, "--rate", 0.25)
    assert status == 0, err
    rejector = Rejector.of_run(run)
    others = np.sort(rows_of(run, store, UNKNOWN)[0].max(axis=1))[::-1]
    assert others[1] > rejector.threshold > others[2] - 1e-3  # a quarter of 9 clips are 2
    assert rejector.threshold == pytest.approx(others[2], abs=1e-3)
    assert (rejector.chosen_by, rejector.clips) == ("false accept", 9)
    assert "2 of 9 unknown clips are accepted" in out and "AUROC" in out
    known_K = rows_of(run, store, KNOWN)[0].max(axis=1)
    auroc = np.mean([(k > u) + 0.5 * (k == u) for k in known_K for u in others])
    assert f"AUROC of known against unknown clips {auroc:.1%}" in out


def test_what_was_chosen_is_used(cezsar, given, tmp_path, workspace):
    run, store, known, _ = given
    clip = sorted((workspace / "demo/test").rglob("*.webm"))[0]
    labels = ["--labels", ", ".join(KNOWN[:4])]
    status, out, _ = cezsar("classify", clip, "--run", run, *labels)
    assert status == 0 and "%" not in out.partition("objects:")[0] and "none of these" not in out
    cezsar("calibrate", run, "--store", store, "--dataset", known)
    sure, unsure = Rejector.of_run(run), None
    for threshold in (-1.0, 2.0):
        unsure = Rejector(**{**sure.__dict__, "threshold": threshold})
        unsure.save(run)
        status, out, _ = cezsar("classify", clip, "--run", run, *labels)
        assert status == 0 and ("none of these labels seems right (maximum cosine" in out) == (threshold > 1)
        assert out.partition("objects:")[0].count("%  ") == 4
    assert "of 12 known clips were rejected (known.json, among 12 classes)" in out and "warning, no guarantee" in out
    assert "looks like nothing" not in unsure.about  # another matter, told apart
    (record,) = json.loads(cezsar("classify", clip, "--run", run, *labels, "--json")[1])
    assert record["none_of_these"] is True
    scores = np.array([label["similarity"] for label in record["labels"]])
    expected = np.exp((scores - scores.max()) / sure.temperature)
    assert [label["probability"] for label in record["labels"]] == pytest.approx(
        list(expected / expected.sum()), abs=1e-3
    )
    cezsar("classify", clip, "--run", run, *labels, "--csv", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["none_of_these"] for row in rows} == {"yes"}
    assert [float(row["probability"]) for row in rows] == [label["probability"] for label in record["labels"]]
    status, out, _ = cezsar("classify", clip, "--run", run, *labels, "--alpha", 0.1, "--json")
    assert json.loads(out)[0]["none_of_these"] is None  # chosen with other weights
    (run / "rejector.json").write_text('{"cezsar": "rejector", "version": 1, "kind": "cosine"}')
    status, _, err = cezsar("classify", clip, "--run", run, *labels)
    assert status == 2 and "rejector.json" in err and "damaged" in err and "cezsar calibrate" in err


MISTAKES = {
    "a rate of 1": (["--rate", "1"], "a rate of 1"),
    "a store without a data set": (["--unknown-store", "{store}"], "--unknown-dataset"),
    "nothing unknown": (["--unknown-dataset", "{known}"], "all 12 unknown clips"),
    "another encoder's store": (["--store", "{colour}"], "was trained with"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_and_change_nothing(cezsar, given, workspace, name):
    run, store, known, _ = given
    extra, said = MISTAKES[name]
    places = {"store": store, "known": known, "colour": workspace / "features/demo-test-colour"}
    arguments = ["--store", store, "--dataset", known, *(part.format(**places) for part in extra)]
    status, _, err = cezsar("calibrate", run, *arguments)
    assert status == 2 and said in err
    assert not (run / "rejector.json").exists() and not (run / "calibration.json").exists()


def test_a_calibrated_run_travels_whole(given, workspace, tmp_path):
    source = workspace / "runs/demo"
    run = unpack(pack(source, tmp_path / "demo.zip"), tmp_path / "runs")
    assert kept(run.folder) == kept(source)


def test_the_demo_brings_its_own(small_demo):
    """From segments of validation videos among all seen actions, none of which is an unseen one."""
    run = Run.open(small_demo[0] / "runs/demo")
    rejector, calibration = kept(run.folder)
    assert rejector.clips == calibration["clips"] == run.record()["validation_sub_clips"] == 7
    assert calibration["classes"] <= len(world.seen_actions())
    assert "1 validation videos" in rejector.about and rejector.temperature == calibration["temperature"]


def test_the_shipped_threshold_warns_of_most_unknown_clips_and_few_known_ones():
    """Half of the unseen classes as labels, 50 times: the figures of docs/demo.md."""
    shipped = Scored.open(SHIPPED / "scores/demo@demo")
    rejector = Rejector.of_run(SHIPPED / "runs/demo")
    scores_NC, truth_N = labelled_scores(shipped.scores(), shipped.weights)
    names, diagram = shipped.scores().class_names, reliability_at(scores_NC, truth_N, rejector.temperature)
    assert calibration_error(diagram) == pytest.approx(0.043, abs=0.001)
    rejected = []
    for split in random_classes(names, 10, 50, 0).splits:
        labels = [names.index(name) for name in split]
        told_N = ~rejector.accepts(scores_NC[:, labels])
        known_N = np.isin(truth_N, labels)
        rejected.append((told_N[known_N].mean(), told_N[~known_N].mean()))
    known, unknown = np.mean(rejected, axis=0)
    assert known == pytest.approx(0.190, abs=0.001) and unknown == pytest.approx(0.732, abs=0.001)
