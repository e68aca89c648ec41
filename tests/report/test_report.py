"""A report tells what the engine tells, on a page that needs nothing else."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import skew

from cezsar.analysis.gap import UnitSpace, measure
from cezsar.cli import main
from cezsar.data.datasets import open_dataset
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import InputError
from cezsar.report import page, subjects
from cezsar.report.page import Plot, Section
from cezsar.report.study import Study, domains_of, seen_and_unseen
from cezsar.report.subjects import analyse, save
from cezsar.training.runs import Run
from cezsar.workspace import ASSETS
from cezsar.world.actions import HARD_GROUPS
from cezsar.zeroshot.evaluation import confusion_matrix, evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.hubness_reduction import CSLS, FUSED, reduced
from cezsar.zeroshot.methods import METHODS, Sources, prepare
from cezsar.zeroshot.protocols import all_classes, random_classes
from cezsar.zeroshot.scored import Scored, clouds_of
from cezsar.zeroshot.shots import shots
from cezsar.zeroshot.weights import fusion_curve


@pytest.fixture
def sources(workspace):
    data = open_dataset("demo")
    return Sources(data, data.descriptions, [FeatureStore(workspace / "features" / "demo-test")])


@pytest.fixture
def study(workspace, sources):
    ready = prepare("cezsar", sources, Run.open(workspace / "runs" / "demo"))
    rows, clouds = clouds_of(ready.embedded, ready.store, open_encoder("minilm"), sources.descriptions)
    protocol = random_classes(ready.scores.class_names, 10, 6, seed=1)
    return Study(ready, "demo", sources.descriptions, protocol, HARD_GROUPS, rows, clouds)


def test_numbers_are_those_of_the_engine(study, workspace):
    domains = domains_of(FeatureStore(workspace / "features" / "demo-train"), study.ready, np.random.default_rng(0))
    report = {section.key: section.numbers for section in analyse(replace(study, domains=domains))}
    scores, weights = study.ready.scores, study.ready.weights
    everything = all_classes(scores.class_names)
    for row, own in zip(report["accuracy"]["all"], (Weights(1, 0), Weights(0, 1), weights), strict=True):
        assert row["summary"]["top1"]["mean"] == evaluate(scores, everything, own).figure().mean
    assert report["fusion"]["best"] | {"gamma": 0.0} == fusion_curve(scores).best()._asdict()
    owner = study.ready.embedded.embeddings.prototype_class
    assert report["gap"]["joint"] == measure(UnitSpace(study.clouds["joint"], scores.label_index, owner, 21))
    csls = evaluate(reduced(study.ready.embedded.embeddings, CSLS, weights), study.protocol, FUSED).figure()
    assert report["hubs"]["corrections"]["csls"]["top1"] == csls._asdict()
    votes = np.bincount(predict(scores, weights), minlength=21)
    assert report["hubs"]["skewness"] == skew(votes)
    counts = confusion_matrix(scores, weights)
    for pair in report["confusion"]["pairs"]:
        true, predicted = (scores.class_names.index(pair[side]) for side in ("true", "predicted"))
        assert pair["count"] == counts[true, predicted] > 0
    assert set(report["shift"]) == {"raw", "joint"} and len(report["groups"]["standings"][0]["values"]) == 30
    per_class = evaluate(scores, everything, weights).per_class()
    assert report["classes"] == {name: {"clips": 1, "top1": figure.mean} for name, figure in per_class.items()}
    fused, alone = (evaluate(scores, study.protocol, own).figure().mean for own in (weights, Weights(1, 0)))
    assert report["comparison"]["pairs"][0]["difference"] == pytest.approx(fused - alone)


def test_subjects_that_do_not_apply_are_left_out(study):
    ready = study.ready.only("VE")
    alone = replace(ready, scores=replace(ready.scores, columns={"VE": ready.scores.columns["VE"]}, gram=None))
    keys = {section.key for section in analyse(replace(study, ready=alone, clouds={}))}
    assert not {"fusion", "comparison", "gap", "faults", "shift", "generalised"} & keys
    assert {"accuracy", "hubs", "confusion", "open_set", "classes"} <= keys


def test_three_modalities_have_a_map(study, sources):
    captions = {clip: [f"a person is {label}"] for clip, label in sources.dataset.labels.items()}
    ready = prepare("cezsar", replace(sources, captions=captions), study.ready.run)
    report = {section.key: section.numbers for section in analyse(replace(study, ready=ready))}
    assert set(report["fusion"]["simplex"]["weights"]) == {"alpha", "beta", "gamma"}
    assert report["fusion"]["simplex"]["accuracy"] >= report["fusion"]["best"]["accuracy"]


def test_the_page_is_one_file_and_its_text_is_escaped(study, tmp_path):
    report = analyse(study)
    html, numbers = save(study, report, tmp_path / "out" / "demo.html")
    assert (html.name, numbers.name) == ("demo.html", "demo.json")
    kept = json.loads(numbers.read_text())
    assert kept["about"] == study.about() and set(kept) == {"cezsar", "version", "about", *(s.key for s in report)}
    text = html.read_text()
    outside = text.replace(re.search(r"<script>.*?</script>", text, re.S)[0], "")
    assert not re.search(r"""(src|href)=["'](?!#)""", outside)  # nothing is fetched
    assert outside.count("<figure") == sum(isinstance(p, Plot) for s in report for p in s.parts)
    assert all(f'<section id="{section.key}">' in text for section in report)
    with pytest.raises(InputError, match="would hold HTML"):
        save(study, report, tmp_path / "report.json")
    evil = "<script>alert(1)</script>"
    section = Section("x", evil, evil, [pd.DataFrame({evil: [evil * 9]}), evil], warning=evil)
    text = page.html_of({"method": evil, "dataset": evil}, [section])
    assert evil not in text and text.count("&lt;script&gt;") >= 9


