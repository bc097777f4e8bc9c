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


def test_what_is_called_equal_are_scores_that_both_have(capsys):
    scores = [*[(3.0, 2.0, 2.0)] * 8, (3.0, None, None)]
    some = paired(texts(scores, 1), texts(scores, 2), ("tone",), POOLED)
    assert some.equal and "9" not in some.equal
    scores = [(3.0, None, None)] * 8
    none = paired(texts(scores, 1), texts(scores, 2), ("tone",), POOLED)
    assert not none.equal
    print_paired(none.as_dict(), ("A", "B"))
    assert "same scores" not in capsys.readouterr().out


@given(SCORES)
def test_the_difference_is_that_of_the_two_columns_on_the_texts_that_both_have_scored(scores):
    pairs = paired(texts(scores, 1), texts(scores, 2), ("tone",), POOLED)
    both = [row for row in scores if None not in row]
    assert pairs.compared == {"tone": len(both)}
    if both:
        alone = paired(texts(both, 1), texts(both, 2), ("tone",), POOLED)
        assert (alone.first, alone.second) == (pairs.first, pairs.second)
    for name, claim in pairs.claims.items():
        if claim.estimate is not None and pairs.first[name] is not None:
            difference = pairs.second[name] - pairs.first[name]
            assert claim.estimate == pytest.approx(difference, abs=1e-9)


def test_each_judges_texts_without_a_score_are_counted_by_kind():
    def text(number, score, **more):
        produced = {} if score is None else {"tone": score}
        return JudgedText(*(str(number), f"d{number}", {}, {}, {"tone": 3.0}, produced), **more)

    one = [text(number, 3.0) for number in range(9)]
    two = [text(0, None), text(1, None, disputed={"tone": "does not apply"}), *one[2:]]
    two[2] = replace(two[2], expected={}, produced={})  # nothing of its reply could be read
    again = [JudgedText.from_line(text.as_line()) for text in two]
    for other in (two, again):
        pairs = paired(one, other, ("tone",), POOLED, ("A", "B"))
        assert pairs.compared == {"tone": 6} and "6 on tone" in pairs.where
        (note,) = pairs.notes
        assert all(part in note for part in ("B", "3 rated", "tone", "2 unscored", "1 n/a"))
    assert paired(one, one, ("tone",), POOLED).notes == ()


def test_no_mean_takes_the_weights_of_one_of_two_judges():
    names = ("tone", "style")
    rows = [(1.0, 1.0, 5.0), (2.0, 3.0, 1.0), (3.0, 2.0, 3.0), (4.0, 4.0, 4.0), (5.0, 5.0, 5.0)]

    def scored(side):
        return [
            JudgedText(
                *(f"t{n}", f"d{n}", {}, {}, {"tone": row[0], "style": row[0]}),
                {"tone": row[side], "style": row[3 - side]},
            )
            for n, row in enumerate(rows)
        ]

    heavy = {"tone": 3.0, "style": 1.0}
    options = replace(POOLED, weights=heavy)
    same = paired(scored(1), scored(2), names, options, ("A", "B"), (heavy, heavy))
    differ = paired(scored(1), scored(2), names, options, ("A", "B"), ({"tone": 1.0}, heavy))
    plain = paired(scored(1), scored(2), names, POOLED, ("A", "B"))
    assert not same.notes and same.first["mean"] != plain.first["mean"]
    assert (differ.first, differ.claims) == (plain.first, plain.claims)
    (note,) = differ.notes
    assert all(part in note for part in ("A", "B", "tone 3", "tone 1"))
    assert not differ.weights


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
