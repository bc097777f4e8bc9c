"""A report in a real browser: it is clicked through, by mouse and by keyboard."""

import json
from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from benchmarks.report.page import html
from chromium import Page, browser, find_chromium
from mogradjudge.display.plotting import image_of, styled
from mogradjudge.report import write_report
from report_runs import Hostile, toy_run

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]

GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 27)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(toy_run(tmp_path_factory.mktemp("run"), Hostile()))


@pytest.fixture(scope="module")
def tab():
    with browser(CHROMIUM) as page:
        yield page


@pytest.fixture
def page(tab: Page, report) -> Page:
    tab.size(1000)
    tab.media(prefers_color_scheme="light")
    tab.open(report)
    yield tab
    # Whatever a test did: nothing was loaded but the page, nothing ran, nobody complained.
    assert tab.requests() == [report.resolve().as_uri()]
    assert tab.complaints() == []
    assert tab.js("typeof window.hit") == "undefined"
    assert tab.js("document.querySelectorAll('main script, img, iframe, link').length") == 0


def visible(page: Page, what: str) -> int:
    return page.js(
        f"[...document.querySelectorAll({json.dumps(what)})].filter(e => !e.hidden).length"
    )


def pressed(page: Page) -> list[str]:
    return page.js(
        "[...document.querySelectorAll('button[data-filter][aria-pressed=true]')]"
        ".map(e => e.dataset.filter)"
    )


def focused(page: Page) -> str:
    return page.js("(document.activeElement.textContent || '').trim().slice(0, 40)")


@pytest.mark.slow
def test_a_filter_shows_one_criterion_and_all_again(page):
    everything = visible(page, "[data-criteria]")
    page.click("button[data-filter=fluency]")
    assert pressed(page) == ["fluency"]
    assert visible(page, "[data-criteria=coherence]") == 0
    shown = visible(page, "[data-criteria]")
    assert 0 < shown < everything
    status = page.js("document.getElementById('filter-status').textContent")
    assert status == f"{shown} of {everything} entries shown: fluency."
    page.click("button[data-filter='']")
    assert pressed(page) == [""]
    assert visible(page, "[data-criteria]") == everything


def test_the_filter_works_from_the_keyboard(page):
    page.press("Tab")
    assert focused(page) == "Skip to the content"
    for _ in range(30):
        if focused(page) == "coherence":
            break
        page.press("Tab")
    assert focused(page) == "coherence"
    width = page.js("getComputedStyle(document.activeElement).outlineWidth")
    assert width == "3px"  # the focus is seen
    page.press("Enter", text="\r")
    assert pressed(page) == ["coherence"]
    assert visible(page, "[data-criteria=fluency]") == 0


def test_the_skip_link_leads_to_the_content(page):
    page.press("Tab")
    page.press("Enter", text="\r")
    assert page.js("location.hash") == "#content"


def test_steps_open_and_close(page):
    opened = "document.querySelectorAll('#chain-section details[open]').length"
    assert page.js(opened) == 0
    page.click("#step-1 > summary")
    assert page.js("document.getElementById('step-1').open") is True
    assert page.js("document.querySelector('#step-1 blockquote').checkVisibility()") is False
    page.click("#step-1 .case summary")
    assert page.js("document.querySelector('#step-1 blockquote').checkVisibility()") is True
    page.click("button[data-fold=open]")
    assert page.js(opened) == page.js("document.querySelectorAll('#chain-section details').length")
    page.click("button[data-fold=close]")
    assert page.js(opened) == 0


