"""Every mean over criteria has the rubric's weights: 2 is two equal criteria, 0 is none."""

from math import isclose

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge import Criterion, NoMeanRegression, Objective, Rubric
from mogradjudge.agreement import TestOptions, compare_criteria, reported_intervals
from mogradjudge.agreement.selection_bias import resampled_means
from mogradjudge.agreement.weighted_mean import mean_of, means_of
from mogradjudge.composition.front import Point
from mogradjudge.errors import SetupError
from mogradjudge.objectives import as_metric, rubric_objectives
from mogradjudge.objectives.human_agreement import agreement_options
from mogradjudge.optimize.confirmation import confirmed
from mogradjudge.optimize.difference import difference_between
from mogradjudge.optimize.result import Measured
from mogradjudge.optimize.selection import corrected_gain
from mogradjudge.optimize.state import State
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Judgement, agreement_of
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.scoring.paired import paired

NUMBERS = st.floats(-1, 1)
VALUES = st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=9)
RNG = np.random.default_rng(0)
GROUPS = [f"d{n // 3}" for n in range(36)]
HUMAN = {name: RNG.integers(1, 6, 36).tolist() for name in "ab"}
JUDGES = [
    {name: np.clip(np.array(HUMAN[name]) + RNG.integers(-k, k + 1, 36), 1, 5).tolist()
     for k, name in zip(noise, "ab", strict=True)}
    for noise in ((3, 1), (1, 3))
]  # fmt: skip


def named(values):
    return {f"c{place}": value for place, value in enumerate(values)}


@given(VALUES, st.floats(1e-300, 1e300))
def test_equal_weights_of_any_size_are_no_weights(values, weight):
    weights = dict.fromkeys(named(values), weight)
    assert mean_of(named(values), weights) == mean_of(named(values))
    columns = {name: np.array([value], float) for name, value in named(values).items()}
    assert np.array_equal(means_of(columns, weights), means_of(columns), equal_nan=True)
    known = [value for value in values if value is not None]
    assert mean_of(named(values)) == (sum(known) / len(known) if known else None)


@given(VALUES)
def test_a_weight_of_two_is_the_criterion_twice_and_one_of_zero_is_none(values):
    twice, weighted = mean_of(named([values[0], *values])), mean_of(named(values), {"c0": 2.0})
    assert twice == weighted or isclose(twice, weighted, abs_tol=1e-12)
    assert mean_of(named(values), {"c0": 0.0}) == mean_of(named(values[1:]))


def rubric(**weights):
    """Name criteria by the scores that they have: `a1` and `a2` have those of `a`."""
    criteria = (Criterion(name, "Good?", weight=it) for name, it in weights.items())
    return Rubric(["text"], list(criteria))


def columns(scores, of):
    return {name: scores[name[0]] for name in of.names}


def judged(judge, of):
    judgements = []
    for place, group in enumerate(GROUPS):
        humans = {f"human_{name}": HUMAN[name[0]][place] for name in of.names}
        example = dspy.Example(text=str(place), **humans).with_inputs("text")
        prediction = dspy.Prediction(**{it: judge[it[0]][place] for it in of.names})
        scores = {it.name: it.scored(example, prediction) for it in rubric_objectives(of)}
        judgements.append(Judgement(str(place), group, example, prediction, scores))
    return judgements


def agreements(of):
    return [agreement_of(judged(judge, of), rubric_objectives(of)) for judge in JUDGES]


def of_interval(of):
    options = agreement_options(of)
    interval = reported_intervals(
        columns(HUMAN, of), columns(JUDGES[0], of), GROUPS, options=options
    )["mean"]
    return interval.low, interval.high


def of_test(level):
    def mean(of):
        arms = (columns(judge, of) for judge in JUDGES)
        found = compare_criteria(columns(HUMAN, of), *arms, GROUPS, agreement_options(of, level))
        return found.mean.difference, found.mean.p_value, found.mean.low

    return mean


