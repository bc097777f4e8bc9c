"""The local pages in a real browser: rating by the keyboard alone, and runs that are followed."""

import threading
from contextlib import contextmanager

import pytest
import uvicorn

from chromium import browser, find_chromium
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.web.labelling import Labelling
from mogradjudge.web.labels import Labels
from mogradjudge.web.overview import Overview
from mogradjudge.web.server import application
from report_runs import told, written

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]
RUBRIC = Rubric(
    ["reply"],
    [Criterion("tone", "Is it kind?", (1, 5)), Criterion("style", "Is it good?", (0, 2))],
)


@contextmanager
def answering(routes, port=0):
    app = application(routes, "127.0.0.1", "open-sesame", pages=True)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def tab():
    with browser(CHROMIUM) as page:
        yield page


def go(tab, url, until):
    tab.events.clear()
    tab.call("Page.navigate", url=url)
    wait(tab, until)


def wait(tab, until):
    for _ in range(200):
        if tab.js(f"document.readyState === 'complete' && Boolean({until})"):
            return
        threading.Event().wait(0.05)
    raise AssertionError(f"never: {until}")


def type_keys(tab, keys):
    for key in keys:
        tab.press(key, text="\r" if key == "Enter" else key if len(key) == 1 else "")


def test_two_raters_rate_with_the_keyboard_and_see_their_agreement(tab, tmp_path):
    labels = Labels([{"reply": f"Text {n} <b>"} for n in range(3)], RUBRIC, tmp_path / "l.csv")
    with answering(Labelling(labels).routes) as url:
        for rater in ("ann", "bob o'hara & co"):
            go(tab, f"{url}/?token=open-sesame", "document.querySelector('#rater:focus')")
            type_keys(tab, [*rater, "Enter"])
            for number in range(3):
                wait(tab, f"document.title.startsWith('{number} of 3')")
                wait(tab, "document.querySelector('fieldset :focus')")
                type_keys(tab, ["2", "Backspace", str(number + 3), "1", "Enter"])
            wait(tab, "document.title.startsWith('3 of 3')")
            assert tab.complaints() == []
        assert "100 %" in tab.js("document.querySelector('main').textContent")
        assert "token" not in tab.js("location.href")
        hosts = {address.split("/")[2] for address in tab.requests() if "://" in address}
        assert hosts == {url.split("/")[2]}
    for rater in ("ann", "bob o'hara & co"):
        scores = [labels.scores(rater, key)["tone"] for key in labels.order(rater)]
        assert scores == [3, 4, 5]


def test_keys_comment_skip_and_go_back_but_not_on_buttons(tab, tmp_path):
    criteria = [
        Criterion("tone", "Is it kind?", comment="why"),
        Criterion("share", "How much is new?", (0, 100)),
    ]
    texts = [{"reply": f"Text {n}"} for n in range(3)]
    labels = Labels(texts, Rubric(["reply"], criteria), tmp_path / "l.csv")
    first, second, _ = labels.order("ann")

    def shown(key):
        wait(tab, f"document.querySelector('form')?.dataset.text === '{key}'")
        wait(tab, "document.activeElement.closest('fieldset')")

    with answering(Labelling(labels, "ann").routes) as url:
        go(tab, f"{url}/?token=open-sesame", "document.querySelector('fieldset :focus')")
        type_keys(tab, ["s"])
        shown(second)
        type_keys(tab, ["b"])
        shown(first)
        type_keys(tab, [*"445"])  # the scale to 100 is typed
        tab.js("document.querySelector('fieldset input').focus()")
        type_keys(tab, ["c", *"1 s b", "Escape", "3"])
        assert tab.js("document.querySelector('textarea').value") == "1 s b"
        tab.js("document.getElementById('theme').focus()")
        type_keys(tab, ["Enter"])
        assert labels.done("ann") == 0
        tab.js("document.querySelector('textarea').focus()")
        type_keys(tab, ["Enter"])
        shown(second)
        assert labels.scores("ann", first) == {"tone": 3, "share": 45}
        assert labels.said("ann", first) == {"why": "1 s b"}
        assert tab.complaints() == []


