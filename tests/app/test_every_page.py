"""What holds for every page: with nothing at all it says what to do, and odd addresses or damaged files do no harm."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import fine, open_page, texts

from app import state
from app.parts import show
from cezsar.data.descriptions import save_descriptions
from cezsar.data.labels import keep_group

ROOT = Path(__file__).parents[2]
SCORED = "Nothing has been scored yet"
SAID = {  # with nothing at all
    "classify": "from scratch", "train": "no run yet", "evaluate": SCORED, "semantic_gap": SCORED, "confusion": SCORED,
    "tune": SCORED, "library": "No data set has been named yet",
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_with_nothing_at_all_it_says_what_to_do(name, empty_workspace, nothing_shipped, monkeypatch):
    monkeypatch.setattr("cezsar.training.runs.SHIPPED", ())
    page = fine(open_page(name, **{"from": "Samples"}))
    assert SAID[name] in texts(page) and not page.metric and not page.get("plotly_chart")


@pytest.mark.parametrize("name", SAID)
def test_an_odd_address_does_no_harm(name, empty_workspace):
    """Every key that stands in an address, with what no page ever put there."""
    keys = {value for key, value in vars(state).items() if key.isupper() and isinstance(value, str)}
    for odd in ("<b>$../x", "NaN"):
        page = open_page(name, **dict.fromkeys(keys, odd))
        assert not page.exception, odd


@pytest.mark.parametrize(("name", "file", "query"), [
    ("evaluate", "datasets", {"protocol": "All"}), ("library", "datasets", {"section": state.SECTIONS["data"]}),
    ("semantic_gap", "hard_groups", {}), ("confusion", "hard_groups", {}),
])  # fmt: skip
def test_a_damaged_file_of_the_workspace_is_named(name, file, query, empty_workspace):
    (empty_workspace / "data").mkdir()
    (empty_workspace / "data" / f"{file}.json").write_text("[")
    page = open_page(name, **query)
    assert not page.exception and file in page.error[0].value.replace("\\", "")


EVIL = "<b>x</b> $x$ [a](javascript:alert) :red[y] %{z}"
READ_AS_MARKDOWN = {"body", "label", "help", "caption", "captions", "text", "title"}


def words(proto):
    """(field, text) of everything that is sent for an element."""
    for field, value in proto.ListFields():
        repeated = not isinstance(value, str | bytes | int | float) and hasattr(value, "__iter__")
        for each in value if repeated else [value]:
            if isinstance(each, str):
                yield field.name, each
            elif hasattr(each, "ListFields"):
                yield from words(each)


def strings(value):
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, str) else [text for each in inside for text in strings(each)]


@pytest.mark.parametrize("name", ["evaluate", "semantic_gap", "confusion", "tune", "library"])
def test_names_of_classes_and_clips_are_neither_markdown_nor_html(name, empty_workspace, nothing_shipped, demo):
    """Also not in figures, where plotly reads some HTML and %{...}."""
    folder = empty_workspace / "scores" / "evil@set"
    shutil.copytree(demo.folder, folder)
    old = demo.embeddings()
    names = [f"{EVIL} {number}" for number in range(len(old.class_names))]
    spelt = dict(zip(old.class_names, names, strict=True))
    labels = [spelt[label] for label in old.labels]
    ids = [f"{EVIL} {clip}" for clip in old.ids]
    replace(old, class_names=names, labels=labels, ids=ids).save(folder / "embeddings.safetensors")
    replace(demo.scores(), class_names=names, labels=labels, ids=ids).save(folder / "scores.safetensors")
    save_descriptions(folder / "descriptions.json", {spelt[key]: said for key, said in demo.descriptions().items()})
    keep_group(empty_workspace / "data" / "hard_groups.json", EVIL, names[:3])
    page = open_page(name)
    assert not page.exception, page.exception
    shown, drawn = [], []
    for element in page._tree:
        proto = getattr(element, "proto", None)
        if element.type == "plotly_chart":
            drawn += strings(json.loads(proto.spec))
        elif proto is not None and hasattr(proto, "ListFields"):
            shown += [text for field, text in words(proto) if field in READ_AS_MARKDOWN]
    assert not [text for text in shown if "[a](javascript" in text or ":red[y" in text]
    assert not [text for text in drawn if "<b>x<" in text or "%{z" in text]
    assert name == "library" or any("javascript" in text for text in shown + drawn)


def test_no_text_of_a_table_is_a_formula(monkeypatch):
    """Streamlit lets each be downloaded as CSV, and copied."""
    sent = []
    monkeypatch.setattr(show.st, "dataframe", lambda frame, **more: sent.append(frame))
    rows = {
        "@label": ["=1+1", "+x", "-0.5", "run\r=1", None],
        "n": [1, 2, 3, 4, 5],
        "list": [["=1"], 2, "\t=1", "", "a"],
    }
    show.table(rows, "all")
    assert sent[0].iloc[:, 0].tolist()[:4] == ["'=1+1", "'+x", "-0.5", "run\n=1"] and pd.isna(sent[0].iloc[4, 0])
    assert list(sent[0]) == ["'@label", "n", "list"] and sent[0]["n"].dtype == int and sent[0]["list"][2] == "'\t=1"
    calls = [path.name for path in (ROOT / "app").rglob("*.py") if "st.dataframe(" in path.read_text()]
    assert calls == ["show.py"]
