"""Evaluation in Python: what the command line refuses is refused before any call."""

import math

import dspy
import pandas as pd
import pytest

from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import Criterion, MultiCriteriaJudge, Rubric, SetupError, as_metric
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table
from tests.engines import FunctionEngine, fake_lm, in_chat

RUBRIC = toy_rubric("fluency")
EXAMPLES = toy_examples(RUBRIC, 8)


def copied(criterion, **changes):
    fields = {
        name: getattr(criterion, name)
        for name in ("name", "definition", "scale", "levels", "human")
    }
    return Criterion(**fields | changes)


def rating(value):
    return [*EXAMPLES[:7], EXAMPLES[7].copy(human_fluency=value)]


def report(examples=EXAMPLES, judge=None, **options):
    engine = FunctionEngine(lambda _: in_chat({"fluency": len(engine.requests) % 5 + 1}))
    with dspy.context(lm=fake_lm(engine)):
        try:
            found = evaluation_report(judge or MultiCriteriaJudge(RUBRIC), examples, 1, **options)
        except SetupError:
            assert engine.requests == []
            raise
    return found


@pytest.mark.parametrize("value", [9, 0, -1, math.nan, math.inf, True, "4", pd.NA, [4]])
def test_a_rating_off_the_scale_is_refused_before_any_call(value):
    with pytest.raises(SetupError, match=r"'human_fluency'.* 8"):
        report(rating(value))


def test_an_example_without_its_rating_column_is_named():
    with pytest.raises(SetupError, match=r"'human_fluency'.* 3 "):
        report([*EXAMPLES[:2], EXAMPLES[2].without("human_fluency"), *EXAMPLES[3:]])


def test_a_missing_rating_is_left_out():
    assert report(rating(None))["criteria"]["fluency"]["missing"] == 1


@pytest.mark.parametrize("level", ["pooled", "group"])
@pytest.mark.parametrize("measure", ["spearman", "kendall", "qwk", "mae", "accuracy"])
def test_agreement_is_by_the_measure_that_is_asked_for(measure, level):
    grouped = [text.copy(group=str(place % 2)) for place, text in enumerate(EXAMPLES)]
    found = report(grouped, measure=measure, level=level)["criteria"]["fluency"]
    assert found["measure"] == measure
    width = RUBRIC["fluency"].scale.width
    expected = 1 - found["mae"] / width if measure == "mae" else found[measure]
    assert found["agreement"] == pytest.approx(expected)


def test_a_criterions_own_measure_wins():
    own = Rubric(RUBRIC.inputs, [copied(RUBRIC["fluency"], measure="accuracy")])
    found = report(judge=MultiCriteriaJudge(own), measure="qwk")["criteria"]["fluency"]
    assert found["measure"] == "accuracy" and found["agreement"] == found["accuracy"]


def test_a_mean_of_measures_of_two_kinds_is_refused_before_any_call():
    criteria = [RUBRIC["fluency"], Criterion("tone", "Is polite.", measure="mae")]
    examples = [text.copy(human_tone=3) for text in EXAMPLES]
    with pytest.raises(SetupError, match="fluency spearman, tone mae"):
        report(examples, MultiCriteriaJudge(Rubric(RUBRIC.inputs, criteria)))


def test_too_many_documents_for_kendall_are_refused_before_any_call(monkeypatch):
    monkeypatch.setattr("mogradjudge.objectives.rubric.MOST_PAIRED", 7)
    with pytest.raises(SetupError, match=r"'fluency'.* 7 .* 8\."):
        report(measure="kendall")
    assert report(measure="spearman")["documents"] == 8


def test_examples_may_come_from_a_generator():
    assert report(iter(EXAMPLES))["criteria"]["fluency"]["n"] == 8


@pytest.mark.parametrize("judge", [dspy.Predict("text -> fluency"), "judge.json"])
def test_what_is_no_judge_is_refused(judge, tmp_path):
    with pytest.raises(SetupError, match="`judge`"):
        report(judge=judge)
    with dspy.context(lm=fake_lm(FunctionEngine(str))), pytest.raises(SetupError, match="`judge`"):
        score_table(judge, tmp_path / "t.csv", tmp_path / "s.csv")


def test_what_is_no_budget_rubric_or_limit_is_refused():
    with pytest.raises(SetupError, match=r"`budget`.* 5"):
        report(budget=5)
    with pytest.raises(SetupError, match=r"`rubric`.*'rubric.toml'"):
        MultiCriteriaJudge("rubric.toml")
    with pytest.raises(SetupError, match=r"`max_rpm`.* 0"):
        ScoringOptions(max_rpm=0)
    with pytest.raises(SetupError, match="objectives"):
        as_metric([len])
