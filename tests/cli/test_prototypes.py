"""`cezsar prototypes`, and `cezsar classify --prototypes` with a shipped set."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cezsar.cli import main
from cezsar.data.datasets import KNOWN
from cezsar.data.layout import ASSETS
from cezsar.world import plan_clips, unseen_actions, write_video

RUN = ASSETS / "demo" / "runs" / "demo"


@pytest.fixture
def cezsar(capsys, tmp_path, monkeypatch):
    """Run a command in a folder with an empty workspace; returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "ws"))

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_a_shipped_set_by_name(cezsar):
    status, out, err = cezsar("prototypes", "check", "HMDB-51")
    assert status == 0 and "51 sentences for 51 classes; HMDB-51 has 51 classes" in out
    assert "nearest under minilm: 'pullup' and 'pushup', 0.68" in out and "nothing wrong was found" in out
    assert "51 of 51" in err


def test_findings_are_listed_and_written(cezsar, tmp_path):
    """Two descriptions of one action are near; their similarity is that of MiniLM called directly."""
    from cezsar.encoders.sentences import load_sentence_encoder

    one = "A child sits on a swing in a playground and swings to and fro."
    other = "A child sits on a swing in a playground and swings back and forth."
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "swing.txt").write_text(one)
    (folder / "pendulum.txt").write_text(other)
    (folder / "Yo_Yo.txt").write_bytes("A toy’s wheel goes up and down on a string.".encode("cp1252"))
    (folder / "wave.txt").write_text("Wave.")
    (folder / "long.txt").write_text("A very long walk through a very large park. " * 30)
    data = tmp_path / "index.json"
    data.write_text(json.dumps({"YoYo": ["1"], "swing": ["2"], "wave": ["3"], "long": ["4"], "row": ["5"]}))
    status, out, _ = cezsar("prototypes", "check", "texts", "--dataset", "index.json", "--json", "found.json")
    vectors = load_sentence_encoder().encode([one, other])
    similarity = float(vectors[0] @ vectors[1] / np.prod(np.linalg.norm(vectors, axis=1)))
    assert status == 1 and similarity > 0.85
    for line in (
        "texts: 5 sentences for 5 classes; index.json has 5 classes",
        "not UTF-8 (1)\n  Yo_Yo.txt, line 1, byte 5: 0x92 is not UTF-8; the file was read as cp1252; save it as UTF-8",
        "unknown class (1)\n  pendulum.txt: 'pendulum' is no class of index.json; ",
        "missing class (1)\n  'row' of index.json has no description; write a sentence for it",
        "name as description (1)\n  wave.txt: 'wave' is described by its own name alone; ",
        "302 tokens, and minilm reads 256",
        f"'pendulum' and 'swing' have a similarity of {similarity:.2f}; only 'pendulum' says back, forth; "
        "only 'swing' says to, fro; ",
        "6 findings\n",
    ):
        assert line in out, out
    written = json.loads((tmp_path / "found.json").read_text())
    kinds = ["not UTF-8", "unknown class", "missing class", "name as description"]
    kinds += ["description longer than the encoder reads", "near-identical descriptions"]
    assert [finding["kind"] for finding in written["findings"]] == kinds
    assert written["findings"][-1]["pair"]["similarity"] == pytest.approx(similarity, abs=1e-5)
    assert written["findings"][-1]["pair"]["only"] == [["back", "forth"], ["to", "fro"]]
    status, out, _ = cezsar("prototypes", "check", "texts", "--near", similarity + 0.001)
    assert status == 1 and "near-identical" not in out and "missing" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "ucf-110"], "ucf-110 is no file or folder, and none of the shipped descriptions (ucf101, "),
        (["check", "bad.json"], "bad.json, line 1, column 2"),
        (["check", "ucf101", "--dataset", "nobody's"], "data set nobody's: there is no"),
        (["check", "ucf101", "--dataset", "activitynet-captions"], "no classes"),
        (["check", "ucf101", "--near", "2"], "--near"),
        (["check", "ucf101", "--sentences", "no/such/folder/x"], "no/such/folder/x"),
    ],
)
def test_a_mistake_ends_with_status_2(cezsar, tmp_path, arguments, message):
    (tmp_path / "bad.json").write_text("{3}")
    status, out, err = cezsar("prototypes", *arguments)
    assert status == 2 and message in err and "Traceback" not in err and "findings" not in out


def test_help_names_the_verbs_of_the_group(cezsar):
    assert "check" in cezsar("prototypes", "--help")[1]
    status, out, _ = cezsar("prototypes", "check", "--help")
    assert status == 0 and all(option in out for option in ("--dataset", "--sentences", "--near", "--json"))


def test_clips_are_ranked_by_a_shipped_set(cezsar, tmp_path):
    (plan,) = plan_clips(5, unseen_actions()[:1], 1)
    write_video(plan, tmp_path / "clip.webm")
    ranked = ["classify", "clip.webm", "--run", RUN, "--top", 51, "--json", "--prototypes"]
    status, out, err = cezsar(*ranked, "HMDB-51")
    assert status == 0, err
    (answer,) = json.loads(out)
    assert {label["label"] for label in answer["labels"]} == set(KNOWN["hmdb51"].class_names())
    status, _, err = cezsar(*ranked, "hmdb52")
    assert status == 2 and "hmdb52 is no file or folder" in err
