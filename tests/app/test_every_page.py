"""What holds for every page: with nothing at all it says what to do, and odd addresses or damaged files do no harm."""

import pytest
from conftest import fine, open_page, texts

from app import state

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