def test_seen_and_unseen_classes_together(study, sources):
    labels, store = sources.dataset.labels, study.ready.store
    five = sorted(set(labels.values()))[:5]
    of_five = {clip: label for clip, label in labels.items() if label in five}
    others = {clip: label for clip, label in labels.items() if label not in five}
    unseen, seen = (replace(sources.dataset, name=f"{len(given)}", labels=given) for given in (others, of_five))
    given = replace(sources, dataset=unseen)
    ready = prepare("cezsar", given, study.ready.run)
    scores, names = seen_and_unseen(ready, given, seen, store)
    assert sorted(names) == five and len(scores.ids) == 21 and len(scores.class_names) == 21
    # the same clips and classes as the whole set, in another order
    whole = study.ready.scores
    row, place = scores.ids.index(ready.scores.ids[0]), whole.ids.index(ready.scores.ids[0])
    columns = [whole.class_names.index(name) for name in scores.class_names]
    np.testing.assert_allclose(scores.columns["VE"][row], whole.columns["VE"][place][columns], atol=1e-6)
    drawn = random_classes(ready.scores.class_names, 8, 4)
    found = analyse(replace(study, ready=ready, protocol=drawn, clouds={}, together=scores, seen=names))
    (told,) = [section.numbers for section in found if section.key == "generalised"]
    assert json.loads(json.dumps(told, allow_nan=False))["seen_classes"] == names and 0 <= told["ausuc"] <= 1
    with pytest.raises(InputError, match="is a class of both"):
        seen_and_unseen(study.ready, sources, seen, store)


def analysed(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["analyse", *map(str, arguments)])
    return ended.value.code


def test_the_command_writes_the_report(workspace, tmp_path):
    out, features = tmp_path / "report.html", workspace / "features"
    given = ["--store", features / "demo-test", "--dataset", "demo", "--runs", 4, "--out", out]
    assert analysed(workspace / "runs" / "demo", *given, "--train-store", features / "demo-train") == 0
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["about"]["method"] == "CEZSAR (demo)" and report["about"]["clips"] == 21 and "shift" in report


def test_what_was_kept_is_reported_without_a_store(workspace, tmp_path, capsys):
    out = tmp_path / "kept.html"
    assert analysed("demo@demo", "--runs", 4, "--out", out) == 0, capsys.readouterr().err
    report = json.loads(out.with_suffix(".json").read_text())
    scores = Scored.open(workspace / "scores" / "demo@demo").scores()
    expected = evaluate(scores, all_classes(scores.class_names)).figure().mean
    assert report["accuracy"]["all"][-1]["summary"]["top1"]["mean"] == expected
    assert {"gap", "open_set"} <= set(report) and "shift" not in report
    assert any(pair["first_words"] for pair in report["confusion"]["lookalikes"])  # the run's descriptions are read


def test_what_examples_are_worth_is_told_where_clips_can_stand_for_classes(study):
    demo = Scored.open(ASSETS / "demo" / "scores" / "demo@demo")
    whole = replace(study, ready=demo.prepared(), seed=5)
    told, found = subjects.examples(whole).numbers, shots(demo.embeddings(), demo.weights, seed=5)
    assert (told["tested"], told["draws"]) == (found.tested[0], 20) and told["rows"][0]["examples"] is None
    assert [row["blend"] for row in told["rows"]] == found.top1["blend"].mean(axis=0).tolist()
    assert [row["examples, std"] for row in told["rows"][1:]] == found.top1["examples"].std(axis=0, ddof=1)[1:].tolist()
    assert subjects.examples(study) is None  # no class has two clips
    assert subjects.examples(replace(whole, ready=replace(whole.ready, method=METHODS["objects+captions"]))) is None
