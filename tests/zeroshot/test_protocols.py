"""Protocols: what their names mean, what is drawn, and what is refused."""

import json
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.evaluation import evaluate, evaluate_each
from cezsar.zeroshot.protocols import Protocol, all_classes, named, parse, random_classes
from cezsar.zeroshot.results import save_all
from cezsar.zeroshot.scores import Scores

CLASSES = ["Apply Lipstick", "BasketballDunk", "fencing", "hand_stand", "Horse Race", "juggling", "Yo Yo"]


def test_all_is_one_run_with_every_class():
    assert parse(" All ", CLASSES) == all_classes(CLASSES) == Protocol("all", [CLASSES], None)


@pytest.mark.parametrize(
    ("text", "k", "runs"),
    [
        ("half", 3, 11),
        ("Half x 4", 3, 4),
        ("2-of-7", 2, 11),
        ("2-of-7 x 5", 2, 5),
        ("2-of-7x5", 2, 5),
        ("2-OF-7 × 5", 2, 5),
        ("random-7", 7, 11),
        ("random-1 x 2", 1, 2),
        ("4", 4, 11),
    ],
)
def test_names_of_random_protocols(text, k, runs):
    protocol = parse(text, CLASSES, runs=11, seed=3)
    assert protocol == random_classes(CLASSES, k, runs, 3)
    assert protocol.name == f"{k}-of-7 x {runs}"
    assert (protocol.runs, protocol.seed) == (runs, 3)
    for names in protocol.splits:
        assert len(set(names)) == k
        assert names == sorted(names, key=CLASSES.index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8-of-7", "8 random classes of 7"),
        ("random-0", "choose from 1 to 7"),
        ("2-of-101", "is for 101 classes, and there are 7"),
        ("2-of-7 x 0", "0 runs"),
        ("half x 999999999", "999,999,999 runs"),
        ("most", '\'most\' is unknown; give "all", "half"'),
        ("", "is unknown"),
        ("-3", "is unknown"),
        ("x" * 5000, "is unknown"),
        ("nowhere.json", "cannot be read"),
        ("x" * 5000 + ".json", "cannot be read"),
    ],
)
def test_names_that_mean_nothing_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, CLASSES)


def test_half_of_one_class_is_refused():
    with pytest.raises(InputError, match="protocol all"):
        parse("half", ["only"])
    assert parse("1-of-1", ["only"]).splits[0] == ["only"]
    with pytest.raises(InputError, match="seed is -1"):
        random_classes(CLASSES, 2, seed=-1)


def test_a_draw_depends_on_the_classes_and_the_seed_alone():
    short, long = random_classes(CLASSES, 3, 5, 9), random_classes(CLASSES, 3, 50, 9)
    assert long.splits[:5] == short.splits
    shuffled = random_classes(CLASSES[::-1], 3, 50, 9)
    assert [set(names) for names in shuffled.splits] == [set(names) for names in long.splits]
    assert random_classes(CLASSES, 3, 50, 10).splits != long.splits


def test_draws_are_uniform_over_subsets():
    counts = Counter(tuple(names) for names in random_classes(CLASSES[:5], 2, 10_000, 1).splits)
    assert len(counts) == 10
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_a_list_of_classes_in_a_file(tmp_path):
    spellings, names = ["YoYo", "Basketball_Dunk", "handstand"], ["Yo Yo", "BasketballDunk", "hand_stand"]
    (tmp_path / "hard.json").write_text(json.dumps(spellings))
    (tmp_path / "split.json").write_text(json.dumps({"training": ["fencing"], "testing": spellings}))
    (tmp_path / "list.txt").write_text("\n".join(spellings))
    assert parse(str(tmp_path / "hard.json"), CLASSES) == Protocol("hard", [names])
    assert parse(str(tmp_path / "split.json"), CLASSES) == named("split", spellings, CLASSES)
    assert parse(str(tmp_path / "list.txt"), CLASSES).splits == [names]


def test_an_unknown_class_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"'basket dunk'.*did you mean 'BasketballDunk'"):
        named("mine", ["fencing", "basket dunk"], CLASSES)
    with pytest.raises(InputError, match="'fencing' twice"):
        named("mine", ["fencing", "Yo Yo", "Fen Cing"], CLASSES)
    with pytest.raises(InputError, match="no classes"):
        named("mine", [], CLASSES)
    with pytest.raises(InputError, match="no runs"):
        Protocol("mine", [])


@pytest.mark.parametrize(
    "content",
    ["[1, 2]", '[["fencing"]]', "[", "{", "3", "{}", '{"testing": 3}', '{"testing": []}', '{"splits": ["fencing"]}',
     '{"name": "x", "splits": ["fencing"]}', '{"name": "x", "splits": [["fencing"]], "seed": "1"}', "\xff", "",
     '{"protocol": "x", "runs": [3]}', '{"results": []}', '{"results": [1]}', "[" * 100_000],
)  # fmt: skip
def test_files_that_are_no_protocol_are_refused(tmp_path, content):
    path = tmp_path / "protocol.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(FormatError, match=r"protocol\.json"):
        parse(str(path), CLASSES)


def test_saved_protocols_and_results_give_the_same_splits_again(tmp_path):
    protocol = random_classes(CLASSES, 3, 6, 2)
    protocol.save(tmp_path / "protocol.json")
    assert parse(str(tmp_path / "protocol.json"), CLASSES) == protocol
    rng = np.random.default_rng(0)
    scores = Scores(
        [str(i) for i in range(70)], CLASSES * 10, CLASSES, {m: rng.normal(size=(70, 7)) for m in ("VE", "O")}
    )
    save_all(evaluate_each(scores, protocol), tmp_path / "result.json")
    again = parse(str(tmp_path / "result.json"), [name.upper() for name in CLASSES[::-1]])
    assert [[name.lower() for name in names] for names in again.splits] == [
        [name.lower() for name in names] for names in protocol.splits
    ]
    assert (again.name, again.seed) == (protocol.name, protocol.seed)
    (tmp_path / "one.json").write_text(evaluate(scores, protocol).to_json())
    assert parse(str(tmp_path / "one.json"), CLASSES) == protocol
    save_all([evaluate(scores, protocol), evaluate(scores, all_classes(CLASSES))], tmp_path / "mixed.json")
    with pytest.raises(FormatError, match="several protocols"):
        parse(str(tmp_path / "mixed.json"), CLASSES)
