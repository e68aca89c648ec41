"""What is wrong with class descriptions, all of it at once."""

import json

import numpy as np
import pytest

from cezsar.data.datasets import KNOWN, named_descriptions, shipped_descriptions
from cezsar.data.descriptions import load_descriptions
from cezsar.data.prototype_checks import check, without
from cezsar.data.sentence_cache import SentenceCache
from cezsar.errors import FormatError, InputError

GOOD = {
    "run": "A person moves fast on foot along a road or track.",
    "swim": "Somebody pulls with both arms through the water of a pool.",
}


class Table:
    """An encoder whose vectors are given; it reads 12 words of a sentence."""

    name, dim, fingerprint, max_tokens = "table", 3, "table", 12

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, sentences):
        return np.array([self.vectors[sentence] for sentence in sentences], np.float32)

    def count_tokens(self, sentences):
        return [len(sentence.split()) for sentence in sentences]


def write(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def found(report):
    """Kind -> the classes of each of its findings."""
    kinds = {}
    for finding in report.findings:
        kinds.setdefault(finding.kind, []).append(finding.classes)
    return kinds


def test_nothing_is_wrong_with_good_sentences(tmp_path):
    report = check(write(tmp_path / "d.json", GOOD))
    assert report.findings == [] and (report.classes, report.sentences) == (2, 2)
    for name, sentence in GOOD.items():
        (tmp_path / f"{name}.txt").write_text(f"\ufeff{sentence}\r\n\r\n")
    assert check(tmp_path).findings == []
    for name in ("ucf101", "HMDB-51", "kinetics_400"):  # those that come along
        report = check(name)
        assert report.findings == [] and report.expected == report.classes == report.sentences > 50


def test_faults_are_found_at_once_and_what_cannot_be_read_is_refused(tmp_path):
    path = write(tmp_path / "d.json", {
        "run": "A person moves fast on foot along a road or track.",
        "Yo Yo": ["A toy goes up and down on a string.", "A TOY goes up, and down on a string!"],
        "sprint": "A person moves fast on foot along a road or track",
        "kick_ball": "Kick ball.",
        "fencing": "Two people fight.",
        "café": "Somebody drinks from a cup at a cafÃ© table …",
        "bell": "Somebody strikes a \u0007 bell of bronze with a hammer.",
    })  # fmt: skip
    report = check(path)
    assert found(report) == {
        "damaged text": [("café",), ("bell",)],
        "same sentence for several classes": [("run", "sprint")],
        "same sentence twice in a class": [("Yo Yo",)],
        "name as description": [("kick_ball",)],
        "short description": [("fencing",)],
    }
    said = {finding.what for finding in report.findings}
    assert "'café' has 'Ã©' for 'é': UTF-8 that was read in another encoding" in said
    assert (report.classes, report.sentences) == (7, 8) and all(finding.advice for finding in report.findings)
    (tmp_path / "l.txt").write_text("ApplyEyeMakeup\n\nyo yo\n")  # names alone
    assert found(check(tmp_path / "l.txt")) == {"name as description": [("ApplyEyeMakeup", "yo yo")]}
    for content, said in (
        ({"Yo Yo": "x", "yo_yo": "y"}, "one class"), ({"a": ""}, "no description"), ([], "JSON list"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=said):
            check(write(path, content))
    with pytest.raises(InputError, match="is no file or folder"):
        check(tmp_path / "none" / "x.txt")


def test_text_read_in_the_wrong_encoding_is_seen(tmp_path):
    def damaged(text):
        described = {"x": f"Somebody does with both hands what is called {text}."}
        return "damaged text" in found(check(write(tmp_path / "d.json", described)))

    for text in ["café", "it’s “new” – or not…", "жонглирование", "naïve 🤸 Ødegård", "5 °C", "跳绳 and more"]:
        assert not damaged(text) and damaged(text.encode().decode("cp1252", errors="replace"))
    for text in ["São Paulo, «voilà\u00a0»", "viel Spaß“", "A CAFÉ”", "SÃO, AÑO", "½ × 2 = 1 ©", "œuvre"]:
        assert not damaged(text)


def test_missing_and_unknown_classes(tmp_path):
    names = KNOWN["ucf101"].class_names()
    described = {name: f"Somebody is seen doing number {n} of many things." for n, name in enumerate(names)}
    described["Yo-Yo"] = described.pop("yo yo")  # another spelling is no fault
    described["juggle balls"] = described.pop("juggling balls")
    described["zzz"] = described.pop("archery")
    del described["billiards"]
    report = check(write(tmp_path / "d.json", described), "UCF-101")
    assert found(report) == {
        "unknown class": [("juggle balls",), ("zzz",)],
        "missing class": [("archery",), ("billiards",), ("juggling balls",)],
    }
    advice = {finding.classes[0]: finding.advice for finding in report.findings}
    assert advice["juggle balls"] == "did you mean 'juggling balls'?" and "'juggle balls'" in advice["juggling balls"]
    assert report.expected == 101 and report.classes == 100
    with pytest.raises(InputError, match="no classes"):
        check(tmp_path / "d.json", "activitynet-captions")


def test_descriptions_by_name(tmp_path, monkeypatch):
    path = shipped_descriptions("UCF 101")
    assert path is not None and named_descriptions("Ucf_101") == load_descriptions(path)
    assert shipped_descriptions("activitynet-captions") is None and shipped_descriptions("ucf101.json") is None
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "d.json", GOOD)
    (tmp_path / "ucf101").mkdir()
    (tmp_path / "ucf101/run.txt").write_text(GOOD["run"])
    assert list(named_descriptions("d.json")) == ["run", "swim"]
    assert named_descriptions("./ucf101") == {"run": [GOOD["run"]]} and len(named_descriptions("ucf101")) == 101
    with pytest.raises(InputError, match=r"ucf-110 is no file.*ucf101, hmdb51, kinetics400"):
        named_descriptions("ucf-110")


def test_near_pairs_are_those_of_plain_loops(tmp_path):
    rng = np.random.default_rng(7)
    described = {f"class {n}": [f"sentence {n} {i}" for i in range(rng.integers(1, 4))] for n in range(12)}
    vectors = {sentence: rng.normal(size=3) * rng.uniform(0.1, 9) for given in described.values() for sentence in given}

    def cosine(s, t):
        return float(vectors[s] @ vectors[t] / np.linalg.norm(vectors[s]) / np.linalg.norm(vectors[t]))

    expected = {
        frozenset([a, b]): max((cosine(s, t), s, t) for s in first for t in second)
        for a, first in described.items() for b, second in described.items() if a < b
    }  # fmt: skip
    near = sorted((best[0] for best in expected.values()), reverse=True)[20] - 1e-4
    encoder, done = SentenceCache(Table(vectors), None), []
    path = write(tmp_path / "d.json", described)
    report = check(path, encoder=encoder, near=near, on_progress=lambda *counts: done.append(counts))
    pairs = [finding.pair for finding in report.findings if finding.pair]
    assert len(pairs) == 21 and pairs[0] == report.nearest and done == [(len(vectors), len(vectors))]
    assert [pair.similarity for pair in pairs] == sorted((pair.similarity for pair in pairs), reverse=True)
    for pair in pairs:
        similarity, *sentences = expected[frozenset(pair.classes)]
        assert pair.similarity == pytest.approx(similarity, abs=1e-5) and set(pair.sentences) == set(sentences)


def test_equal_sentences_are_another_finding(tmp_path):
    one, other, alike = "A man walks on a rope.", "A woman walks on a wire.", "A man walks on a rope!"
    vectors = {one: (1, 0, 0), other: (0.6, 0.8, 0), alike: (1, 0, 0), "An empty one of five words.": (0, 0, 0)}
    path, encoder = tmp_path / "d.json", Table(vectors)
    described = {"a b": one, "c": alike, "d": other, "e": "An empty one of five words."}
    report = check(write(path, described), encoder=encoder, near=0.59)
    *_, pair = [finding for finding in report.findings if finding.pair]
    assert pair.classes == ("c", "d") and pair.pair.similarity == pytest.approx(0.6)
    assert pair.what.endswith("only 'c' says man, rope; only 'd' says woman, wire")
    assert found(report)["same sentence for several classes"] == [("a b", "c")]
    single = check(write(path, {"c": one}), encoder=encoder)
    assert single.findings == [] and single.nearest is None


def test_a_description_that_the_encoder_does_not_read_to_its_end(tmp_path):
    long, fits = "word " * 12 + "more", "word " * 11 + "more"
    encoder = SentenceCache(Table({long: (1, 0, 0), fits: (0, 1, 0)}), None)
    report = check(write(tmp_path / "d.json", {"a": fits, "b": long}), encoder=encoder)
    assert found(report) == {"description longer than the encoder reads": [("b",)]}
    assert "of 13 tokens, and table reads 12" in report.findings[0].what


@pytest.mark.parametrize("word, left", [
    ("a", "Person's dog, dog: push-up!"), ("dog", "A person's, a: push-up!"), ("person's", "A dog, a dog: push-up!"),
    ("up", "A person's dog, a dog: push-!"), ("cat", "A person's dog, a dog: push-up!"),
])  # fmt: skip
def test_a_word_is_left_out_wherever_it_stands(word, left):
    assert without("A person’s dog, a dog: push-up!", word).casefold() == left.casefold()