def test_the_theme_follows_the_system_until_the_button_is_used(page):
    state = "document.getElementById('theme').getAttribute('aria-pressed')"
    page.js("localStorage.clear()")
    assert (page.js(GROUND), page.js(state)) == (LIGHT, "false")
    page.media(prefers_color_scheme="dark")
    assert (page.js(GROUND), page.js(state)) == (DARK, "true")
    page.click("#theme")
    assert (page.js(GROUND), page.js(state)) == (LIGHT, "false")
    page.click("#theme")
    assert (page.js(GROUND), page.js(state)) == (DARK, "true")
    page.js("localStorage.clear()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, scheme):
    page.media(prefers_color_scheme=scheme)
    page.js("document.querySelectorAll('details').forEach(each => each.open = true)")
    low = page.js(CONTRASTS)
    assert low == []


def test_a_narrow_screen_needs_no_scrolling_to_the_side(page):
    for width in (360, 600, 1400):
        page.size(width)
        page.js("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.js("document.documentElement.scrollWidth") <= width


def test_what_is_printed_is_open_and_has_no_buttons(page):
    page.size(718)  # a sheet of A4 less its margins
    page.media(media="print")
    page.js("dispatchEvent(new Event('beforeprint'))")
    assert page.js("document.documentElement.scrollWidth") <= 718
    assert page.js("document.querySelectorAll('details:not([open])').length") == 0
    assert page.js("document.getElementById('theme').checkVisibility()") is False
    assert page.js(GROUND) == LIGHT
    page.js("dispatchEvent(new Event('afterprint'))")
    assert page.js("document.querySelectorAll('details[open]').length") == 0
    assert len(page.call("Page.printToPDF")["data"]) > 10_000


def test_the_outline_and_the_tables_are_whole(page):
    levels = page.js("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.js("document.querySelectorAll('table:not(:has(caption))').length") == 0
    assert page.js("document.querySelectorAll('th:not([scope])').length") == 0
    twice = "const ids = [...document.querySelectorAll('[id]')].map(e => e.id);"
    assert page.js(f"(() => {{ {twice} return ids.filter((e, n) => ids.indexOf(e) < n) }})()") == []
    goals = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(e => e.getAttribute('href').slice(1))"
    )
    assert page.js(f"{goals}.filter(each => !document.getElementById(each))") == []


def test_a_benchmarks_report_is_the_same_kind_of_page(tab, tmp_path):
    with styled():
        figure = Figure(figsize=(4, 3))
        figure.subplots().imshow([[1, 2], [3, 4]])  # an image inside of a picture
        drawn = image_of(figure)
    path = tmp_path / "report.html"
    path.write_text(
        html("# What\n\n## A\n\n| a |\n| --: |\n| 1 |\n\n![so](x.svg)\n", {"x.svg": drawn}),
        encoding="utf-8",
    )
    tab.size(360)
    tab.open(path)
    assert tab.complaints() == []
    assert {url for url in tab.requests() if not url.startswith("data:")} == {path.as_uri()}
    assert tab.js("document.querySelector('main svg').getBoundingClientRect().height") > 100
    assert tab.js("document.documentElement.scrollWidth") <= 360
    before = tab.js(GROUND)
    tab.click("#theme")
    assert tab.js(GROUND) != before
    tab.js("localStorage.clear()")


# WCAG 2.2, 1.4.3: 4.5 to 1, and 3 to 1 for large text. Grounds that shine through are laid over one
# another.
CONTRASTS = r"""(() => {
  const parse = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
  };
  const over = (top, base) => base.map((value, i) => top[i] * top[3] + value * (1 - top[3]));
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.push(parse(getComputedStyle(each).backgroundColor));
    }
    return layers.reverse().reduce((base, top) => over(top, base), [255, 255, 255]);
  };
  const linear = (value) =>
    value <= 0.04045 * 255 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const low = new Set();
  for (const each of document.body.querySelectorAll("*")) {
    const says = [...each.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!says || !each.checkVisibility() || each.closest("svg, script, .skip")) continue;
    const style = getComputedStyle(each);
    const pair = [light(parse(style.color)), light(ground(each))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.7 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) low.add(`${each.tagName}.${each.className} ${ratio}`);
  }
  return [...low];
})()"""
