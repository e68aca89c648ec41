"""`cezsar datasets`, and an evaluation of a published data set by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cezsar.cli import main
from cezsar.data.datasets import KNOWN
from cezsar.data.features import StoreWriter
from cezsar.data.layout import ucf101_clips
from cezsar.zeroshot.results import load_all


@pytest.fixture
def cezsar(capsys, tmp_path, monkeypatch):
    """Run a command in an empty workspace; returns (exit status, standard output, standard error)."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "ws"))

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index of UCF-101 without one of its clips."""
    classes: dict[str, list[str]] = {}
    for id, label in ucf101_clips().items():
        classes.setdefault(label, []).append(id)
    classes["YoYo"].remove("v_YoYo_g25_c01")
    path = tmp_path / "ucf101_dataset.json"
    path.write_text(json.dumps(classes))
    return path


def test_nothing_is_here_yet(cezsar, tmp_path):
    status, out, _ = cezsar("datasets")
    assert status == 0 and out.count("  absent") == 5
    for known in KNOWN.values():
        assert f"{known.title}: {known.clips:,} " in out and str(tmp_path / "ws/data" / known.name) in out
    assert "ucf101-0/50 ucf101-0/20 ucf101-hard15" in out and "hmdb51-truze" in out


def test_found_expected_and_missing(cezsar, index, tmp_path):
    status, out, _ = cezsar("datasets", "--add", f"UCF-101={index}", "ucf101", "--missing", tmp_path / "missing.txt")
    assert status == 0 and "HMDB" not in out
    assert "13,320 clips, 101 classes expected" in out and "13,319 clips of 101 classes" in out
    assert "1 of 13,320 clips are missing: v_YoYo_g25_c01" in out and "test1 3,783" in out
    assert (tmp_path / "missing.txt").read_text() == "v_YoYo_g25_c01\n"
    assert json.loads((tmp_path / "ws/data/datasets.json").read_text()) == {"ucf101": str(index)}
    assert "13,319" in cezsar("datasets")[1]
    assert cezsar("datasets", "--forget", "ucf101")[0] == 0
    assert "absent" in cezsar("datasets", "ucf101")[1]


def test_ones_own_and_a_broken_one(cezsar, tmp_path):
    (tmp_path / "mine/jump").mkdir(parents=True)
    (tmp_path / "mine/jump/1.mp4").touch()
    assert "1 clips of 1 classes" in cezsar("datasets", "--add", f"my clips={tmp_path / 'mine'}")[1]
    (tmp_path / "mine/jump/1.mp4").unlink()
    (tmp_path / "ws/data/hmdb51").mkdir()
    (tmp_path / "ws/data/hmdb51/wave_test_split1.txt").write_text("nonsense\n")
    status, out, _ = cezsar("datasets")
    assert status == 0 and out.count("  unusable") == 2 and "line 1: 'nonsense'" in out and "holds no video" in out
    assert "unusable" in cezsar("datasets", "nobody's")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--add", "ucf101"], "should be NAME=PLACE"),
        (["--add", "ucf101=/no/such/place"], "there is no /no/such/place"),
        (["--forget", "x"], "no data set is named 'x'"),
        (["--missing", "m.txt"], "--missing is for one published data set"),
        (["ucf101", "--missing", "m.txt"], "not here, so what is missing cannot be told"),
    ],
)
def test_mistakes(cezsar, arguments, message):
    status, _, err = cezsar("datasets", *arguments)
    assert status == 2 and message in err and "Traceback" not in err and not Path("m.txt").exists()


def test_evaluation_by_name(cezsar, index, tmp_path):
    """One clip of every class, its caption the class's name or, for every fourth, that of a class that is another."""
    tested = {label: id for id, label in ucf101_clips().items() if id.endswith("_g03_c01")}
    names = KNOWN["ucf101"].class_names()
    with StoreWriter(tmp_path / "store", {"encoder": "motion", "fingerprint": "any", "dim": 4}) as store:
        for id in tested.values():
            store.add(id, np.ones((1, 4), np.float32))
    by_key = {name.replace(" ", ""): name for name in names}
    said = {id: by_key[label.lower()] for label, id in tested.items()}
    (tmp_path / "names.json").write_text(json.dumps({name: name for name in names}))
    wrong = [id for number, id in enumerate(tested.values()) if number % 4 == 0]
    said |= {id: said[other] for id, other in zip(wrong, wrong[1:] + wrong[:1], strict=True)}
    captions = {id: [{"sentence": name, "timestamp": [0, 1]}] for id, name in said.items()}
    (tmp_path / "captions.json").write_text(json.dumps({"results": captions}))
    assert cezsar("datasets", "--add", f"ucf101={index}")[0] == 0
    evaluating = ["evaluate", "--dataset", "ucf101", "--store", tmp_path / "store", "--captions"]
    evaluating += [tmp_path / "captions.json", "--out", tmp_path / "r.json"]
    spoken = ["--prototypes", tmp_path / "names.json"]
    status, out, _ = cezsar(*evaluating, *spoken, "--protocol", "ucf101-0/101")
    assert status == 0 and "1 of 13,320 clips are missing: v_YoYo_g25_c01" in out
    (result,) = load_all(tmp_path / "r.json")
    assert result.figure("top1").mean == pytest.approx(1 - len(wrong) / 101)
    status, out, _ = cezsar(*evaluating, *spoken, "--protocol", "ucf101-0/20", "--seed", 3)
    (result,) = load_all(tmp_path / "r.json")
    assert status == 0 and "protocol ucf101-0/20, 20 classes" in out and result.seed == 3
    assert [len(set(run.classes)) for run in result.runs] == [20] * 50
    status, out, _ = cezsar(*evaluating, "--protocol", "ucf101-hard15")  # with the sentences that come along
    assert status == 0 and "15 classes, 15 clips" in out and load_all(tmp_path / "r.json")[0].figure("top1").mean > 0.5
