"""Objectives as one metric: a number, a yes or no, or feedback, by the way that it is asked."""

import inspect
import pickle
from statistics import fmean

import dspy
import pytest

from benchmarks.worlds.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric
from mogradjudge import (
    MultiCriteriaJudge,
    Objective,
    SetupError,
    Unscored,
    as_metric,
    judge_examples,
    objectives_from_metric,
    rubric_objectives,
)
from mogradjudge.objectives import feedback_on

RUBRIC = planted_rubric("coherence", "fluency")
EXAMPLES = planted_examples(RUBRIC, documents=4, systems=3)
OBJECTIVES = rubric_objectives(RUBRIC)
GOLD = EXAMPLES[0].copy(human_coherence=3.0, human_fluency=2.0)


def judged(coherence, fluency):
    return dspy.Prediction(coherence=coherence, fluency=fluency)


# A number


@pytest.mark.parametrize("threads", [1, 4])
def test_evaluate_gives_the_mean_of_our_scores(threads):
    with dspy.context(lm=planted_lm(PlantedWorld())):
        judge = MultiCriteriaJudge(RUBRIC)
        ours = judge_examples(judge, EXAMPLES, OBJECTIVES, threads)
        theirs = dspy.Evaluate(devset=EXAMPLES, metric=as_metric(OBJECTIVES), num_threads=threads)(
            judge
        )
    means = [fmean(each.scores.values()) for each in ours]
    assert [float(score) for _, _, score in theirs.results] == means
    assert theirs.score == round(100 * fmean(means), 2)
    assert 0 < theirs.score < 100


def test_one_objective_is_a_metric_too():
    result = OBJECTIVES[0].as_metric()(GOLD, judged(4, 2))
    assert (result.score, result.objective_scores) == (0.75, {"coherence": 0.75})


def test_one_objective_in_the_place_of_several_is_one_line():
    with pytest.raises(SetupError, match=r"must be a list of objectives, got .*as_metric\(\)"):
        as_metric(OBJECTIVES[0])


@pytest.mark.parametrize("failure_score", [0.0, 0.25])
def test_an_unscored_objective_counts_the_failure_score_and_says_so(failure_score):
    metric = as_metric(OBJECTIVES, failure_score=failure_score)
    result = metric(GOLD, judged(3, Unscored("no number")))
    assert result.objective_scores == {"coherence": 1.0, "fluency": failure_score}
    assert result.score == (1.0 + failure_score) / 2
    assert "fluency: no score (human score 2.0, judge score none, no number)" in result.feedback
    failed = metric(GOLD, None)  # as SIMBA calls it for a program that raised
    assert (failed.score, set(failed.objective_scores)) == (failure_score, {"coherence", "fluency"})
    assert "failed" in failed.feedback


def test_a_missing_human_score_is_left_out_of_all():
    result = as_metric(OBJECTIVES)(GOLD.copy(human_fluency=None), judged(4, 1))
    assert (result.score, result.objective_scores) == (0.75, {"coherence": 0.75})
    assert "fluency" not in result.feedback


def test_an_example_without_any_human_score_is_refused_in_one_line():
    unrated = GOLD.copy(human_fluency=None, human_coherence=None)
    with pytest.raises(SetupError, match=r"Nothing to score .* for any of coherence, fluency"):
        as_metric(OBJECTIVES)(unrated, judged(4, 1))


# A yes or no


@pytest.mark.parametrize(["fluency", "good"], [(2, True), (4, True), (5, False)])
def test_with_a_trace_it_says_whether_an_example_is_good_enough_to_be_shown(fluency, good):
    prediction = judged(3, fluency)  # 1.0, 0.75 and 0.625
    assert as_metric(OBJECTIVES)(GOLD, prediction, []) is good


def test_without_a_threshold_a_trace_gets_the_score():
    assert as_metric(OBJECTIVES, threshold=None)(GOLD, judged(3, 5), []) == 0.625


# Feedback


