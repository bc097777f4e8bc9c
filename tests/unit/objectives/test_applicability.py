"""Criteria that need not apply: agreement over texts with both scores, and about applicability."""

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from mogradjudge import Criterion, NoCriterionRegression, NoMeanRegression, NotApplicable, Rubric
from mogradjudge.agreement.applicability import Applicability
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.objectives import as_metric, rubric_objectives
from mogradjudge.objectives.rubric import check_ratings
from mogradjudge.optimize.confirmation import confirmed
from mogradjudge.optimize.difference import agreements_on_both, difference_between
from mogradjudge.optimize.result import Measured
from mogradjudge.optimize.state import State
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.checks import check_scored
from mogradjudge.programs.evaluation import Judgement, agreement_of
from mogradjudge.programs.first_texts import FirstTexts
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.scoring.differing import differing
from mogradjudge.search.job import _score
from mogradjudge.stages.errors_made import errors_made
from mogradjudge.stages.gate import measures_less

TONE = Criterion("tone", "Is it kind?", (1, 5), na=True)
OBJECTIVES = rubric_objectives(Rubric(["text"], [TONE]))
(OBJECTIVE,) = OBJECTIVES
NA = NotApplicable()


def judged(*pairs):
    """Judge texts with these scores of people and judge."""
    judgements = []
    for number, (human, judge) in enumerate(pairs):
        example = dspy.Example(text=f"{number}", human_tone=human).with_inputs("text")
        prediction = dspy.Prediction(tone=judge)
        scores = {"tone": OBJECTIVE.scored(example, prediction)}
        judgements.append(Judgement(str(number), str(number), example, prediction, scores))
    return judgements


BOTH = [(1.0, 2), (2.0, 1), (3.0, 3), (5.0, 5)]
REST = [("n/a", NA), ("n/a", 4), (4.0, NA), (None, 2), (2.0, Unscored("?"))]


def test_agreement_is_over_the_texts_that_both_have_scored():
    agreement = agreement_of(judged(*BOTH, *REST), OBJECTIVES)
    assert agreement.by_criterion == agreement_of(judged(*BOTH), OBJECTIVES).by_criterion
    assert agreement.applicability["tone"] == Applicability(1, 1, 1, 4)
    counts = (agreement.scored, agreement.unscored, agreement.missing)
    assert [count["tone"] for count in counts] == [4, 1, 1]
    assert agreement.deviations == agreement_of(judged(*BOTH), OBJECTIVES).deviations


def test_texts_that_it_does_not_apply_to_do_not_change_a_difference():
    pairs = [[(human, judge) for (human, _), (_, judge) in zip(BOTH, order, strict=True)]
             for order in (BOTH, BOTH[::-1])]  # fmt: skip
    ours = difference_between(*(judged(*it, ("n/a", NA)) for it in pairs), OBJECTIVES)
    plain = difference_between(*(judged(*it) for it in pairs), OBJECTIVES)
    assert ours.values == plain.values


@pytest.mark.parametrize("gate", [NoMeanRegression(), NoCriterionRegression(0.5)])
def test_a_judge_that_says_so_of_hard_texts_is_refused(gate):
    hard = [(1.0, 5), (5.0, 1)]
    before = agreement_of(judged(*BOTH, *hard), OBJECTIVES)
    after = agreement_of(judged(*BOTH, *((human, NA) for human, _ in hard)), OBJECTIVES)
    assert after.mean > before.mean  # on the rest
    assert measures_less(before, after) and not gate(before, after)
    assert gate(after, after)


@pytest.mark.parametrize("lost", [NA, Unscored("?")])
@pytest.mark.parametrize("required", [False, True])
def test_none_is_confirmed_that_leaves_more_texts_without_a_score(lost, required):
    honest = [(float(1 + number % 5), 1 + (number * 7 % 3 + number) % 5) for number in range(30)]
    picky = [(human, lost if abs(human - judge) > 1 else judge) for human, judge in honest]
    more = sum(judge is lost for _, judge in picky)
    result = confirmed(judged(*honest), judged(*picky), OBJECTIVES, required=required)
    assert (result.verdict, result.takes_back) == ("not confirmed", True)
    assert result.difference == pytest.approx(0, abs=1e-12)  # the same scores where both have one
    counts = result.as_dict()
    kind = "not_applicable" if lost is NA else "unscored"
    assert counts[kind] == {"seed": {"tone": 0}, "best": {"tone": more}}
    assert all(part in result.describe() for part in (f"{more} more of 30", "tone"))
    assert result.best.mean - result.seed.mean == pytest.approx(result.difference)


