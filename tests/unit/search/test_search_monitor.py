"""A study while it is at work, and the words about what it found."""

import io
import logging
import re
import time
from dataclasses import replace

import optuna
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mogradjudge.agreement import Comparison, Undefined
from mogradjudge.agreement.selection_bias import Corrected
from mogradjudge.cli.search_output import print_result, verdict
from mogradjudge.lm.budget import Budget, Spent
from mogradjudge.optimize.confirmation import Confirmation
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.report.search_page import search_page
from mogradjudge.search.analysis.records import best_of
from mogradjudge.search.analysis.result import Fresh, SearchResult, TrialRecord
from mogradjudge.search.analysis.summary import summarize
from mogradjudge.search.analysis.verdict import exhaustion
from mogradjudge.search.monitor import (
    Lines,
    Look,
    cells_of,
    chosen_of,
    left_of,
    line_of,
    look_at,
    table_of,
    watching,
)
from mogradjudge.search.read_only import to_read
from mogradjudge.search.trial import DETAILS
from mogradjudge.search.workers.queue import Queue, Task
from mogradjudge.search.workers.shared import ASKED, SIZE, Shared
from mogradjudge.search.workers.storage import opened

optuna.logging.set_verbosity(optuna.logging.ERROR)


def record(number: int, state: str = "complete", mean: float | None = None, **others: object):
    ended = state == "complete"
    found = {
        "number": number,
        "task": f"{number:04d}",
        "state": state,
        "why": None,
        "params": {"mode": "SSS"},
        "config": {} if state == "waiting" else {"mode": "SSS", "layout": "separate"},
        "values": (mean,) if ended else None,
        "agreement": {"mean": mean} if ended else {},
        "intervals": {"mean": (mean - 0.1, mean + 0.1)} if ended else {},
        "unscored": {},
        "calls": 12 if ended else None,
        "cached": 3 if ended else None,
        "tokens": 400 if ended else None,
        "cost": None,
        "calls_per_text": 2.0 if ended else None,
        "tokens_per_text": None,
        "run_dir": None,
        "worker": None if state == "waiting" else "host:[b]1",
        "seconds": None,
        "instructions": {},
    }
    return TrialRecord(**{**found, **others})


def look(*records: TrialRecord, done: int = 0) -> Look:
    complete = [each for each in records if each.state == "complete"]
    return Look(records, best_of(complete, None), len(records), done, Spent(340, 90, 0.5))


@st.composite
def looks(draw):
    kinds = draw(st.lists(st.sampled_from(["waiting", "running", "complete", "failed"])))
    means = st.integers(-10, 10).map(lambda each: each / 10)
    return look(
        *(
            record(n, kind, draw(means) if kind == "complete" else None)
            for n, kind in enumerate(kinds)
        )
    )


@given(looks(), st.integers(1, 20))
def test_what_is_shown_fits_and_holds_the_best(found, rows):
    shown = chosen_of(found, rows)
    numbers = [each.number for each in shown]
    started = [each for each in found.records if each.state != "waiting"]
    assert len(shown) == min(rows, len(started))
    assert numbers == sorted(set(numbers))
    assert found.best is None or found.best in shown
    last = [each for each in started if each.state == "running"][-1:]
    assert rows < 3 or all(each in shown for each in last)


@given(looks(), st.integers(8, 30))
def test_a_table_never_has_more_lines_than_the_terminal(found, height):
    text = rendered(table_of(found, Budget(max_calls=999), height), height)
    assert len(text.splitlines()) <= height


@given(looks(), st.integers(40, 120))
def test_a_narrow_terminal_is_shown_fewer_columns_and_each_cell_whole(found, width):
    text = rendered(table_of(found, Budget(max_calls=999), 40, width), 40, width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    *rows, _, _ = text.splitlines()
    assert not any("\u2026" in line for line in rows)
    assert "agreement" in text


def rendered(what: object, height: int = 24, width: int = 120) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system=None, width=width, height=height
    )
    console.print(what)
    return console.file.getvalue()


def test_a_table_says_what_there_is_and_what_is_left():
    found = look(record(0, mean=0.41), record(1, "running"), record(2, "waiting"), done=1)
    text = rendered(table_of(found, Budget(max_calls=1000, max_cost=2.0), 24))
    for part in ("SSS", "separate", "0.410", "[0.310, 0.510]", "running", "host:[b]1"):
        assert part in text
    assert "1 of 3 trials done; best so far: trial 0, 0.410" in text
    assert "calls 340 of 1000, 660 left; tokens 90; US$ 0.5000 of 2.0000, 1.5000 left" in text


