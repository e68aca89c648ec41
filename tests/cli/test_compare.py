"""`cezsar compare`, and `cezsar evaluate` with captions and without a store."""

import json
import shutil

import pytest

from cezsar.data.annotations import load_captions
from cezsar.data.datasets import open_dataset
from cezsar.data.sentence_cache import open_encoder
from cezsar.zeroshot.evaluation import load_all
from cezsar.zeroshot.scored import Scored


@pytest.fixture
def captions(workspace, tmp_path):
    """Caption files of two models for the demo's test clips; one clip has none."""
    labels = dict(list(open_dataset("demo").labels.items())[1:])
    files = []
    for model in ("one", "two"):
        spoken = {c: [{"sentence": f"model {model} sees {label}", "timestamp": [0, 2]}] for c, label in labels.items()}
        files.append(tmp_path / f"{model}.json")
        files[-1].write_text(json.dumps({"results": spoken}))
    return files


def test_everything_that_can_be_had_is_compared(cezsar, workspace, captions, tmp_path):
    given = ["--dataset", "demo", "--store", workspace / "features" / "demo-test", "--run", workspace / "runs" / "demo"]
    given += [part for file in captions for part in ("--captions", file)]
    out = tmp_path / "compare.json"
    code, text, _ = cezsar("compare", *given, "--protocol", "8-of-21 x 4", "--out", out, "--resamples", 50)
    assert code == 0, text
    results = load_all(out)
    assert [(result.method, result.modality) for result in results] == [
        ("CEZSAR (demo)", "VE + O"), ("CEZSAR (demo)", "VE"), ("Objects, after [9]", "O"),
        ("Objects + captions, after [9]", "O + C"), ("Captions, after [12]", "C"),
    ]  # fmt: skip
    assert all(len(result.runs) == 4 for result in results)
    assert results[4].figure().mean > 0.9  # the captions name the class
    assert "1 of 21 clips have no caption" in text
    assert [line.split("  ")[0] for line in text.splitlines() if "±" in line][1:6] == [r.method for r in results]
    assert (tmp_path / "compare.tex").is_file() and (tmp_path / "compare.md").is_file()


def test_two_runs_of_one_name_are_told_apart(cezsar, workspace, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "demo").symlink_to(workspace / "runs" / "demo")
    runs = ["--run", workspace / "runs" / "demo", "--run", tmp_path / "other" / "demo", "--method", "cezsar"]
    store = ["--store", workspace / "features" / "demo-test"]
    code, text, _ = cezsar("compare", "--dataset", "demo", *store, *runs, "--resamples", 20)
    assert code == 0 and str(tmp_path / "other" / "demo") in text and "+0.0 to +0.0" in text  # the same run twice
    code, _, error = cezsar("compare", "--dataset", "demo")
    assert code == 2 and "there is nothing to compare" in error


@pytest.mark.parametrize("how", ["joined", "averaged"])
def test_captions_are_evaluated_without_a_store(cezsar, workspace, captions, tmp_path, how):
    out = tmp_path / "result.json"
    files = [part for file in captions for part in ("--captions", file)]
    code, text, _ = cezsar("evaluate", "--dataset", "demo", *files, "--captions-as", how, "--out", out)
    assert code == 0, text
    (result,) = load_all(out)
    (run,) = result.runs
    assert result.modality == "C" and run.undecided == 1
    data, encoder, spoken = open_dataset("demo"), open_encoder("minilm"), load_captions(captions)
    prototypes = encoder.encode([data.descriptions[name][0] for name in run.classes])
    right = 0
    for clip, texts in spoken.items():
        told = [" ".join(texts)] if how == "joined" else texts
        best = int((prototypes @ encoder.encode(told).mean(0)).argmax())
        right += run.classes[best] == data.labels[clip]
    assert sum(run.hits[1]) == right


def test_captions_alone_go_through_a_run(cezsar, workspace, captions, tmp_path):
    data = open_dataset("demo")
    index = {label: [clip for clip, own in data.labels.items() if own == label] for label in data.labels.values()}
    (tmp_path / "spoken.json").write_text(json.dumps(index))
    (tmp_path / "descriptions.json").write_text(json.dumps(data.descriptions))
    given = ["--captions", captions[0], "--run", workspace / "runs" / "demo", "--keep"]
    code, text, _ = cezsar("evaluate", "--dataset", tmp_path / "spoken.json", *given)
    assert code == 0 and "\nC " in text and "kept in" in text
    kept = Scored.open(next((workspace / "scores").glob("demo@spoken-*")))
    assert kept.scores().modalities == ("C",) and (kept.weights.alpha, kept.weights.gamma) == (0, 1)
    shutil.rmtree(kept.folder)  # other tests share the workspace
