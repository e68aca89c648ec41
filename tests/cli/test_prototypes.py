"""`cezsar prototypes`: what is wrong with class descriptions, better words, and what other sentences would change."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cezsar import encoders
from cezsar.analysis.wording import Wording, patterns
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.sentences import load_sentence_encoder
from cezsar.training.runs import Run
from cezsar.workspace import ASSETS
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.spaces import ImageTextSpace, SentenceSpace, space_for
from cezsar.zeroshot.workshop import Workshop

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
    assert "texts: 5 sentences for 5 classes; index.json has 5 classes" in out and "5 findings\n" in out
    assert f"'pendulum' and 'swing' have a similarity of {similarity:.2f}; only 'pendulum' says back, forth; " in out
    written = json.loads(Path("found.json").read_text())
    kinds = ["unknown class", "missing class", "name as description"]
    kinds += ["description longer than the encoder reads", "near-identical descriptions"]
    assert [finding["kind"] for finding in written["findings"]] == kinds
    assert written["findings"][-1]["pair"]["similarity"] == pytest.approx(similarity, abs=1e-5)
    status, out, _ = cezsar("prototypes", "check", "texts", "--near", similarity + 0.001)
    assert status == 1 and "near-identical" not in out and "missing" not in out


# Other sentences -----------------------------------------------------------------------------------------------------

SCORED = ASSETS / "demo" / "scores" / "demo@demo"
OTHER = ["A cardboard box is pushed away with the foot.", "Kicks."]


@pytest.mark.parametrize("append", [False, True])
def test_other_sentences_give_what_scoring_again_gives(cezsar, scored_again, append):
    status, out, err = cezsar("prototypes", "try", SCORED, "KICKING a box", *OTHER, *["--append"] * append, "--json")
    assert status == 0, err
    told, (scores, before, was), (_, after, now) = (
        json.loads(out), scored_again({}), scored_again({"kicking a box": OTHER}, append),
    )  # fmt: skip
    names, truth, own = scores.class_names, scores.label_index, scores.class_names.index("kicking a box")
    for part, run, predicted in ((told["before"], before, was), (told["after"], after, now)):
        assert (part["clips"], part["top1"]) == (420, run.top1)
        assert part["mean_per_class"] == pytest.approx(run.mean_per_class)
        assert part["of_class"] == (predicted == truth)[truth == own].mean()
    for key, rows in (("gained", (now == truth) & (was != truth)), ("lost", (now != truth) & (was == truth))):
        assert [move["id"] for move in told[key]] == [scores.ids[row] for row in np.flatnonzero(rows)]
    drawn, left = was[(now == own) & (was != own)], now[(was == own) & (now != own)]
    for key, others in (("drawn_from", drawn), ("left_to", left)):
        assert {flow["name"]: flow["clips"] for flow in told[key]} == Counter(names[c] for c in others)
    known = json.loads((RUN / "prototypes.json").read_text())["kicking a box"]
    assert told["sentences_before"] == known and told["sentences"] == [*(known if append else []), *OTHER]


def test_a_new_class_and_the_table(cezsar, scored_again):
    (_, before, _), (_, after, now) = scored_again({}), scored_again({"shoving": OTHER[:1]})
    status, out, _ = cezsar("prototypes", "try", SCORED, "shoving", OTHER[0], "--new")
    assert status == 0 and "demo@demo: 420 clips, 22 classes, predicted from 0.8 VE + 0.2 O" in out
    line = next(line.split() for line in out.splitlines() if line.startswith("top-1"))
    change = 100 * (after.top1 - before.top1)
    assert line[1:] == f"{100 * before.top1:.1f} % {100 * after.top1:.1f} % {change:+.1f}".split()
    assert f"{(now == 21).sum()} drawn to it" in out and "0 left it" in out


def test_examples_stand_beside_sentences_and_are_not_tested(cezsar):
    ids = ["w7-kicking_a_box-000", "w7-kicking_a_box-003"]
    named = [word for each in ids for word in ("--example", each)]
    status, out, err = cezsar("prototypes", "try", SCORED, "kicking a box", *named, "--share", "0.4", "--json")
    assert status == 0, err
    told, item = json.loads(out), Scored.open(SCORED)
    trial = Workshop(item.embeddings(), item.weights).try_sentences("kicking a box", examples=ids, share=0.4)
    for when in ("before", "after"):
        assert (told[when]["clips"], told[when]["top1"]) == (418, getattr(trial, when).top1)
    assert (told["examples"], told["share_of_examples"], told["sentences"]) == (ids, 0.4, told["sentences_before"])
    assert [move["id"] for move in told["gained"]] == [item.scores().ids[row] for row in trial.gained]
    status, out, _ = cezsar("prototypes", "try", SCORED, "shoving", OTHER[0], "--new", *named)
    assert status == 0 and f"and shown by {ids[0]}, {ids[1]}: λ = 0.67, not zero-shot" in out and "418 clips" in out


def test_what_cannot_be_tried_ends_with_status_2(cezsar):
    for *arguments, message in (
        ("nowhere", "x", "y", "there is no scored data set nowhere"),
        (SCORED, "kicking a bo", "y", "did you mean 'kicking a box'?"),
        (SCORED, "kicking a box", "y", "--new", "is there already"),
        (SCORED, "x", "y", "--new", "--append", "leave out --append or --new"),
        (SCORED, "kicking a box", " ", "at least one sentence"),
        (SCORED, "kicking a box", "at least one sentence"),
        (SCORED, "kicking a box", "y", "--share", "0.5", "give --example, too"),
        (SCORED, "kicking a box", "--example", "w7-kicking_a_box-00", "none of the 420 clips; did you mean"),
        (SCORED.with_name("demo-colour@demo"), "kicking a box", "y", "weights of run 'demo-colour'"),
    ):
        status, out, err = cezsar("prototypes", "try", *arguments)
        assert status == 2 and message in err and "Traceback" not in err and not out


# Better words --------------------------------------------------------------------------------------------------------

TEA = {
    "pouring tea": ["Tea runs from a pot into a cup."],
    "pouring beer": ["Beer runs into a glass."],
    "nap": ["A nap."],
}


def test_better_words_are_suggested(cezsar, clip_folder):
    Path("mine.json").write_text(json.dumps(TEA))
    for given, space in (
        ([], SentenceSpace(open_encoder())), (["--run", "demo"], space_for(Run.open(RUN))),
        (["--encoder", f"clip:{clip_folder}"], ImageTextSpace(encoders.create(f"clip:{clip_folder}"))),
    ):  # fmt: skip
        status, out, err = cezsar("prototypes", "suggest", "mine.json", "PouringTea", "A pot.", "--json", *given)
        assert status == 0, err
        told, wording = json.loads(out), Wording(space, TEA)
        now, before = (wording.neighbours("pouring tea", texts) for texts in (["A pot."], []))
        assert [(each["name"], each["similarity"]) for each in told["neighbours"]] == [
            (name, pytest.approx(similarity, abs=1e-5)) for name, similarity in now
        ]
        assert {each["name"]: each["before"] for each in told["neighbours"]} == pytest.approx(dict(before), abs=1e-5)
        expected = [dict(wording.contrast("pouring tea", name, ["A pot."]).other_words) for name, _ in now]
        assert [each["other_words"] for each in told["contrasts"]] == [
            pytest.approx(words, abs=1e-5) for words in expected
        ]
        found = patterns(["pouring tea", *TEA["pouring tea"]], open_encoder(), 3)
        assert [each["name"] for each in told["patterns"]] == [each.name for each in found]
    status, out, _ = cezsar("prototypes", "suggest", "mine.json", "making tea", "--new", "--top", 1)
    assert status == 0 and "has: making tea" in out and "before" not in out and out.count("(kinetics400)") == 1
    near = Wording(SentenceSpace(open_encoder()), TEA | {"making tea": ["making tea"]}).neighbours("making tea")[0]
    assert f"{near.similarity:.2f}  pouring tea" in out


def test_what_cannot_be_suggested_ends_with_status_2(cezsar):
    Path("mine.json").write_text(json.dumps(TEA))
    for *arguments, message in (
        ("pouring teas", "did you mean 'pouring tea'?"), ("Pouring Tea", "--new", "is there already"),
        ("nap", "--run", "demo", "--encoder", "motion", "not both"), ("nap", "--encoder", "motion", "reads no text"),
        ("nap", "--run", "nowhere", "nowhere"), ("nap", "A cat sleeps.", " ", "a sentence is empty"),
    ):  # fmt: skip
        status, out, err = cezsar("prototypes", "suggest", "mine.json", *arguments)
        assert status == 2 and message in err and "Traceback" not in err and not out
