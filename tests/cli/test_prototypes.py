"""`cezsar prototypes`: what is wrong with class descriptions, and what other sentences would change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cezsar.encoders.sentences import load_sentence_encoder
from cezsar.training.runs import Run
from cezsar.workspace import ASSETS
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import predict
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import JointSpace

RUN = ASSETS / "demo" / "runs" / "demo"


@pytest.fixture(autouse=True)
def _here(home):
    """Every test is in an empty folder, with an empty workspace."""


def test_a_shipped_set_by_name(cezsar):
    status, out, err = cezsar("prototypes", "check", "HMDB-51")
    assert status == 0 and "51 sentences for 51 classes; HMDB-51 has 51 classes" in out
    assert "nearest under minilm: 'pullup' and 'pushup', 0.68" in out and "nothing wrong was found" in out
    assert "51 of 51" in err


def test_findings_are_listed_and_written(cezsar):
    """Two descriptions of one action are near; their similarity is that of MiniLM called directly."""
    one = "A child sits on a swing in a playground and swings to and fro."
    other = "A child sits on a swing in a playground and swings back and forth."
    folder = Path("texts")
    folder.mkdir()
    described = {"swing": one, "pendulum": other, "wave": "Wave.", "long": "A long walk in a very big park. " * 38}
    for name, text in described.items():
        (folder / f"{name}.txt").write_text(text)
    (folder / "Yo_Yo.txt").write_bytes("A toy’s wheel goes up and down on a string.".encode("cp1252"))
    index = {name: [str(number)] for number, name in enumerate(("YoYo", "swing", "wave", "long", "row"))}
    Path("index.json").write_text(json.dumps(index))
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
        " tokens, and minilm reads 256",
        f"'pendulum' and 'swing' have a similarity of {similarity:.2f}; only 'pendulum' says back, forth; "
        "only 'swing' says to, fro; ",
        "6 findings\n",
    ):
        assert line in out, out
    written = json.loads(Path("found.json").read_text())
    kinds = ["not UTF-8", "unknown class", "missing class", "name as description"]
    kinds += ["description longer than the encoder reads", "near-identical descriptions"]
    assert [finding["kind"] for finding in written["findings"]] == kinds
    assert written["findings"][-1]["pair"]["similarity"] == pytest.approx(similarity, abs=1e-5)
    assert written["findings"][-1]["pair"]["only"] == [["back", "forth"], ["to", "fro"]]
    status, out, _ = cezsar("prototypes", "check", "texts", "--near", similarity + 0.001)
    assert status == 1 and "near-identical" not in out and "missing" not in out


# Other sentences -----------------------------------------------------------------------------------------------------

SCORED = ASSETS / "demo" / "scores" / "demo@demo"
OTHER = ["A cardboard box is pushed away with the foot.", "Kicks."]


def by_hand(texts, class_name, *, append=False, new=False):
    """Everything scored and evaluated again with other prototypes, without a workshop: (before, after, two lists of
    predictions and labels)."""
    item = Scored.open(SCORED)
    old = item.embeddings()
    vectors = JointSpace(Run.open(RUN).load_model(), load_sentence_encoder()).sentences(texts)
    names = [*old.class_names, class_name] if new else old.class_names
    index = names.index(class_name)
    kept = old.prototype_class != index if not append else np.ones(len(old.prototype_class), bool)
    changed = replace(
        old,
        class_names=names,
        prototypes=np.concatenate([old.prototypes[kept], vectors]),
        prototype_class=np.concatenate([old.prototype_class[kept], np.full(len(vectors), index)]),
    )
    found = []
    for embeddings in (old, changed):
        scores = Scores.from_embeddings(embeddings)
        result = evaluate(scores, Protocol("all", [embeddings.class_names]), item.weights)
        predicted = [embeddings.class_names[c] for c in predict(scores, item.weights)]
        found.append((result.figure("top1").mean, result.figure("mean_per_class").mean, predicted))
    return *found, old.ids, [names[c] for c in Scores.from_embeddings(old).label_index]


@pytest.mark.parametrize("append", [False, True])
def test_other_sentences_give_what_scoring_again_gives(cezsar, append):
    wanted = ["try", SCORED, "KICKING a box", *OTHER, *["--append"] * append, "--json"]
    status, out, err = cezsar("prototypes", *wanted)
    assert status == 0, err
    told = json.loads(out)
    before, after, ids, labels = by_hand(OTHER, "kicking a box", append=append)
    for part, (top1, mean, predicted) in ((told["before"], before), (told["after"], after)):
        assert (part["clips"], part["top1"], part["mean_per_class"]) == (420, top1, pytest.approx(mean))
        own = [p == t for p, t in zip(predicted, labels, strict=True) if t == "kicking a box"]
        assert part["of_class"] == sum(own) / len(own)
    turned = list(zip(ids, labels, before[2], after[2], strict=True))
    for key, was, now in (("gained", False, True), ("lost", True, False)):
        expected = [clip for clip, t, b, a in turned if (b == t, a == t) == (was, now)]
        assert [move["id"] for move in told[key]] == expected
    drawn = [b for _, _, b, a in turned if a == "kicking a box" != b]
    assert {flow["name"]: flow["clips"] for flow in told["drawn_from"]} == {name: drawn.count(name) for name in drawn}
    left = [a for _, _, b, a in turned if b == "kicking a box" != a]
    assert {flow["name"]: flow["clips"] for flow in told["left_to"]} == {name: left.count(name) for name in left}
    was = json.loads((RUN / "prototypes.json").read_text())["kicking a box"]
    assert told["sentences_before"] == was and told["sentences"] == [*(was if append else []), *OTHER]


def test_a_new_class_and_the_table(cezsar):
    before, after, _, _ = by_hand(OTHER[:1], "shoving", new=True)
    status, out, _ = cezsar("prototypes", "try", SCORED, "shoving", OTHER[0], "--new")
    assert status == 0
    assert "demo@demo: 420 clips, 22 classes, predicted from 0.8 VE + 0.2 O" in out
    change = 100 * (after[0] - before[0])
    assert f"top-1          {100 * before[0]:8.1f} %{100 * after[0]:7.1f} %{change:+9.1f}".split() == next(
        line.split() for line in out.splitlines() if line.startswith("top-1")
    )
    assert f"{after[2].count('shoving')} drawn to it" in out and "0 left it" in out
    assert "of the class            –        –" in out


def test_what_cannot_be_tried_ends_with_status_2(cezsar):
    for *arguments, message in (
        ("nowhere", "x", "y", "holds no scored data set"),
        (SCORED, "kicking a bo", "y", "did you mean 'kicking a box'?"),
        (SCORED, "kicking a box", "y", "--new", "is there already"),
        (SCORED, "x", "y", "--new", "--append", "leave out --append or --new"),
        (SCORED, "kicking a box", " ", "at least one sentence"),
        (SCORED.with_name("demo-colour@demo"), "kicking a box", "y", "weights of run 'demo-colour'"),
    ):
        status, out, err = cezsar("prototypes", "try", *arguments)
        assert status == 2 and message in err and "Traceback" not in err and not out