def of_resamples(of):
    judges = [columns(judge, of) for judge in JUDGES]
    return resampled_means(columns(HUMAN, of), judges, GROUPS, agreement_options(of))[:50].ravel()


def of_pairs(of):
    texts = [JudgedText.all_of(judged(judge, of), rubric_objectives(of)) for judge in JUDGES]
    pairs = paired(*texts, of.names, agreement_options(of))
    return pairs.first["mean"], pairs.claims["mean"].estimate


def of_difference(of):
    judgements = [judged(judge, of) for judge in JUDGES]
    difference = difference_between(*judgements, rubric_objectives(of))
    sure = confirmed(*judgements, rubric_objectives(of))
    return difference.mean, difference.errors["mean"], sure.difference, *sure.interval


def of_state(of):
    state = State(measured=tuple(Measured(0, Candidate({}), it) for it in agreements(of)))
    again = State.from_dict(state.as_dict())
    return [it.agreement.mean for it in (*again.measured, state.best)]


def of_metric(of):
    metric = as_metric(rubric_objectives(of))
    return [metric(it.example, it.prediction).score for it in judged(JUDGES[0], of)]


MEANS = {
    "agreement": lambda of: [it.mean for it in agreements(of)],
    "result.json": lambda of: [it.as_dict()["mean"] for it in agreements(of)],
    "mean over both": lambda of: agreements(of)[0].mean_over(agreements(of)[1]),
    "interval": of_interval,
    "test within documents": of_test("group"),
    "test over all texts": of_test("pooled"),
    "resamples": of_resamples,
    "compare": of_pairs,
    "race and confirmation": of_difference,
    "choice": of_state,
    "metric": of_metric,
    "composition": lambda of: (
        Point(
            (of.names,),
            "combined",
            {it: {"a": 0.5, "b": -0.1}[it[0]] for it in of.names},
            of.weights,
        ).mean
    ),
    "gain after choosing": lambda of: corrected_gain(
        [judged(judge, of) for judge in JUDGES],
        int(np.argmax([it.mean for it in agreements(of)])),
        rubric_objectives(of),
    ),
}


@pytest.mark.parametrize("mean", MEANS.values(), ids=MEANS)
def test_each_mean_has_the_weights(mean):
    weighted, twice = mean(rubric(a=2, b=1)), mean(rubric(a1=1, a2=1, b=1))
    assert weighted == pytest.approx(twice)
    assert weighted != pytest.approx(mean(rubric(a=1, b=1)))
    assert mean(rubric(a=1, b=0)) == pytest.approx(mean(rubric(a=1)))
    assert np.array_equal(mean(rubric(a=7, b=7)), mean(rubric(a=1, b=1)))


def test_the_gate_decides_by_the_weights():
    gate = NoMeanRegression()
    first, second = agreements(rubric(a=1, b=1))
    assert second.by_criterion["a"] > first.by_criterion["a"]
    assert second.by_criterion["b"] < first.by_criterion["b"]
    assert gate(*agreements(rubric(a=9, b=1)))
    assert not gate(*agreements(rubric(a=1, b=9)))


def test_an_objective_of_any_program_has_a_weight():
    def scored(name, score, weight=1.0):
        return Objective(name, "Good.", lambda example, prediction: score, weight=weight)

    example = dspy.Example(text="a").with_inputs("text")
    objectives = [scored("right", 1.0, 3.0), scored("short", 0.0)]
    assert as_metric(objectives)(example, dspy.Prediction()).score == 0.75
    judgement = Judgement("1", "1", example, None, {"right": 1.0, "short": 0.0})
    assert agreement_of([judgement], objectives).mean == 0.75
    with pytest.raises(SetupError, match=r"'right'.*-1"):
        scored("right", 1.0, -1)
    with pytest.raises(SetupError, match="right"):
        as_metric([scored("right", 1.0, 0)])(example, dspy.Prediction())


def test_weights_of_a_test_are_finite():
    with pytest.raises(SetupError, match="inf"):
        TestOptions(weights={"a": float("inf")})
