"""Protocols: what their names mean, what is drawn, and what is refused; those that papers report."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from cezsar.data.datasets import KNOWN
from cezsar.data.labels import canonical, load_split, shared_classes
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.evaluation import evaluate, evaluate_each
from cezsar.zeroshot.protocols import HARD_15, NAMED, Protocol, all_classes, named, parse, random_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.tables import save_all

CLASSES = ["Apply Lipstick", "BasketballDunk", "fencing", "hand_stand", "Horse Race", "juggling", "Yo Yo"]


@pytest.mark.parametrize(("text", "k", "runs"), [
    ("half", 3, 11), ("Half x 4", 3, 4), ("2-of-7", 2, 11), ("2-OF-7 × 5", 2, 5), ("random-7", 7, 11), ("4", 4, 11),
])  # fmt: skip
def test_names_of_random_protocols(text, k, runs):
    protocol = parse(text, CLASSES, runs=11, seed=3)
    assert protocol == random_classes(CLASSES, k, runs, 3)
    assert (protocol.name, protocol.runs, protocol.seed) == (f"{k}-of-7 x {runs}", runs, 3)


@pytest.mark.parametrize(("text", "message"), [
    ("8-of-7", "8 random classes of 7"), ("random-0", "choose from 1 to 7"), ("2-of-7 x 0", "0 runs"),
    ("2-of-101", "is for 101 classes, and there are 7"), ("half x 999999999", "999,999,999 runs"),
    ("most", '\'most\' is unknown; give "all", "half"'), ("", "is unknown"), ("nowhere.json", "cannot be read"),
])  # fmt: skip
def test_names_that_mean_nothing_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, CLASSES)


def test_all_is_one_run_with_every_class_and_half_of_one_class_is_none():
    assert parse(" All ", CLASSES) == all_classes(CLASSES) == Protocol("all", [CLASSES], None)
    with pytest.raises(InputError, match="protocol all"):
        parse("half", ["only"])


def test_draws_are_uniform_over_the_sets_of_classes():
    assert random_classes(CLASSES, 3, 50, 10).splits != random_classes(CLASSES, 3, 50, 9).splits
    counts = Counter(tuple(names) for names in random_classes(CLASSES[:5], 2, 2_000, 1).splits)  # uniform over subsets
    assert len(counts) == 10 and chisquare(list(counts.values())).pvalue > 0.001


def test_a_list_of_classes_in_a_file(tmp_path):
    spellings, names = ["YoYo", "Basketball_Dunk", "handstand"], ["Yo Yo", "BasketballDunk", "hand_stand"]
    files = {"hard.json": json.dumps(spellings), "list.txt": "\n".join(spellings)}
    files["split.json"] = json.dumps({"training": ["fencing"], "testing": spellings})
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        assert parse(str(tmp_path / name), CLASSES) == Protocol(name.split(".")[0], [names])


def test_an_unknown_class_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"'basket dunk'.*did you mean 'BasketballDunk'"):
        named("mine", ["fencing", "basket dunk"], CLASSES)
    with pytest.raises(InputError, match="'fencing' twice"):
        named("mine", ["fencing", "Yo Yo", "Fen Cing"], CLASSES)


@pytest.mark.parametrize("content", ["[1, 2]", "[", '{"testing": 3}', '{"testing": []}', "\xff", '{"results": [1]}'])
def test_files_that_are_no_protocol_are_refused(tmp_path, content):
    path = tmp_path / "protocol.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(FormatError, match=r"protocol\.json"):
        parse(str(path), CLASSES)


def test_a_saved_result_gives_the_same_splits_again(tmp_path):
    protocol, rng = random_classes(CLASSES, 3, 6, 2), np.random.default_rng(0)
    columns = {name: rng.normal(size=(70, 7)) for name in ("VE", "O")}
    scores = Scores([str(i) for i in range(70)], CLASSES * 10, CLASSES, columns)
    save_all(evaluate_each(scores, protocol), tmp_path / "result.json")
    assert parse(str(tmp_path / "result.json"), CLASSES) == protocol
    again = parse(str(tmp_path / "result.json"), [name.upper() for name in CLASSES[::-1]])
    assert again.splits == [[name.upper() for name in names] for names in protocol.splits]
    save_all([evaluate(scores, protocol), evaluate(scores, all_classes(CLASSES))], tmp_path / "mixed.json")
    with pytest.raises(FormatError, match="several protocols"):
        parse(str(tmp_path / "mixed.json"), CLASSES)


UCF, HMDB, KINETICS = (KNOWN[name].class_names() for name in ("ucf101", "hmdb51", "kinetics400"))
OF = {"ucf101": UCF, "hmdb51": HMDB, "kinetics400": KINETICS}
REAL = Path(os.environ.get("CEZSAR_REAL_FORMATS", "not-set"))

TABLE = {
    "ucf101-0/101": (101, 1), "ucf101-0/50": (50, 50), "ucf101-0/20": (20, 50), "ucf101-hard15": (15, 1),
    "ucf101-fig1": (4, 1), "ucf101-truze-v1": (34, 1), "ucf101-truze-v2": (31, 1), "hmdb51-0/51": (51, 1),
    "hmdb51-truze": (22, 1), "kinetics400-0/400": (400, 1), "kinetics400-0/100": (100, 50),
    "kinetics400-0/25": (25, 50),
}  # fmt: skip


def test_the_table():
    assert list(NAMED) == list(TABLE)
    for name, (k, runs) in TABLE.items():
        class_names = OF[name.split("-")[0]]
        protocol = parse(f" {name.upper()} ", class_names, seed=7)
        assert (protocol.name, protocol.runs, protocol.seed) == (name, runs, 7 if runs > 1 else None)
        assert all(len(set(names)) == len(names) == k and set(names) <= set(class_names) for names in protocol.splits)
        assert runs == 1 or protocol.splits == random_classes(class_names, k, 50, 7).splits
    three = parse("UCF101-0/50x3", UCF, runs=10, seed=2)  # another number of runs is in the name
    assert (three.name, three.splits) == ("ucf101-0/50 x 3", parse("ucf101-0/50", UCF, seed=2).splits[:3])
    words = "horse horse pommel beam gymnastics basketball basketball boxing boxing makeup lips teeth hair hair head"
    assert all(word in name for word, name in zip(words.split(), HARD_15, strict=True))


def test_classes_in_another_spelling_and_order_are_drawn_alike():
    other = [name.title().replace(" ", "") for name in reversed(UCF)]
    drawn = zip(parse("ucf101-0/20", UCF).splits, parse("ucf101-0/20", other).splits, strict=True)
    assert all({canonical(n) for n in one} == {canonical(n) for n in two} for one, two in drawn)
    assert parse("ucf101-fig1", other).splits == [["HorseRiding", "HorseRace", "PommelHorse", "BalanceBeam"]]


@pytest.mark.parametrize(("text", "class_names", "message"), [
    ("ucf101-0/50", [name for name in UCF if name != "archery"], "UCF-101, .* 100 classes here, without archery"),
    ("kinetics400-0/400", [*KINETICS, "something else"], "Kinetics-400, and there are 401 .*; use K-of-401"),
    ("hmdb51-truze", UCF, "'chew' is none of the 101 classes"),
    ("ucf101-0/51", UCF, r"is unknown; give .* ucf101-0/101, .*kinetics400-0/25"),
])  # fmt: skip
def test_classes_of_something_else_are_refused(text, class_names, message):
    with pytest.raises(InputError, match=message):
        parse(text, class_names)


@pytest.mark.heavy
@pytest.mark.skipif(not REAL.is_dir(), reason="CEZSAR_REAL_FORMATS names no folder")
@pytest.mark.parametrize(("name", "file", "overlap"), [
    ("ucf101-hard15", "ucf101_hard_cases_splits", 6), ("ucf101-fig1", "ucf101_semantic_gap_cases_splits", 0),
    ("ucf101-truze-v1", "ucf101_truezsl_splits", 0), ("ucf101-truze-v2", "ucf101_truezsl2.0_splits", 0),
    ("hmdb51-truze", "hmdb51_truezsl_splits", 0), ("kinetics400-0/400", "kinetics400_splits", 0),
])  # fmt: skip
def test_the_published_files_have_these_classes(name, file, overlap):
    class_names, path = OF[name.split("-")[0]], REAL / f"splits/{file}.json"
    split, protocol = load_split(path), parse(name, class_names)
    assert {canonical(each) for each in split["testing"]} == {canonical(each) for each in protocol.splits[0]}
    assert len(shared_classes(split)) == overlap
