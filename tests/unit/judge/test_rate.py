"""A judge over a table in memory: the same kind of table comes back, with scores and reasons."""

import asyncio

import dspy
import pandas as pd
import pyarrow as pa
import pytest
from dspy.lm15 import AuthError, ServerError

from engines import FunctionEngine, fake_lm, in_chat, user
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.errors import SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge

RUBRIC = Rubric({"reply": "text"}, [Criterion("tone", "Is it kind?"), Criterion("style", "Good?")])
ROWS = [
    {"id": 1, "text": "Yes."},
    {"id": 2, "text": ""},
    {"id": 3, "text": "ODD"},
    {"id": 4, "text": "Yes."},
    {"id": 5, "text": None},
]


def replied(request):
    if "DOWN" in user(request):
        raise ServerError("no server")
    if "LOCKED" in user(request):
        raise AuthError("no key")
    return in_chat({"tone": 4, "style": "x" if "ODD" in user(request) else 2})


def rate(table, *, awaited=False, **options):
    engine, judge = FunctionEngine(replied), MultiCriteriaJudge(RUBRIC, **options)
    with dspy.context(lm=fake_lm(engine)):
        scored = asyncio.run(judge.arate(table)) if awaited else judge.rate(table)
    return scored, engine.requests


@pytest.mark.parametrize("awaited", [False, True])
def test_rows_keep_their_order_and_a_failure_is_missing_with_its_reason(awaited):
    scored, requests = rate(ROWS, awaited=awaited)
    assert [row["id"] for row in scored] == [1, 2, 3, 4, 5]
    assert [row["tone"] for row in scored] == [4, None, 4, 4, None]
    assert [row["style"] for row in scored] == [2, None, None, 2, None]
    assert "style" in scored[2]["style_unscored"]
    assert "reply" in scored[1]["tone_unscored"]
    assert len(requests) == 2  # equal texts are judged once, empty ones never
    assert ROWS[0] == {"id": 1, "text": "Yes."}


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    "make", [lambda: pd.DataFrame(ROWS, index=list("aabcd")), "polars", "arrow"]
)
def test_the_same_kind_of_table_comes_back(make, awaited):
    if make == "polars":
        polars = pytest.importorskip("polars")
        table = polars.DataFrame(ROWS)
    else:
        table = pa.Table.from_pylist(ROWS) if make == "arrow" else make()
    scored, _ = rate(table, awaited=awaited)
    assert type(scored) is type(table)
    tones = scored["tone"].to_pylist() if make == "arrow" else list(scored["tone"])
    assert [None if tone != tone else tone for tone in tones] == [4, None, 4, 4, None]
    if not isinstance(make, str):
        assert list(scored.index) == list("aabcd")
        assert scored["tone"].dtype == float


@pytest.mark.parametrize("awaited", [False, True])
def test_a_provider_that_fails_on_one_text_stops_no_other(awaited):
    scored, _ = rate([{"text": "Yes."}, {"text": "DOWN"}], awaited=awaited)
    assert [row["tone"] for row in scored] == [4, None]
    assert "no server" in scored[1]["tone_unscored"]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    ("texts", "error"), [(["DOWN", "DOWN 2"], dspy.LMError), (["LOCKED", "Yes."], dspy.LMAuthError)]
)
def test_what_concerns_every_text_is_an_error(texts, error, awaited):
    with pytest.raises(error):
        rate([{"text": text} for text in texts], awaited=awaited)


def test_a_table_without_an_input_is_refused_with_its_name():
    with pytest.raises(SetupError, match="'text'"):
        rate([{"answer": "Yes."}])
    with pytest.raises(SetupError, match="mean 'TEXT'"):
        rate([{"TEXT": "Yes."}])
    with pytest.raises(SetupError, match="table"):
        rate({"text": ["Yes."]})


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("name", ["text", "id"])
@pytest.mark.parametrize("make", ["pandas", "arrow"])
def test_two_columns_of_one_name_are_refused_with_it(make, name, awaited):
    columns = ["text", "id", name]
    table = pd.DataFrame([["Yes.", 1, "No."]], columns=columns)
    if make == "arrow":
        table = pa.Table.from_arrays([pa.array(["Yes."])] * 3, columns)
    with pytest.raises(SetupError, match=f"'{name}'"):
        rate(table, awaited=awaited)


def test_a_name_that_stays_in_use_is_said_with_the_argument_of_the_door():
    with pytest.raises(SetupError, match=r"'judge_tone'.*`prefix`"):
        rate([{"text": "Yes.", "tone": 1, "judge_tone": 2}])


def test_a_column_of_a_scores_name_gets_a_prefix():
    scored, _ = rate([{"text": "Yes.", "tone": 1}])
    assert (scored[0]["tone"], scored[0]["judge_tone"]) == (1, 4)


def test_a_judge_that_gives_reasons_returns_them():
    engine = FunctionEngine(lambda _: in_chat({"rationale": "Kind.", "tone": 4, "style": 2}))
    with dspy.context(lm=fake_lm(engine)):
        (row, blank) = MultiCriteriaJudge(RUBRIC, rationale=True).rate(
            [{"text": "Yes."}, {"text": " "}]
        )
    assert (row["tone_rationale"], blank["tone_rationale"]) == ("Kind.", None)


def test_an_empty_table_stays_empty():
    frame = pd.DataFrame({"text": []})
    assert list(rate(frame)[0].columns)[:2] == ["text", "tone"]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("make", [list, pd.DataFrame, pa.Table.from_pylist])
def test_a_column_may_be_called_like_its_input(make, awaited):
    rows = [{"reply": "Yes.", "id": n} for n in range(2)]
    _, as_in_the_rubric = rate([{"text": "Yes."}], awaited=awaited)
    _, requests = rate(make(rows), awaited=awaited)
    assert [user(it) for it in requests] == [user(it) for it in as_in_the_rubric]
    _, requests = rate(make([{**row, "text": "No."} for row in rows]), awaited=awaited)
    assert "No." in user(requests[0])  # the rubric's column comes first


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("empty", [[], (), pd.DataFrame({"text": []})])
def test_a_table_without_rows_stays_so(empty, awaited):
    scored, requests = rate(empty, awaited=awaited)
    assert len(scored) == 0
    assert not requests


@pytest.mark.parametrize("awaited", [False, True])
def test_one_record_is_told_how_it_is_rated(awaited):
    with pytest.raises(SetupError, match=r"judge\(\*\*record\)"):
        rate({"text": "Yes."}, awaited=awaited)
