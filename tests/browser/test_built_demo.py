"""The whole story on the demo that was built from scratch, by a button, in the browser."""

import json
import time

import pytest
from playwright.sync_api import expect
from visiting import settle

pytestmark = pytest.mark.browser

POINTS = """(graph) => {
    const trace = graph._fullData.find(trace => trace.text && trace.text.length > 20) || graph._fullData[0];
    const [x, y] = [graph._fullLayout.xaxis, graph._fullLayout.yaxis], box = graph.getBoundingClientRect();
    return Array.from(trace.x).map((value, i) =>
        [box.x + x._offset + x.l2p(value), box.y + y._offset + y.l2p(trace.y[i])]);
}"""

LAST_ERROR = """(graph) => {  // where the last wrong cell is that has clips, and its classes
    const heat = graph._fullData.find(trace => trace.type === 'heatmap'), all = heat.z.length;
    const [x, y] = [graph._fullLayout.xaxis, graph._fullLayout.yaxis], box = graph.getBoundingClientRect();
    for (let row = all - 1; row >= 0; row--) for (let column = all - 1; column >= 0; column--)
        if (row !== column && heat.z[row][column] > 0)
            return [box.x + x._offset + x.l2p(column), box.y + y._offset + y.l2p(row),
                    String(heat.y[row]), String(heat.x[column])];
}"""
PLAYS = """(film) => new Promise(done => {
    if (film.readyState > 2) done(true);
    film.oncanplay = () => done(true);
    setTimeout(() => done(false), 9000);
})"""


def job_text(page, timeout_s, *words):
    """Wait until one of the words stands on the page."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        text = page.get_by_test_id("stMain").inner_text()
        if any(word in text for word in words):
            return text
        page.wait_for_timeout(300)
    raise AssertionError(f"none of {words} within {timeout_s} s; the page says:\n{text}")


def test_a_training_is_cancelled_resumed_after_a_restart_of_the_app_and_ends(built, open_at):
    page = open_at(built, "train?part=New+run")
    page.get_by_role("button", name="The demo's settings").click()
    settle(page)
    page.get_by_role("button", name="Start training").click()
    job_text(page, 60, "running")
    history = lambda: [path for path in (built.home / "runs").glob("*/history.jsonl") if path.parent.name[:4] != "demo"]  # noqa: E731
    deadline = time.monotonic() + 120
    while not any(path.read_text().count('"epoch"') > 2 for path in history()):
        assert time.monotonic() < deadline, page.get_by_test_id("stMain").inner_text()
        page.wait_for_timeout(300)
    page.get_by_role("button", name="Cancel").first.click()
    job_text(page, 30, "cancelled")
    run = history()[0].parent
    assert not (run / "record.json").is_file()

    built.restart()
    page = open_at(built, "train")
    job_text(page, 60, "cancelled")
    page.get_by_role("button", name="Resume").first.click()
    job_text(page, 60, "running", "done")
    deadline = time.monotonic() + 180
    while not (run / "record.json").is_file():
        assert time.monotonic() < deadline
        page.wait_for_timeout(500)
    epochs = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    numbers = [line["epoch"] for line in epochs if line["kind"] == "epoch"]
    assert numbers == list(range(1, 9))  # each once: it went on, and did not begin again


def test_a_lasso_on_the_map_plays_a_clip(built, open_at):
    page = open_at(built, "semantic_gap?select-by=Lasso")
    button = page.get_by_role("button", name="Compute")
    if button.count():
        button.first.click()
    page.locator('[class*="st-key-frame-"] .js-plotly-plot').nth(2).wait_for(timeout=180_000)
    settle(page)
    graph = page.locator('[class*="st-key-frame-"] .js-plotly-plot').nth(2)
    graph.scroll_into_view_if_needed()
    points = graph.evaluate(POINTS)
    x, y = points[0]
    around = [(x - 25, y - 25), (x + 25, y - 25), (x + 25, y + 25), (x - 25, y + 25), (x - 25, y - 25)]
    page.mouse.move(*around[0])
    page.mouse.down()
    for corner in around[1:]:
        page.mouse.move(*corner, steps=8)
    page.mouse.up()
    settle(page)
    expect(page.get_by_text("selected").first).to_be_visible(timeout=20_000)
    expect(page.locator("video").first).to_be_visible()
    assert page.locator("video").first.evaluate(PLAYS)


def test_a_click_on_a_cell_shows_its_clips(built, open_at):
    page = open_at(built, "confusion")
    graph = page.locator(".js-plotly-plot").first
    graph.scroll_into_view_if_needed()
    x, y, true, taken = graph.evaluate(LAST_ERROR)
    page.mouse.move(x - 2, y - 1)
    page.mouse.move(x, y)
    page.wait_for_timeout(400)
    page.mouse.click(x, y)
    expect(page.locator(".st-key-true input").first).to_have_value(true, timeout=15_000)
    expect(page.locator(".st-key-taken input").first).to_have_value(taken)
    expect(page.locator("video").first).to_be_visible()