def test_nothing_spent_is_said():
    assert left_of(Spent(), Budget()) == "nothing spent"


def test_lines_tell_what_has_ended_since_the_first_look(capsys):
    lines = Lines()
    lines(look(record(0, mean=0.3), record(1, "running")))
    assert capsys.readouterr().err == ""
    lines(look(record(0, mean=0.3), record(1, "failed", why="it\x1b[2J\nis down"), done=2))
    lines(look(record(0, mean=0.3), record(1, "failed", why="it is down"), done=2))
    assert capsys.readouterr().err == (
        "Trial 1 (SSS, separate) failed: it [2J is down; "
        "2 of 2 trials done; best so far: trial 0, 0.300\n"
    )


def test_a_line_of_a_trial_that_never_started():
    assert line_of(record(3, "failed", config={})) == "Trial 3 (not started) failed"


@pytest.fixture
def queue(tmp_path):
    with opened(None, tmp_path) as (storage, engine):
        study = optuna.create_study(storage=storage, study_name="a", direction="maximize")
        yield Queue(study, storage, Shared(engine, "a", 30.0))


def finish(queue: Queue, mean: float) -> None:
    told = {DETAILS: {"agreement": {"mean": mean}}, "calls": 5, "calls_per_text": 1.0}
    assert queue.finish(queue.pull(), [mean], told)


def test_trials_of_any_worker_are_told(queue, capsys):
    queue.fill([Task("0000"), Task("0001"), Task("0002")])
    finish(queue, 0.1)
    with watching(Budget(), every=0.01)(queue, queue.shared):
        finish(queue, 0.2)
        finish(queue, 0.3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in lines] == ["Trial 1", "Trial 2"]
    assert lines[-1].endswith("3 of 3 trials done; best so far: trial 2, 0.300")


@pytest.mark.parametrize(("size", "trials"), [(None, 11), (3, 4), (50, 11)])
def test_progress_counts_to_the_end_of_the_space_and_what_others_queue(size, trials, queue):
    queue.shared.note(SIZE, size)
    queue.fill([Task(f"{number:04d}") for number in range(10)])
    queue.study.enqueue_trial({})
    for done in range(3):
        assert (look_at(queue, queue.shared).trials, look_at(queue, queue.shared).done) == (
            trials,
            done,
        )
        finish(queue, 0.1)


def test_a_terminal_shows_a_table(queue):
    queue.fill([Task("0000"), Task("0001")])
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=20)
    with watching(Budget(), console=console, every=0.01)(queue, queue.shared):
        finish(queue, 0.25)
    shown = console.file.getvalue()
    assert "0.250" in shown and "1 of 2 trials done" in shown


def test_a_look_that_fails_is_told_once_and_harms_nobody(queue, caplog):
    unmade = Shared(queue.shared.engine, "another", 1.0, makes=False)  # it has no purse
    with (
        caplog.at_level(logging.WARNING),
        watching(Budget(), every=0.001)(queue, unmade),
    ):
        time.sleep(0.05)
    assert [each.message.partition(":")[0] for each in caplog.records] == [
        "The trials cannot be shown"
    ]


