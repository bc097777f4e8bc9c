"""Two judges on the same texts, and the texts on which a judge differs from people."""

import json
from dataclasses import replace

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import MultiCriteriaJudge
from mogradjudge.agreement import TestOptions
from mogradjudge.cli.paired import print_paired
from mogradjudge.lm.ledger import Ledger
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.report.compare_page import write_comparison
from mogradjudge.scoring.differing import differing, write_differing
from mogradjudge.scoring.evaluate import evaluate
from mogradjudge.scoring.paired import paired
from tests.engines import FunctionEngine, fake_lm, in_chat

POOLED = TestOptions(level="pooled")
SCORES = st.lists(
    st.tuples(*[st.none() | st.integers(1, 5).map(float)] * 3), min_size=1, max_size=12
)


def texts(scores, side):
    return [
        JudgedText(f"t{n}", f"d{n // 2}", {}, {}, {"tone": row[0]}, {"tone": row[side]})
        for n, row in enumerate(scores)
    ]


@given(SCORES)
def test_judges_that_are_exchanged_change_the_sign_of_everything(scores):
    one, two = texts(scores, 1), texts(scores, 2)
    there, back = (paired(*pair, ("tone",), POOLED) for pair in ((one, two), (two, one)))
    assert (there.first, there.second) == (back.second, back.first)
    for name, claim in there.claims.items():
        other = back.claims[name]
        assert claim.verdict == other.verdict and claim.p_value == other.p_value
        assert claim.estimate is None or claim.estimate == -other.estimate
    gains = {(it.example_id, it.gain) for it in there.changed}
    assert gains == {(it.example_id, -it.gain) for it in back.changed}


def test_judges_of_equal_scores_are_called_so(tmp_path, capsys):
    scores = [(3.0, 2.0, 2.0)] * 8
    same = paired(texts(scores, 1), texts(scores, 2), ("tone",), POOLED)
    assert same.differing == 0 and "8" in same.equal
    print_paired(same.as_dict(), ("A", "B"))
    printed = capsys.readouterr().out
    assert same.equal in printed and "verdict" not in printed
    page = write_comparison(tmp_path / "page.html", ("a", "b"), same, (), {}).read_text()
    assert same.equal in page and "unknown which" not in page
    other = paired(texts(scores, 1), texts([*scores[1:], (3.0, 2.0, None)], 2), ("tone",), POOLED)
    assert other.differing == 1 and not other.equal


@given(SCORES)
def test_only_texts_of_both_are_compared(scores):
    one, two = texts(scores, 1), texts(scores, 2)
    others = [replace(text, example_id=f"x{text.example_id}") for text in two]
    assert paired(one, others, ("tone",), POOLED) is None
    assert paired(one, [*others, *two], ("tone",), POOLED) == paired(one, two, ("tone",), POOLED)


@given(SCORES)
def test_texts_are_sorted_by_the_distance_of_judge_and_people(scores):
    rows = differing(texts(scores, 1), ("tone",), {})
    known = [abs(row.difference) for row in rows if row.difference is not None]
    assert known == sorted(known, reverse=True)
    assert all(row.difference is None for row in rows[len(known) :])
    assert len(rows) == sum(row[0] is not None for row in scores)


def test_a_judges_reason_stands_beside_its_score_and_unread_replies_come_last():
    rubric = toy_rubric("fluency")
    replies = iter([in_chat({"rationale": "it stumbles", "fluency": 1})] * 3)
    engine = FunctionEngine(lambda _: next(replies, "nothing"))
    judge = MultiCriteriaJudge(rubric, rationale=True)
    with dspy.context(lm=fake_lm(engine)):
        found = evaluate(judge, toy_examples(rubric, 4), Ledger(), 1)
    first, *_, last = differing(found.texts, rubric.names, found.inputs)
    assert first.reason == "it stumbles" and first.inputs["output"]
    assert last.judge is None and last.unscored and last.inputs["output"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_halves_of_characters_in_texts_and_reasons_can_be_written(kind, tmp_path):
    rubric = toy_rubric("fluency")
    talk = json.dumps([{"role": "user", "content": "a\ud800"}])
    engine = FunctionEngine(lambda _: in_chat({"rationale": "so\ud800", "fluency": 1}))
    examples = [example.copy(output=talk) for example in toy_examples(rubric, 4)]
    with dspy.context(lm=fake_lm(engine)):
        found = evaluate(MultiCriteriaJudge(rubric, rationale=True), examples, Ledger(), 1)
    rows = differing(found.texts, rubric.names, found.inputs)
    write_differing(tmp_path / f"rows.{kind}", rows)
    assert rows[0].reason == "so?" and rows[0].inputs["output"] == "user: a?"
