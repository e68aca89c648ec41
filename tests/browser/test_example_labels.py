"""A label made of two clips, in a browser: dropped, ranked, kept, used in another session, deleted."""

import re

import pytest
from playwright.sync_api import expect
from visiting import PHONE, settle

from tests.sessions.visitors import draw_films

pytestmark = pytest.mark.browser

LABELS = "first thing, second thing, third thing"


def opened(page, films):
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(films[0])
    expect(page.get_by_text("Best match")).to_be_visible(timeout=90_000)
    settle(page)


def expand(page):
    page.get_by_text(re.compile("^Labels by example")).first.click()
    settle(page)


def similarity(page, label):
    """As the chart says it to those who do not see it."""
    chart, number = page.locator("[aria-label^='Best labels by']").first, re.compile(rf"{label} (-?\d\.\d+)")
    expect(chart).to_have_attribute("aria-label", number)
    return float(number.search(chart.get_attribute("aria-label"))[1])


def test_a_label_made_of_two_clips(fresh, open_at, tmp_path):
    draw_films(tmp_path)
    films = sorted(tmp_path.glob("*.webm"))
    page = open_at(fresh, f"?model=demo&labels={LABELS.replace(' ', '+')}")
    opened(page, films)
    before = similarity(page, "second thing")
    expand(page)
    page.get_by_role("combobox", name="Label", exact=True).click()
    page.get_by_role("option", name="second thing").click()
    settle(page)
    zone = page.get_by_test_id("stFileUploader").filter(has_text="Drop clips or pictures of second thing")
    zone.get_by_test_id("stFileUploaderDropzoneInput").set_input_files([films[0], films[1]])
    expect(page.get_by_text(re.compile("is shown by examples: not zero-shot")).first).to_be_visible(timeout=90_000)
    settle(page)
    shown = similarity(page, "second thing")
    assert shown > before + 0.1  # one of the two is the film itself
    assert page.get_by_alt_text("An example of second thing").count() == 2

    page.get_by_role("textbox", name="Keep all labels as").fill("by example")
    page.get_by_role("textbox", name="Keep all labels as").press("Enter")
    settle(page)
    page.get_by_role("button", name="Keep", exact=True).click()
    settle(page)
    kept = fresh.home / "data" / "descriptions" / "by example.safetensors"
    assert kept.is_file() and kept.stat().st_size < 20_000
    page.set_viewport_size(PHONE)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.context.clear_cookies()
    page.goto("about:blank")  # its session ends

    other = open_at(fresh, "?model=demo")
    opened(other, films)
    expand(other)
    other.get_by_role("button", name="Use", exact=True).click()
    settle(other)
    assert similarity(other, "second thing") == pytest.approx(shown, abs=0.011)
    other.get_by_role("button", name="Delete", exact=True).click()
    settle(other)
    assert not kept.exists()
    other.goto("about:blank")
    other.wait_for_timeout(1000)
    names = {film.name for film in films}
    assert not [path for path in fresh.home.rglob("*") if path.name in names or path.name.startswith("cezsar-")]
