"""The protocols that papers report, by name: their classes, their runs, and what they refuse."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cezsar.data.datasets import KNOWN
from cezsar.data.labels import canonical
from cezsar.data.labels import load_split, shared_classes
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.named_protocols import NAMED, TRUZE_UCF_V1, TRUZE_UCF_V2, protocols_of
from cezsar.zeroshot.protocols import Protocol, parse, random_classes
from cezsar.zeroshot.results import load_all, save_all
from cezsar.zeroshot.scores import Scores

UCF, HMDB, KINETICS = (KNOWN[name].class_names() for name in ("ucf101", "hmdb51", "kinetics400"))
CLASSES = {"ucf101": UCF, "hmdb51": HMDB, "kinetics400": KINETICS}
REAL = Path(os.environ.get("CEZSAR_REAL_FORMATS", "not-set"))

TABLE = [
    ("ucf101-0/101", 101, 1), ("ucf101-0/50", 50, 50), ("ucf101-0/20", 20, 50), ("ucf101-hard15", 15, 1),
    ("ucf101-fig1", 4, 1), ("ucf101-truze-v1", 34, 1), ("ucf101-truze-v2", 31, 1), ("hmdb51-0/51", 51, 1),
    ("hmdb51-truze", 22, 1), ("kinetics400-0/400", 400, 1), ("kinetics400-0/100", 100, 50),
    ("kinetics400-0/25", 25, 50),
]  # fmt: skip


@pytest.mark.parametrize(("name", "k", "runs"), TABLE)
def test_the_table(name: str, k: int, runs: int) -> None:
    class_names = CLASSES[name.split("-")[0]]
    protocol = parse(f" {name.upper()} ", class_names, seed=7)
    assert (protocol.name, protocol.runs, protocol.seed) == (name, runs, 7 if runs > 1 else None)
    for names in protocol.splits:
        assert len({canonical(each) for each in names}) == len(names) == k
        assert set(names) <= set(class_names)
    if runs > 1:
        assert protocol.splits == random_classes(class_names, k, 50, 7).splits
        assert len({tuple(names) for names in protocol.splits}) == 50


def test_they_are_the_table_in_its_order() -> None:
    assert list(NAMED) == [name for name, _, _ in TABLE]
    assert [each.name for each in protocols_of("hmdb51")] == ["hmdb51-0/51", "hmdb51-truze"]
    assert protocols_of("activitynet-captions") == []


@pytest.mark.parametrize(("text", "runs"), [("ucf101-0/50 x 3", 3), ("UCF101-0/50x3", 3), ("ucf101-0/50", 10)])
def test_another_number_of_runs_is_in_the_name(text: str, runs: int) -> None:
    protocol = parse(text, UCF, runs=10, seed=2)
    assert (protocol.name, protocol.runs) == (f"ucf101-0/50 x {runs}", runs)
    assert protocol.splits == parse("ucf101-0/50", UCF, seed=2).splits[:runs]


def test_classes_in_another_spelling_and_order_are_drawn_alike() -> None:
    other = [name.title().replace(" ", "") for name in reversed(UCF)]
    drawn = zip(parse("ucf101-0/20", UCF).splits, parse("ucf101-0/20", other).splits, strict=True)
    assert all({canonical(n) for n in one} == {canonical(n) for n in two} for one, two in drawn)
    assert parse("ucf101-fig1", other).splits == [["HorseRiding", "HorseRace", "PommelHorse", "BalanceBeam"]]


def test_a_class_that_is_tested_is_not_trained_on() -> None:
    sizes = {"ucf101-hard15": 86, "ucf101-fig1": 97, "ucf101-truze-v1": 67, "ucf101-truze-v2": 70, "hmdb51-truze": 29}
    for name, size in sizes.items():
        class_names = CLASSES[name.split("-")[0]]
        training, tested = NAMED[name].training(class_names), parse(name, class_names).splits[0]
        assert len(training) == size and shared_classes({"training": training, "testing": tested}) == []
        assert {*training, *tested} == set(class_names)
    assert NAMED["ucf101-0/50"].training(UCF) == []
    assert set(TRUZE_UCF_V1) - set(TRUZE_UCF_V2) == {"baseball pitch", "cutting in kitchen", "punch"}


def test_classes_of_something_else_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"the 101 classes of UCF-101, and there are 100 classes here, without archery"
    ):
        parse("ucf101-0/50", [name for name in UCF if name != "archery"])
    with pytest.raises(InputError, match="400 classes of Kinetics-400, and there are 401 classes here; use K-of-401"):
        parse("kinetics400-0/400", [*KINETICS, "something else"])
    with pytest.raises(InputError, match="'chew' is none of the 101 classes"):
        parse("hmdb51-truze", UCF)
    for text in ("ucf101-0/51", "ucf101-", "ucf101-truze", "ucf101-0/50 x", "imagenet1-0/5"):
        with pytest.raises(InputError, match=r"is unknown; give .* ucf101-0/101, .*kinetics400-0/25"):
            parse(text, UCF)
    with pytest.raises(InputError, match="0 runs"):
        parse("ucf101-0/50 x 0", UCF)


def test_the_result_has_the_exact_classes_of_every_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [f"clip {index}" for index in range(202)]
    labels = [UCF[index % 101] for index in range(202)]
    scores = Scores(ids, labels, UCF, {"VE": rng.normal(size=(202, 101)).astype(np.float32)})
    protocol = parse("ucf101-0/20", UCF, seed=11)
    save_all([evaluate(scores, protocol)], tmp_path / "r.json")
    (again,) = load_all(tmp_path / "r.json")
    assert (again.protocol, again.seed) == ("ucf101-0/20", 11)
    assert [run.classes for run in again.runs] == protocol.splits
    assert parse(str(tmp_path / "r.json"), UCF) == Protocol("ucf101-0/20", protocol.splits, 11)


@pytest.mark.heavy
@pytest.mark.skipif(not REAL.is_dir(), reason="CEZSAR_REAL_FORMATS names no folder")
@pytest.mark.parametrize(
    ("name", "file", "overlap"),
    [
        ("ucf101-hard15", "ucf101_hard_cases_splits", 6),
        ("ucf101-fig1", "ucf101_semantic_gap_cases_splits", 0),
        ("ucf101-truze-v1", "ucf101_truezsl_splits", 0),
        ("ucf101-truze-v2", "ucf101_truezsl2.0_splits", 0),
        ("hmdb51-truze", "hmdb51_truezsl_splits", 0),
        ("kinetics400-0/400", "kinetics400_splits", 0),
    ],
)
def test_the_published_files_have_these_classes(name: str, file: str, overlap: int) -> None:
    class_names, path = CLASSES[name.split("-")[0]], REAL / f"splits/{file}.json"
    split, protocol = load_split(path), parse(name, class_names)
    assert {canonical(each) for each in split["testing"]} == {canonical(each) for each in protocol.splits[0]}
    training = {canonical(each) for each in split["training"]}
    assert len(shared_classes(split)) == overlap
    assert {canonical(each) for each in NAMED[name].training(class_names)} == training - {
        canonical(each) for each in split["testing"]
    }
