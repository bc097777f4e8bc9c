"""Whatever texts, names and files hold, a report has the structure of a harmless one's."""

import json
import re
from importlib.resources import files

import pytest

from benchmarks.report.page import html
from mogradjudge.report import write_report
from mogradjudge.report.write import visible
from report_runs import HOSTILE, Hostile, Parsed, told, toy_run, written

NAME = 'fluency\' onclick="alert(1)"><script>hit = 6</script>'
LOADING = {"src", "srcset", "action", "formaction", "data", "poster", "background", "style", "ping"}
ALONE = {"iframe", "object", "embed", "base", "form", "link", "img", "audio", "video", "frame"}


def check(text: str) -> Parsed:
    """Check that nothing in a page can run or load but what belongs to every report."""
    page = Parsed(text)
    assert len(page.scripts) == 1
    assert sum(tag == "style" for tag, _ in page.tags) == 1
    for tag, attributes in page.tags:
        assert tag not in ALONE, tag
        names = set(attributes)
        assert not names & LOADING, (tag, attributes)
        assert not any(name.startswith("on") for name in names), (tag, attributes)
        for name in names & {"href", "xlink:href"}:
            assert attributes[name].startswith(("#", "data:image/png")), attributes
    assert "{{7919*6007}}" not in page.scripts[0]
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    policy = next(each["content"] for _, each in page.tags if "http-equiv" in each)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    return page


def tags_of(page: Parsed) -> list[str]:
    return [tag for tag, _ in page.tags]


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("x") / "<img src=x onerror=alert(1)>\"'"
    return toy_run(folder, Hostile(), protocol="paper")


@pytest.mark.slow
def test_hostile_texts_of_a_run_are_shown_as_texts(hostile_run):
    page = check(write_report(hostile_run).read_text("utf-8"))
    assert page.text.count(visible(HOSTILE)) >= 3 * 3 * 3  # inputs, critiques, gradients
    assert "Rate from 1 to 5. <script>hit = 5</script>" in page.text
    assert "Run: <img src=x onerror=alert(1)>\"'" in page.text
    assert str(7919 * 6007) not in page.text  # a template would have computed it


def test_what_turns_text_around_or_is_not_seen_is_written_out():
    assert visible("a\u202eb\x07\u2028\ud800\t\n") == r"a\u202eb\u0007\u2028\ud800" + "\t\n"
    assert "\u202e" in HOSTILE


@pytest.mark.parametrize("text", [HOSTILE, "\ud800 half of a pair", "\0\x08\x1b[31m", "]]>" * 9])
def test_hostile_names_and_reasons_are_shown_as_texts(tmp_path, text, monkeypatch):
    monkeypatch.setattr("mogradjudge.report.section.can_draw", lambda: False)
    harmless = write_report(written(tmp_path / "a", told(2, ("fluency",), "All is well.")))
    hostile = write_report(written(tmp_path / "b", told(2, (NAME,), text)))
    first, second = (check(path.read_text("utf-8")) for path in (harmless, hostile))
    assert NAME in second.text
    assert tags_of(first) == tags_of(second)


def test_texts_of_users_run_in_their_own_direction():
    blocks = [
        tag
        for path in (files("mogradjudge.report") / "templates").iterdir()
        for tag in re.findall(r'<(?:blockquote|div class="text\b|textarea)[^>]*>', path.read_text())
    ]
    assert len(blocks) > 8
    assert all('dir="auto"' in tag for tag in blocks)


def test_hostile_names_in_figures_are_shown_as_texts(tmp_path):
    path = write_report(written(tmp_path / "b", told(2, (NAME,), HOSTILE)))
    page = check(path.read_text("utf-8"))
    assert "svg" in tags_of(page)
    assert {each.parent for each in tmp_path.rglob("*.svg")} == {tmp_path / "b" / "figures"}


def test_hostile_trials_of_a_search_are_shown_as_texts(tmp_path):
    trial = {"number": 0, "task": "0", "state": "complete", "why": HOSTILE, "values": [0.4]}
    trial |= {"params": {"layout": HOSTILE}, "config": {"mode": "SSC", "layout": HOSTILE}}
    trial |= {"agreement": {NAME: 0.4, "mean": 0.4}, "intervals": {"mean": [0.3, 0.5]}}
    trial |= {"unscored": {NAME: 1}, "calls": 3, "cached": 0, "tokens": 9, "cost": None}
    trial |= {"calls_per_text": 1.0, "tokens_per_text": 3.0, "run_dir": HOSTILE, "worker": HOSTILE}
    trial |= {"seconds": 1.0, "instructions": {HOSTILE: HOSTILE}}
    found = {"study": HOSTILE, "values": ["agreement"], "stop_reason": "trials", "trials": [trial]}
    found |= {"best": 0, "default": 0, "selected": {"undefined": HOSTILE}, "fresh": None}
    found |= {"front": [0], "hypervolume": None, "importances": {NAME: 1.0}, "unfinished": 0}
    found |= {"effects": {"undefined": NAME}, "texts": 9, "documents": 3}
    found |= {"spent": {"calls": 3, "tokens": 9, "cost": 0.0}}
    (tmp_path / "search.json").write_text(json.dumps(found))
    page = check(write_report(tmp_path).read_text("utf-8"))
    assert visible(HOSTILE) in page.text


def test_markdown_of_a_benchmark_brings_no_html_of_its_own():
    text = (
        "# What was measured\n\n## A <b>b</b>\n\n<script>hit = 7</script>\n\n"
        "| a | b |\n| :-- | --: |\n| <img src=x onerror=alert(1)> | 2 |\n\n"
        "<details>\n<summary>more</summary>\n\ninside\n\n</details>\n\n"
        "<details open onclick=alert(2)>\n\n![x](https://example.org/x.png)\n\n"
        "<summary><script>hit = 8</script></summary>\n"
    )
    page = check(html(text, {}))
    tags = tags_of(page)
    assert tags.count("details") == tags.count("summary") == 1
    assert "<script>hit = 7</script>" in page.text
    assert {"class": "n", "scope": "col"} in [each for tag, each in page.tags if tag == "th"]