def test_a_rating_is_saved_once_the_server_is_back(tab, tmp_path):
    labels = Labels([{"reply": "A text"}], RUBRIC, tmp_path / "l.csv")
    with answering(Labelling(labels, "ann").routes) as url:
        go(tab, f"{url}/?token=open-sesame", "document.querySelector('fieldset :focus')")
        type_keys(tab, ["3", "1"])
    type_keys(tab, ["Enter"])
    wait(tab, "document.getElementById('status').textContent.includes('ended')")
    assert tab.js("document.querySelectorAll(':checked').length") == 2
    port = int(url.rpartition(":")[2])
    with answering(Labelling(labels, "ann").routes, port):
        type_keys(tab, ["Enter"])
        wait(tab, "document.title.startsWith('1 of 1')")
    assert labels.done("ann") == 1


def test_all_of_the_form_has_a_name_for_who_does_not_see_it(tab, tmp_path):
    labels = Labels([{"reply": "A text"}], RUBRIC, tmp_path / "l.csv")
    with answering(Labelling(labels, "ann").routes) as url:
        go(tab, f"{url}/?token=open-sesame", "document.querySelector('fieldset :focus')")
        nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    wanted = {"radio", "button", "link", "group", "progressbar", "region", "textbox"}
    named = [node for node in nodes if node.get("role", {}).get("value") in wanted]
    assert len([node for node in named if node["role"]["value"] == "radio"]) == 8
    assert [node for node in named if not node["name"]["value"]] == []


def test_what_is_missing_is_said_and_nothing_is_saved(tab, tmp_path):
    labels = Labels([{"reply": "A text"}], RUBRIC, tmp_path / "l.csv")
    with answering(Labelling(labels, "ann").routes) as url:
        go(tab, f"{url}/?token=open-sesame", "document.querySelector('fieldset :focus')")
        type_keys(tab, ["Enter"])
        wait(tab, "document.getElementById('status').textContent.includes('tone, style')")
        type_keys(tab, ["3", "Enter"])
        wait(tab, "document.getElementById('status').textContent.endsWith(' style.')")
        assert labels.done("ann") == 0
        type_keys(tab, ["9"])  # off the scale
        assert tab.js("document.querySelectorAll(':checked').length") == 1


def test_a_view_follows_a_run_without_a_reload(tab, tmp_path):
    run = written(tmp_path / "run", told(1, ("fluency",), "A text."))
    (run / "result.json").unlink(missing_ok=True)
    events = run / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(lines[:2]))
    with answering(Overview(tmp_path).routes) as url:
        go(tab, f"{url}/?token=open-sesame", "document.getElementById('rows')")
        assert "0 of" in tab.js("document.getElementById('rows').textContent")
        events.write_text("".join(lines))
        wait(tab, "document.getElementById('rows').textContent.includes('1 of')")
        assert tab.complaints() == []
        go(tab, f"{url}/report?run", "document.querySelector('h1')")
        assert tab.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_pages_fit_a_phone_and_follow_the_colours(tab, tmp_path, scheme, width):
    text = "A long text that a rater reads. " * 60
    labels = Labels([{"reply": text}], RUBRIC, tmp_path / "l.csv")
    with answering([*Labelling(labels, "ann").routes]) as url:
        tab.size(width)
        tab.media(prefers_color_scheme=scheme)
        go(tab, f"{url}/?token=open-sesame", "document.querySelector('fieldset')")
        assert tab.js("document.documentElement.scrollWidth <= innerWidth")
        assert tab.js("scrollY") == 0  # the text is seen first
        ground = tab.js("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        tab.shoot(tmp_path / "label.png")
