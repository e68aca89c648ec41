"""The analysis as people meet it: what a figure is worth, and why a label won."""

import re

import pytest
from playwright.sync_api import expect
from visiting import PHONE, settle

pytestmark = pytest.mark.browser

LOOKS = {
    "Differences": "Is it better, and how sure is that?",
    "None of these": "Could it say “none of these”?",
    "Corrections": "Other ways to read classes off the same embeddings",
    "Reliability": "Can its probabilities be trusted?",
    "Examples": "What is an example worth?",
}


def fits_a_phone(page):
    page.set_viewport_size(PHONE)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_table_can_be_looked_at_more_closely(fresh, open_at):
    page = open_at(fresh, "evaluate")
    for choice, title in LOOKS.items():
        page.get_by_test_id("stButtonGroup").get_by_text(choice, exact=True).click()
        expect(page.get_by_role("heading", name=title)).to_be_visible(timeout=60_000)
        settle(page)
        assert not page.get_by_test_id("stAlertContentError").count()
    page.get_by_test_id("stButtonGroup").get_by_text("Differences", exact=True).click()
    expect(page.get_by_text(re.compile(r"is \d+\.\d points (above|below)")).first).to_be_visible(timeout=30_000)
    fits_a_phone(page)


def test_why_a_label_won_is_told_on_demand(fresh, open_at):
    page = open_at(fresh, "?from=Samples")
    expect(page.get_by_text("Why this label?")).to_be_visible(timeout=60_000)
    charts = page.locator(".js-plotly-plot").count()
    page.get_by_text("Why this label?").click()
    expect(page.locator(".js-plotly-plot").nth(charts)).to_be_visible(timeout=60_000)
    fits_a_phone(page)
    again = open_at(fresh, "?from=Samples&why=true")
    expect(again.locator(".js-plotly-plot").nth(charts)).to_be_visible(timeout=60_000)