def test_a_study_is_read_while_it_is_at_work(queue, tmp_path):
    queue.shared.note(ASKED, {})
    queue.fill([Task("0000"), Task("0001"), Task("0002")])
    finish(queue, 0.25)
    trial = queue.pull()
    before = sorted(path.name for path in tmp_path.iterdir())
    with to_read(None, tmp_path, "a") as (other, shared):
        assert [each.state for each in summarize(other, shared).trials] == [
            *("complete", "running", "waiting"),
        ]
        assert queue.finish(trial, [0.5], {DETAILS: {"agreement": {"mean": 0.5}}})
        assert summarize(other, shared).best.number == 1
        with pytest.raises(sa.exc.OperationalError, match="readonly"):
            shared.note("a", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


LUCK = Corrected(0.41, 0.04, 0.37, 0.21, 0.5)
NONE = Undefined("fewer than 3 documents")


def result(best: TrialRecord | None, default: TrialRecord | None, **others: object):
    records = tuple(each for each in (default, best) if each is not None)
    found = {
        "study": "a",
        "value_names": ("agreement",),
        "trials": records,
        "best": best,
        "default": default,
        "selected": LUCK,
        "fresh": None,
        "front": tuple(each.number for each in records),
        "hypervolume": None,
        "importances": {},
        "effects": Undefined("the mode was not searched"),
        "spent": Spent(9, 99),
        "unfinished": 0,
        "texts": 60,
        "documents": 20,
    }
    return SearchResult(**{**found, **others})


def test_a_search_is_shown_in_a_line():
    best = record(7, mean=0.614)
    shown = repr(result(best, None, stop_reason="trials"))
    assert "\n" not in shown and len(shown) < 200
    for said in ("'a'", "best=0.614", "default=none", "calls=9", "'trials'"):
        assert said in shown


def fresh(low: float, high: float, p_value: float = 0.03, documents: int = 20) -> Fresh:
    return Fresh(0.4, 0.3, Comparison((low + high) / 2, low, high, p_value, documents))


WON = "Trial 7 (SSS, separate) did best: 0.410 on 60 selection texts, 0.370 [0.210, 0.500] "
WON += "corrected for selection, at most in part; the default had 0.330. "
WORDS = {
    "the difference holds": (
        {"fresh": fresh(0.05, 0.2)},
        WON + "The difference is established, corrected for selection at most in part.",
    ),
    "corrected for selection it does not hold": (
        {"fresh": fresh(0.03, 0.2)},
        WON + "The difference is not established.",
    ),
    "its test does not agree": (
        {"fresh": fresh(0.05, 0.2, p_value=0.2)},
        WON + "The difference is not established.",
    ),
    "few documents have a value": (
        {"fresh": fresh(0.05, 0.2, documents=7)},
        WON + "The difference is not established: 7 documents, and it needs 8.",
    ),
    "nothing was scored again": (
        {},
        WON + "The difference is not established: the two judges were not scored again.",
    ),
    "no difference": (
        {"fresh": Fresh(0.4, None, NONE)},
        WON + "The difference is not established: fewer than 3 documents.",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_verdict_says_no_more_than_is_known(case):
    others, words = WORDS[case]
    searched = result(record(7, mean=0.41), record(0, mean=0.33), **others)
    assert verdict(searched) == words
    page = search_page(searched)  # which says the same
    assert page.claim is None or (page.claim.verdict == "established") == (
        "is established" in words
    )


def test_a_selection_that_cannot_be_corrected_for_is_said():
    found = result(record(7, mean=0.41), record(0, mean=0.33), selected=NONE, fresh=fresh(0.1, 0.2))
    said = verdict(found)
    assert "(not corrected for selection: fewer than 3 documents)" in said
    assert said.endswith("not established: the selection bias is unknown.")


@pytest.mark.parametrize(("documents", "shown"), [(5, False), (7, False), (8, True)])
def test_a_difference_of_few_documents_has_no_interval(documents, shown, capsys):
    few = fresh(0.05, 0.2, documents=documents)
    searched = result(record(7, mean=0.41), record(0, mean=0.33), fresh=few)
    print_result(searched)
    assert ("[0.050, 0.200]" in capsys.readouterr().out) == shown
    assert (search_page(searched).claim.low is not None) == shown


def test_what_was_scored_again_has_no_p_value(capsys):
    judged_again = result(record(7, mean=0.41), record(0, mean=0.33), fresh=fresh(0.01, 0.2))
    print_result(judged_again)
    printed = capsys.readouterr().out
    assert "[0.010, 0.200]" in printed
    assert "p =" not in printed


def tried(number: int, mean: float | None, batch: int) -> TrialRecord:
    state = "failed" if mean is None else "complete"
    return record(number, state, mean, config={"mode": "SSS", "batch_size": batch})


@pytest.mark.parametrize(
    ("trials", "size", "unfinished", "numbers"),
    [
        ([(0.4, 1), (0.5, 2), (0.5, 2)], 2, 0, ["2"]),  # one of them is a repeat
        ([(0.4, 1), (None, 2)], 2, 0, ["2", "1"]),
        ([(0.4, 1), (0.5, 2)], 3, 0, None),
        ([(0.4, 1), (0.5, 2)], 2, 1, None),
        ([(0.4, 1), (0.5, 2)], None, 0, None),
        ([(0.4, 0.3), (0.5, 0.1 + 0.2)], 2, 0, None),  # one number, but for rounding
    ],
)
def test_a_space_that_was_tried_to_its_end_is_said(trials, size, unfinished, numbers):
    records = [tried(number, *trial) for number, trial in enumerate(trials)]
    whole = replace(
        result(records[0], records[0]),
        trials=tuple(records),
        configurations=size,
        unfinished=unfinished,
    )
    sentence = exhaustion(whole)
    assert numbers is None if sentence is None else re.findall(r"\d+", sentence) == numbers


def test_a_space_of_one_configuration_is_said_in_the_singular():
    only = tried(0, 0.4, 1)
    sentence = exhaustion(replace(result(only, only), trials=(only,), configurations=1))
    assert "configurations" not in sentence and "were" not in sentence


def test_a_default_that_stays_the_best_is_said():
    default = record(0, mean=0.41)
    said = verdict(result(default, default))
    assert said.startswith("The default, trial 0 (SSS, separate), did best: 0.410")
    assert said.endswith("No other trial beat it.")


def confirmed(**changes: object) -> Confirmation:
    agreements = {end: Agreement.unmeasured(("fluency",)) for end in ("seed", "best")}
    figures = {"difference": 0.1, "interval": (0.05, 0.15), "documents": 20, "texts": 40}
    return Confirmation("confirmed", **{**agreements, **figures, **changes})


@pytest.mark.parametrize("takes_back", [False, True])
@pytest.mark.parametrize("calls", [2.0, 6.0])
def test_a_confirmation_compares_judges_and_their_calls(calls, takes_back):
    searched = result(
        record(7, mean=0.41, calls_per_text=calls),
        record(0, mean=0.33),
        confirmation=confirmed(takes_back=takes_back),
    )
    said = verdict(searched)
    assert "rewrite" not in said and "instructions" not in said
    assert ("calls a text: 6" in said and "calls a text: 2" in said) == (calls == 6)
    assert ("initial judge is kept" in said) == takes_back
    assert searched.as_dict()["confirmation"]["sentence"] in said


def test_what_was_not_confirmed_is_said_of_the_judge():
    untested = Confirmation("too few documents", needed=64, takes_back=True)
    said = verdict(result(record(7, mean=0.41), record(0, mean=0.33), confirmation=untested))
    assert "64" in said and "instructions" not in said


def test_an_agreement_that_is_estimated_is_marked(capsys):
    texts = {"texts": 18, "agreement": {"mean": 0.868}}
    raced, default = record(1, "ended early", **texts), record(0, mean=0.9)
    searched = result(default, default, trials=(default, raced), texts=36)
    print_result(searched)
    printed = capsys.readouterr().out
    assert "~0.868" in printed and "18 of 36 texts" in printed and "~0.900" not in printed
    page = search_page(searched)
    assert [row.mean for row in page.rows] == ["0.900", "~0.868"] and page.has_estimates
    assert "~0.868" in cells_of(raced)
    assert all("0.868" not in picture.alt for picture in page.pictures)  # it is not drawn


@pytest.mark.parametrize(("price", "cost"), [(None, None), (0.0, 0.0)])
def test_an_unknown_price_is_no_cost_of_0(price, cost):
    searched = result(record(7, mean=0.41, cost=price), record(0, mean=0.33))
    assert searched.as_dict()["spent"] == {"calls": 9, "tokens": 99, "cost": cost}


def test_a_default_without_a_value_is_said():
    said = verdict(result(record(7, mean=0.41), None))
    assert "the default has no agreement" in said and "nothing to compare with" in said


@pytest.mark.slow
def test_a_table_of_very_many_trials_holds_the_best_ones(capsys):
    records = tuple(record(number, mean=number / 1000) for number in range(250))
    print_result(result(records[-1], records[0], trials=records))
    shown = capsys.readouterr().out
    assert "and 50 more: --json" in shown
    rows = [line.split()[0] for line in shown.splitlines() if " complete " in line]
    assert rows == [str(number) for number in range(249, 49, -1)]


def test_no_value_at_all_is_said(capsys):
    waiting = record(1, "waiting")
    found = result(None, None, trials=(record(0, "failed", why="[/b] no \n agreement"), waiting))
    assert verdict(found) == (
        "No trial has an agreement: 1 ended without one, 0 are running, 1 are waiting."
    )
    print_result(found)
    shown = capsys.readouterr().out
    assert "trial 0 failed: [/b] no agreement" in shown
    assert "effects of the modes are unknown: the mode was not searched." in shown
    assert "importances of the parameters are unknown" in shown
