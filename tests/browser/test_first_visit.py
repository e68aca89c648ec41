"""What somebody meets who has just installed it: an empty workspace, and no documentation read."""

import re
import shutil
import time

import av
import numpy as np
import pytest
from playwright.sync_api import expect
from visiting import PHONE, WIDE, Server, settle

from cezsar import world

pytestmark = pytest.mark.browser

FILLED = {  # what each page shows without being asked, by name -> (charts, tables or films at least)
    "?from=Samples": (2, 1),
    "train": (3, 1),
    "evaluate": (2, 1),
    "semantic_gap": (3, 2),
    "confusion": (1, 2),
    "tune": (2, 1),
    "library": (0, 1),
}


@pytest.mark.parametrize("name", FILLED)
def test_every_page_is_filled_in_time_fits_a_phone_and_has_words_for_its_pictures(fresh, open_at, name):
    started = time.monotonic()
    page = open_at(fresh, name)
    charts, others = FILLED[name]
    expect(page.locator(".js-plotly-plot .plot-container, .js-plotly-plot .main-svg").first if charts else
           page.get_by_role("heading").first).to_be_visible(timeout=20_000)  # fmt: skip
    assert time.monotonic() - started < 20
    assert page.locator(".js-plotly-plot").count() >= charts
    found = page.locator("video, [data-testid=stDataFrame], [data-testid=stTable], [data-testid=stMarkdown] table")
    assert found.count() >= others
    assert not page.get_by_test_id("stAlertContentError").count()
    for element in page.locator("[data-testid=stMain] img, [data-testid=stMain] video").all():
        assert element.get_attribute("alt") or element.get_attribute("aria-label")
    page.set_viewport_size(PHONE)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_clip_of_ones_own_is_ranked(fresh, open_at, tmp_path):
    plan = world.plan_clips(99, world.unseen_actions()[:1], 1)[0]
    path = tmp_path / "holiday.webm"
    world.write_video(plan, path)
    page = open_at(fresh)
    page.locator("input[type=file]").first.set_input_files(str(path))
    expect(page.get_by_text("Best match").first).to_be_visible(timeout=60_000)
    settle(page)
    expect(page.locator("video")).to_have_count(1)
    assert page.locator(".js-plotly-plot").count() >= 2
    box = page.get_by_role("textbox", name="Labels to choose from")
    box.fill("kicking a drum, reading a newspaper")
    box.press("Control+Enter")
    chart = page.locator(".js-plotly-plot").first
    expect(chart).to_contain_text("reading a newspaper", timeout=30_000)
    expect(chart).to_contain_text("kicking a drum")


def write_film(path, seed):
    """Ten seconds that look like nothing drawn: noise, and from the fifth on stripes with it."""
    noise = np.random.default_rng(seed).integers(0, 40, (240, 320, 3)).astype(np.uint8)
    stripes = (np.indices((240, 320))[1] // 16 % 2 * 215).astype(np.uint8)[..., None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for second in range(10):
            for _ in range(10):
                picture = av.VideoFrame.from_ndarray(noise + stripes * (second > 4), format="rgb24")
                container.mux(stream.encode(picture))
        container.mux(stream.encode())


def test_a_real_film_is_ranked_within_ten_seconds_and_played_from_a_span(fresh, open_at, tmp_path):
    """Ten seconds once the server has loaded the model, which it begins to do when the page is opened."""
    for name, seed, most_s in (("first.mp4", 1, 60), ("film.mp4", 0, 10)):
        write_film(tmp_path / name, seed)
        page = open_at(fresh)
        started = time.monotonic()
        page.locator("input[type=file]").first.set_input_files(str(tmp_path / name))
        expect(page.get_by_text("photographs answers")).to_be_visible(timeout=60_000)
        assert time.monotonic() - started < most_s
    settle(page)
    expect(page.get_by_text("Recognised objects", exact=True)).to_be_visible()
    bars = page.locator("[class*=st-key-span-] .barlayer .point path")
    assert bars.count() >= 2
    last = bars.nth(bars.count() - 1)
    last.evaluate("bar => bar.scrollIntoView({block: 'center'})")  # not under the header
    last.click(force=True)  # the figure's own layer takes the click
    page.wait_for_function("document.querySelector('video').currentTime > 1", timeout=30_000)
    cues = "Array.from(document.querySelector('video').textTracks[0].activeCues).length"
    page.wait_for_function(f"{cues} === 1", timeout=10_000)


def test_a_caption_comes_by_itself_and_stays_away_once_cleared(open_at, captioner_folders, tmp_path):
    shutil.copytree(captioner_folders["blip"], tmp_path / "home/models/blip-image-captioning-base")
    write_film(tmp_path / "film.mp4", 2)
    server = Server(tmp_path / "home")
    try:
        page = open_at(server)
        page.locator("input[type=file]").first.set_input_files(str(tmp_path / "film.mp4"))
        expect(page.get_by_text("photographs answers")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Written by blip")).to_be_visible(timeout=60_000)
        settle(page)
        box = page.get_by_role("textbox", name="A caption of this clip (optional)")
        expect(box).to_have_value(re.compile(r"^([^.]+\.){1,4}$"))  # of ten seconds
        box.fill("")
        box.press("Control+Enter")
        expect(page.get_by_text("Written by blip")).to_have_count(0, timeout=30_000)
        settle(page)
        expect(box).to_have_value("")
    finally:
        server.stop()


def test_two_browsers_have_their_own_weights(fresh, open_at):
    one, two = open_at(fresh, "tune?alpha=0.3"), open_at(fresh, "tune?alpha=0.9")
    for _ in range(3):
        slider(one).press("ArrowRight")
        slider(two).press("ArrowLeft")
    for page in (one, two):
        page.wait_for_function("() => !/alpha=0\\.(3|9)(&|$)/.test(location.search)", timeout=30_000)
        settle(page)
    first, second = (float(slider(page).input_value()) for page in (one, two))
    assert 0.3 < first < 0.4 and 0.8 < second < 0.9
    assert "alpha=0.3" in one.url and "alpha=0.8" in two.url
    assert top1(one) != top1(two)


def slider(page):
    return page.get_by_role("slider").first


def top1(page):
    return page.get_by_test_id("stMetricValue").first.inner_text()


def test_choices_carry_across_pages(fresh, open_at):
    page = open_at(fresh, "evaluate?on=demo-colour%40demo")
    page.get_by_role("link", name="Confusion").first.click()
    page.get_by_role("heading", name="Confusion").wait_for()
    settle(page)
    assert page.locator(".st-key-on input").first.input_value() == "demo-colour on the stick-figure world"
    assert "on=demo-colour" in page.url


def test_page_loads_do_not_grow_memory(fresh, open_at, chromium):
    context = chromium.new_context(viewport=WIDE)  # a session of the app each time, the browser's cache kept

    def load(name):
        page = context.new_page()
        page.goto(f"{fresh.url}/{name}")
        settle(page)
        page.close()

    for name in FILLED:  # caches and imports are filled once
        load(name)
    before = fresh.memory()
    for name in FILLED:
        load(name)
    context.close()
    grown = fresh.memory() - before
    assert grown < 50, f"{grown:.0f} MB more after seven page loads"