def test_feedback_says_for_each_criterion_by_how_much_the_judge_is_off():
    result = as_metric(OBJECTIVES)(GOLD, judged(5, 2), [], "self", None)
    assert result.feedback.splitlines() == [
        "coherence: judge 2.0 too high (judge score 5, human score 3.0)",
        "fluency: no error (judge score 2, human score 2.0)",
    ]
    assert result.score == 0.75


@pytest.mark.parametrize(
    ["layout", "asked"],
    [
        ("separate", {"coherence": ["coherence"], "fluency": ["fluency"]}),
        ("combined", {"all": ["coherence", "fluency"]}),
    ],
)
def test_a_judges_predictor_gets_the_feedback_on_its_own_criteria(layout, asked):
    metric = as_metric(OBJECTIVES)
    judge = MultiCriteriaJudge(RUBRIC, layout=layout)
    result = {
        name: metric(GOLD, judged(5, 4), [], f"judges['{name}']", [(predictor, {}, {})])
        for name, predictor in judge.judges.items()
    }
    named = {
        name: [line.split(":")[0] for line in each.feedback.splitlines()]
        for name, each in result.items()
    }
    assert named == asked
    assert {each.score for each in result.values()} == {0.5}  # GEPA knows the whole program's alone


def test_a_predictor_without_anything_to_compare_is_told_so():
    predictor = MultiCriteriaJudge(RUBRIC, layout="separate").judges["fluency"]
    result = as_metric(OBJECTIVES)(
        GOLD.copy(human_fluency=None), judged(5, 2), [], "fluency", [(predictor, {}, {})]
    )
    assert result.feedback == "There is nothing to compare this result with."


def test_objectives_that_show_no_error_tell_their_score():
    right = Objective("right", "Is it right?", score=lambda example, made: 0.5)
    made = dspy.Prediction(answer="5")
    gold = dspy.Example(question="2 + 2?", answer="4").with_inputs("question")
    said = "right: score 0.50 (expected {'answer': '4'}, produced {'answer': '5'})"
    assert feedback_on([right], gold, made) == said


# What optimizers ask of a metric besides


def test_it_takes_the_five_arguments_of_gepa_by_position_and_by_name():
    metric = as_metric(OBJECTIVES)
    names = ["gold", "pred", "trace", "pred_name", "pred_trace"]
    assert list(inspect.signature(metric).parameters) == names
    inspect.signature(metric).bind(*[None] * 5)
    assert metric.__name__ == "coherence_and_fluency"


def test_it_is_pickled_and_compared_by_its_settings():
    metric = as_metric(OBJECTIVES, threshold=0.5)
    again = pickle.loads(pickle.dumps(metric))
    assert again(GOLD, judged(4, 1)).toDict() == metric(GOLD, judged(4, 1)).toDict()
    assert metric == as_metric(OBJECTIVES, threshold=0.5) != as_metric(OBJECTIVES)


def test_a_metric_goes_there_and_back():
    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        scores = {"right": float(gold.answer == pred.answer), "brief": 0.5}
        return dspy.Prediction(score=0.0, feedback="Well done.", objective_scores=scores)

    there = objectives_from_metric(metric, {"right": "Is it right?", "brief": "Is it brief?"})
    gold = dspy.Example(question="2 + 2?", answer="4").with_inputs("question")
    back = as_metric(there)(gold, dspy.Prediction(answer="4"))
    assert (back.score, back.objective_scores) == (0.75, {"right": 1.0, "brief": 0.5})
    assert (
        "right: score 1.00 (score 1 on a scale from 0 to 1, feedback Well done.," in back.feedback
    )


@pytest.mark.parametrize(
    ["objectives", "settings", "said"],
    [
        ([], {}, r"needs objectives, each with its own name, got \[\]"),
        (OBJECTIVES[:1] * 2, {}, "each with its own name, got .*coherence"),
        (OBJECTIVES, {"threshold": 75}, r"`threshold` must be in \[0, 1\], got 75"),
        (OBJECTIVES, {"failure_score": float("nan")}, "`failure_score` must be a number, got nan"),
        (OBJECTIVES, {"failure_score": None}, "`failure_score` must be a number, got None"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_the_metric_is_made(objectives, settings, said):
    with pytest.raises(SetupError, match=said):
        as_metric(objectives, **settings)
