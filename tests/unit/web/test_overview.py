"""The page over runs: what it lists, what it follows, and who may read it."""

import json
import os
import re
import shutil
import time

import pytest
from starlette.testclient import TestClient

from mogradjudge import MultiCriteriaJudge
from mogradjudge.errors import SetupError
from mogradjudge.optimize.events import ResultConfirmed, RunResumed, StepEnded
from mogradjudge.programs.saving import save_judge
from mogradjudge.report import write_report
from mogradjudge.web import overview
from mogradjudge.web.overview import Overview
from mogradjudge.web.server import application
from report_runs import RUBRIC, told, toy_run, written


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "<b>ann").mkdir()
    written(tmp_path / "<b>ann" / "run", told(1, ("fluency",), "A text."))
    (tmp_path / "search").mkdir()
    best = {"best": {"agreement": {"mean": 0.5}}, "trials": [{}, {}]}
    (tmp_path / "search" / "search.json").write_text(json.dumps(best))
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "report.md").write_text("# Report")
    (tmp_path / "bench" / "report.html").write_text("<p>the benchmark</p>")
    return tmp_path


def pages(folder, token="open-sesame"):
    app = application(Overview(folder).routes, "127.0.0.1", token, pages=True)
    return TestClient(app, "http://127.0.0.1:8001")


def let_in(folder):
    web = pages(folder)
    assert web.get("/?token=open-sesame").url.query == b""  # the token leaves the address
    return web


def test_the_page_lists_runs_searches_and_benchmarks_with_links(folder):
    text = let_in(folder).get("/").text
    assert "&lt;b&gt;ann/run" in text and "<b>ann" not in text
    assert "2 trials" in text and "0.500" in text
    for name in ("%3Cb%3Eann/run", "search", "bench"):
        assert f'href="/report?{name}"' in text


def test_a_report_is_made_of_what_is_there_now_and_the_folder_stays_as_it_is(folder):
    run = folder / "<b>ann" / "run"
    before = sorted(path.name for path in run.iterdir())
    web = let_in(folder)
    assert "<h1>" in web.get("/report?%3Cb%3Eann/run").text
    assert web.get("/report?bench").text == "<p>the benchmark</p>"
    assert sorted(path.name for path in run.iterdir()) == before


def test_composed_and_calibrated_judges_are_listed_and_shown(folder):
    judge = MultiCriteriaJudge(RUBRIC)
    save_judge(judge, folder / "composed")
    save_judge(judge, folder / "calibrated")
    point = {"calls": 1, "layout": "combined", "agreement": dict.fromkeys(RUBRIC.names, 0.25)}
    point |= {"mean": 0.25}
    composed = {
        "front": [point],
        "chosen": point,
        "sections": dict.fromkeys(RUBRIC.names, "initial"),
        "confirmation": {"verdict": "confirmed", "sentence": "Confirmed: <so it is>."},
        "calls": 1234,
    }
    (folder / "composed" / "compose.json").write_text(json.dumps(composed))
    web = let_in(folder)
    rows = web.get("/rows").text
    assert "1234 calls" in rows and "0.250" in rows and "&lt;so it is&gt;" in rows
    for name in ("composed", "calibrated"):
        assert f'href="/report?{name}"' in rows
        page = web.get(f"/report?{name}").text
        assert f"### Criterion: {RUBRIC.names[0]}" in page
        assert ("&lt;so it is&gt;" in page) == (name == "composed")
    (folder / "composed" / "compose.json").write_text('{"front": []}')
    assert "compose.json is damaged" in web.get("/rows").text
    with pytest.raises(SetupError, match=r"compose\.json"):
        write_report(folder / "composed")


@pytest.mark.parametrize(
    "name", ["nothing", "%2e%2e", "%2e%2e/secret", "/etc", "bench/report.html"]
)
def test_only_what_is_listed_can_be_read(folder, name):
    assert let_in(folder).get(f"/report?{name}").status_code == 404


def test_nobody_reads_it_without_the_token(folder):
    web = pages(folder)
    for address in ("/", "/rows", "/report?bench", "/?token=wrong"):
        assert web.get(address).status_code == 401


def test_a_run_is_followed_while_it_grows(folder):
    run, web = folder / "<b>ann" / "run", let_in(folder)
    (run / "result.json").unlink(missing_ok=True)
    assert "running" in web.get("/rows").text
    events = run / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(lines) if '"StepEnded"' in line)
    events.write_text("".join(lines[:cut]))
    assert "0 of" in web.get("/rows").text
    events.write_text("".join(lines))
    assert "1 of" in web.get("/rows").text
    os.utime(events, (time.time() - 3600,) * 2)
    assert "not ended" in web.get("/rows").text


@pytest.mark.slow
def test_a_run_that_is_taken_further_shows_its_new_steps_and_the_calls_of_all(tmp_path):
    toy_run(tmp_path, steps=1)
    (first,) = Overview(tmp_path).entries()
    assert first.state == "ended" and first.progress.startswith("1 of 1 ")
    toy_run(tmp_path, steps=2)
    (entry,) = Overview(tmp_path).entries()
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    sent = sum(bool(call.get("answered")) for call in calls)
    assert entry.progress.startswith("2 of 2 ") and f" {sent} calls" in entry.progress