def test_one_that_leaves_fewer_without_a_score_is_measured_where_both_have_one():
    before = judged(*((human, NA if human > 4 else judge) for human, judge in BOTH), (3.0, 2))
    after = judged(*BOTH, (3.0, 2))
    first, second = agreements_on_both(before, after, OBJECTIVES)
    assert first.by_criterion == second.by_criterion
    assert (first.lost["tone"], second.lost["tone"]) == (1, 0)
    assert agreements_on_both(after, after, OBJECTIVES)[0] == agreement_of(after, OBJECTIVES)


def test_a_judge_that_says_so_where_people_do_loses_nothing():
    before = agreement_of(judged(*BOTH, ("n/a", 5)), OBJECTIVES)
    after = agreement_of(judged(*BOTH, ("n/a", NA)), OBJECTIVES)
    assert NoMeanRegression()(before, after)


def test_a_metric_gives_the_best_score_where_both_say_so_and_the_worst_where_one_does():
    metric = as_metric(OBJECTIVES)
    scores = [metric(it.example, it.prediction).score for it in judged(*REST[:3])]
    assert scores == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ["pair", "sides"],
    [(("n/a", 4), ("people: does not apply", "judge: 4")),
     ((4.0, NA), ("people: 4.0", "judge: does not apply"))],
)  # fmt: skip
def test_the_critic_is_told_who_says_so(pair, sides):
    (judgement,) = judged(pair)
    shown = OBJECTIVE.shown(judgement.example, judgement.prediction)
    assert all(side in shown["error"] for side in sides)


def test_the_critic_sees_no_error_where_both_say_so():
    (judgement,) = judged(("n/a", NA))
    assert OBJECTIVE.shown(judgement.example, judgement.prediction)["error"] == "none"


def test_the_coach_is_told_how_often():
    lines = errors_made(OBJECTIVES, [], judged(*BOTH, *REST))["tone"]
    (line,) = lines.values()
    assert "1 that the criterion does not apply to, as only people said" in line
    assert "1 that the criterion does not apply to, as only the judge said" in line
    assert "1 without a usable result" in line


def test_a_report_has_the_reason_of_a_disagreement():
    texts = JudgedText.all_of(judged(*BOTH, *REST), OBJECTIVES)
    rows = [it for it in differing(texts, ("tone",), {}) if it.difference is None]
    assert [(it.human, it.judge) for it in rows] == [(None, 4), (4.0, None), (2.0, None)]
    assert rows[1].unscored == NA.reason and "people" in rows[0].unscored
    assert [bool(text.unscored) for text in texts].count(True) == 1


def test_a_judge_that_says_so_of_all_first_texts_was_read():
    judgements = judged(*[(4.0, NA)] * 3)
    check_scored(judgements, "validation")
    first = FirstTexts(count=1)
    first.see(judgements[0].prediction, judgements[0].scores.values())


def test_a_run_keeps_the_counts():
    agreement = agreement_of(judged(*BOTH, *REST), OBJECTIVES)
    state = State(measured=(Measured(0, Candidate({}), agreement),))
    assert State.from_dict(state.as_dict()).measured[0].agreement == agreement


def test_a_search_keeps_no_score_of_what_does_not_apply():
    assert [_score(it, "tone") for it in judged(*REST[:3])] == [None, 4.0, None]


@pytest.mark.parametrize("cell", ["n/a", "N/A", "not applicable", "-", "na"])
def test_a_hand_made_example_may_say_so(cell):
    rubric = Rubric(["text"], [TONE])
    check_ratings([dspy.Example(text="a", human_tone=cell)], rubric, "`valset`")
    with pytest.raises(SetupError, match="human_tone"):
        plain = Rubric(["text"], [Criterion("tone", "Is it kind?", (1, 5))])
        check_ratings([dspy.Example(text="a", human_tone=cell)], plain, "`valset`")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_kappa_is_sklearns(pairs):
    ours = Applicability.of(pairs).kappa
    if len({side for pair in pairs for side in pair}) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))
