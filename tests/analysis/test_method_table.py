"""Methods in one table: its figures are those of each method alone, and of their comparison."""

import csv
import json

import numpy as np
import pytest

from cezsar.analysis.comparison import compare
from cezsar.analysis.method_table import method_table
from cezsar.data.datasets import open_dataset
from cezsar.data.features import FeatureStore
from cezsar.errors import InputError
from cezsar.training.runs import Run
from cezsar.zeroshot import published
from cezsar.zeroshot.methods import Sources, prepare
from cezsar.zeroshot.protocols import Protocol, all_classes, parse, random_classes
from cezsar.zeroshot.results import load_all


@pytest.fixture
def methods(workspace):
    """CEZSAR, VE alone, objects, and captions that are right for every other clip."""
    data, run = open_dataset("demo"), Run.open(workspace / "runs" / "demo")
    captions = {clip: [data.descriptions[label][0]] for clip, label in list(data.labels.items())[::2]}
    store = FeatureStore(workspace / "features" / "demo-test")
    sources = Sources(data, data.descriptions, [store], captions)
    cezsar = prepare("cezsar", sources, run)
    return [cezsar, cezsar.only("VE"), prepare("objects", sources), prepare("captions", sources)]


def test_figures_are_those_of_each_method_and_each_pair(methods):
    protocol = random_classes(methods[0].scores.class_names, 8, 6)
    table = method_table(methods, protocol, "demo", np.random.default_rng(3), resamples=100)
    assert [result.modality for result in table.results] == ["VE + O", "VE", "O", "C"]
    for method, result in zip(methods, table.results, strict=True):
        assert result == method.evaluate(protocol)
    rng = np.random.default_rng(3)
    first = (table.results[0].name, methods[0].hits(protocol))
    for method, result, found in zip(methods[1:], table.results[1:], table.comparisons, strict=True):
        again = compare((result.name, method.hits(protocol)), first, rng, 100)
        assert found == again
        assert found.difference == pytest.approx(result.figure().mean - table.results[0].figure().mean)


def test_text_has_every_method_in_percent(methods):
    protocol = random_classes(methods[0].scores.class_names, 8, 6)
    table = method_table(methods, protocol, "demo", np.random.default_rng(0), resamples=50)
    lines = table.text().splitlines()
    assert lines[0].startswith("protocol 8-of-21 x 6, 8 classes, ") and "runs won" in lines[1]
    for line, result in zip(lines[2:], table.results, strict=False):
        assert line.startswith(result.method) and result.figure().percent() in line
    assert f"{100 * table.comparisons[0].difference:+.1f}" in lines[3]
    assert lines[6].startswith("chance") and "12.5" in lines[6]
    single = method_table(methods, all_classes(methods[0].scores.class_names), "demo", np.random.default_rng(0))
    assert "McNemar" in single.text() and "runs won" not in single.text()


def test_what_is_saved_is_read_again(methods, tmp_path):
    protocol = random_classes(methods[0].scores.class_names, 5, 3, seed=4)
    table = method_table(methods, protocol, "demo", np.random.default_rng(0), resamples=50)
    paths = table.save(tmp_path / "out" / "compare.json")
    assert [path.name for path in paths] == ["compare.json", "compare.csv", "compare.md", "compare.tex"]
    assert load_all(paths[0]) == table.results
    assert parse(str(paths[0]), methods[0].scores.class_names).splits == protocol.splits
    kept = json.loads(paths[0].read_text())
    assert [found["difference"] for found in kept["comparisons"]] == [found.difference for found in table.comparisons]
    rows = list(csv.DictReader(paths[1].open()))
    assert len(rows) == 4 * 3 and {row["method"] for row in rows} == {result.method for result in table.results}
    text = paths[2].read_text()
    assert all(found.summary() in text for found in table.comparisons)
    assert paths[3].read_text().count("\\\\") >= 6
    with pytest.raises(InputError, match="would hold JSON"):
        table.save(tmp_path / "table.tex")


def test_published_figures_stand_beside_the_whole_data_set_only():
    names = [f"class {index}" for index in range(101)]
    half = [names[:50]] * 50
    assert published.beside("ucf101", 101, half) == published.rows("ucf101", 50, 50)
    assert published.beside("ucf101", 101, [names]) == published.rows("ucf101", 101, 1, names)
    assert published.beside("ucf101", 100, half) == []  # a class is missing
    assert published.beside("ucf101", 101, [names[:50], names[:20]]) == []
    assert published.beside("demo", 21, [names[:21]]) == []


def test_nothing_to_evaluate_is_refused():
    with pytest.raises(InputError, match="no method to evaluate"):
        method_table([], Protocol("all", [["a"]]), "demo", np.random.default_rng(0))