def test_a_run_that_goes_on_after_its_end_is_running_again(tmp_path):
    first = [*told(1, ("fluency",), "A text.")]
    confirmed = ResultConfirmed("No gain.", 0.0)
    written(tmp_path, [*first[:-1], confirmed, first[-1]])
    confirmation = {"seed": {"mean": 0.4}, "best": {"mean": 0.9}}
    (tmp_path / "result.json").write_text(json.dumps({"confirmation": confirmation}))
    (ended,) = Overview(tmp_path).entries()
    assert (ended.state, ended.note) == ("ended", "No gain.")
    assert ended.agreement.startswith("0.400")
    (tmp_path / "asked.json").write_text('{"steps": 5}')
    later = [RunResumed(1, 20), StepEnded(2, {"mean": 0.2}, 47, 1, None)]
    written(tmp_path, [*first[:-1], confirmed, first[-1], *later])
    (entry,) = Overview(tmp_path).entries()
    assert (entry.state, entry.note) == ("running", "")
    assert "0.200 (validation)" in entry.agreement
    assert entry.progress.startswith("2 of 5 ") and " 47 calls" in entry.progress


@pytest.mark.parametrize(
    ["figures", "shown"],
    [
        ({}, "0.100 → 0.100 (validation)"),
        (
            {"confirmation": {"seed": None, "best": None}, "test": None},
            "0.100 → 0.100 (validation)",
        ),
        (
            {"confirmation": {"seed": {"mean": 0.4}, "best": {"mean": 0.9}}},
            "0.400 → 0.900 (confirm",
        ),
        ({"test": {"seed": {"mean": 0.3}, "final": {"mean": None}}}, "0.300 → - (held-out)"),
    ],
)
def test_the_agreement_that_is_shown_is_that_of_texts_that_chose_nothing(figures, shown, tmp_path):
    written(tmp_path, told(1, ("fluency",), "A text."))
    (tmp_path / "result.json").write_text(json.dumps(figures))
    (entry,) = Overview(tmp_path).entries()
    assert entry.agreement.startswith(shown)


def test_a_damaged_run_is_a_line_and_hides_no_other(folder):
    (folder / "damaged").mkdir()
    (folder / "damaged" / "events.jsonl").write_text('{"event": "Nothing"}\n')
    text = let_in(folder).get("/rows").text
    assert "Line 1" in text and "2 trials" in text
    assert {entry.name: entry.state for entry in Overview(folder).entries()}["damaged"] == "damaged"


@pytest.mark.parametrize("name", [b"new\nline", b"a?b#c&d%41+e", b"bad\xff\xfe", b"'\"><b>"])
def test_a_folder_of_any_name_is_listed_and_its_report_opens(tmp_path, name):
    run = tmp_path / os.fsdecode(name)
    run.mkdir()
    (run / "report.md").write_text("# Report")
    (run / "report.html").write_bytes(b"<p>\xff</p>")
    web = let_in(tmp_path)
    (address,) = re.findall(r'href="(/report\?[^"]+)"', web.get("/").text)
    answer = web.get(address)
    assert answer.content == b"<p>\xff</p>"
    assert any("sandbox" in policy for policy in answer.headers.get_list("content-security-policy"))


def test_a_folder_that_goes_while_it_is_read_is_left_out(folder, monkeypatch):
    listed = list(overview._folders(folder))
    shutil.rmtree(folder / "search")
    monkeypatch.setattr(overview, "_folders", lambda _: iter(listed))
    assert {entry.kind for entry in Overview(folder).entries()} == {"run", "benchmark"}
    assert let_in(folder).get("/report?search").status_code in (404, 422)


@pytest.mark.parametrize("result", [{"best": 3}, {"trials": 3}, {"best": {"agreement": []}}])
def test_a_strange_search_hides_no_other(folder, result):
    (folder / "search" / "search.json").write_text(json.dumps(result))
    text = let_in(folder).get("/rows").text
    assert "bench" in text and "search" in text


WRONG = {
    "mean": ({"chosen": {"mean": "0.5"}}, "damaged"),
    "no number": ({"chosen": {"mean": 10**400}}, "damaged"),
    "sentence": ({"confirmation": {"sentence": ["Confirmed."]}}, "damaged"),
    "calls": ({"calls": "1"}, "damaged"),
    "sections": ({"sections": [1]}, "composed"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_value_of_a_wrong_kind_is_a_line_and_its_report_is_refused(kind, folder):
    wrong, word = WRONG[kind]
    point = {"calls": 1, "layout": "combined", "agreement": {}, "mean": 0.25}
    said = {"verdict": "confirmed", "sentence": "Confirmed."}
    composed = {"front": [], "chosen": point, "sections": {}, "confirmation": said, "calls": 1}
    save_judge(MultiCriteriaJudge(RUBRIC), folder / "composed")
    (folder / "composed" / "compose.json").write_text(json.dumps(composed | wrong))
    web = let_in(folder)
    rows = web.get("/rows")
    assert rows.status_code == 200 and "bench" in rows.text and word in rows.text
    assert web.get("/report?composed").status_code in (200, 422)


def test_a_search_with_a_number_beyond_all_is_a_damaged_line(folder):
    best = {"best": {"agreement": {"mean": 10**400}}, "trials": [{}]}
    (folder / "search" / "search.json").write_text(json.dumps(best))
    rows = let_in(folder).get("/rows")
    assert rows.status_code == 200 and "damaged" in rows.text and "bench" in rows.text


def test_an_empty_folder_says_so_and_a_missing_one_is_refused(tmp_path):
    assert "yet" in let_in(tmp_path).get("/").text
    with pytest.raises(SetupError, match="none"):
        Overview(tmp_path / "none")
