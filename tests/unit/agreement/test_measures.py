"""Measures of a judge against sklearn, krippendorff and plain loops."""

import math
from dataclasses import fields
from itertools import combinations

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from mogradjudge.agreement import (
    Undefined,
    alpha_of_raters,
    bias,
    calibrate_epsilon,
    correlate,
    krippendorff_alpha,
    mean_absolute_error,
    measures,
    pair_accuracy,
    pair_accuracy_constant,
    quadratic_kappa,
)
from mogradjudge.errors import SetupError
from ratings import scores

THIRDS = st.integers(3, 15).map(lambda thirds: thirds / 3)  # means of three raters
PAIRS = st.lists(st.tuples(THIRDS, st.integers(1, 5)), min_size=1, max_size=30)
GROUPED = st.lists(
    st.tuples(THIRDS, st.floats(1, 5).map(lambda x: round(x, 1)), st.sampled_from("abc")),
    max_size=25,
)


def half_up(values):
    return [math.floor(value + 0.5) for value in values]


@given(PAIRS)
def test_kappa_is_sklearns(pairs):
    human, judge = half_up(a for a, _ in pairs), [b for _, b in pairs]
    found = quadratic_kappa([a for a, _ in pairs], judge)
    if len(set(human)) == 1:
        assert found == Undefined("all rounded human scores are equal")
    else:
        expected = cohen_kappa_score(human, judge, weights="quadratic", labels=[1, 2, 3, 4, 5])
        assert found == pytest.approx(expected, abs=1e-12)


@given(PAIRS)
def test_alpha_is_krippendorffs(pairs):
    human, judge = [a for a, _ in pairs], [float(b) for _, b in pairs]
    found = krippendorff_alpha(human, judge)
    if len({*human, *judge}) == 1:
        assert found == Undefined("all scores are equal")
    else:
        expected = krippendorff.alpha([human, judge], level_of_measurement="ordinal")
        assert found == pytest.approx(expected, abs=1e-9)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcd"), st.integers(1, 5), min_size=0, max_size=4),
        min_size=1,
        max_size=20,
    )
)
def test_alpha_of_raters_is_krippendorffs_with_gaps(texts):
    shared = [scores for text in texts if len(text) > 1 for scores in text.values()]
    alpha = alpha_of_raters(texts)
    if len(set(shared)) < 2:
        assert isinstance(alpha, Undefined)
    else:
        table = [[text.get(rater, np.nan) for text in texts] for rater in "abcd"]
        expected = krippendorff.alpha(table, level_of_measurement="ordinal")
        assert alpha == pytest.approx(expected, abs=1e-9)


def right(a, b, epsilon):
    tied = abs(b) <= epsilon
    return tied if a == 0 else (not tied and (a > 0) == (b > 0))


def differences(rows):
    return [
        (one[0] - other[0], one[1] - other[1])
        for one, other in combinations(rows, 2)
        if one[2] == other[2]
    ]


@given(GROUPED, st.sampled_from([0.0, 0.3, 1.0]))
def test_pairs_are_counted_within_groups(rows, epsilon):
    human, judge, groups = ([row[place] for row in rows] for place in range(3))
    pairs = differences(rows)
    found = pair_accuracy(human, judge, groups, epsilon=epsilon)
    constant = pair_accuracy_constant(human, groups)
    if not pairs:
        assert isinstance(found, Undefined) and isinstance(constant, Undefined)
        return
    assert found == pytest.approx(sum(right(a, b, epsilon) for a, b in pairs) / len(pairs))
    assert constant == pytest.approx(sum(a == 0 for a, _ in pairs) / len(pairs))


@given(GROUPED)
def test_the_calibrated_epsilon_is_the_best_and_smallest(rows):
    human, judge, groups = ([row[place] for row in rows] for place in range(3))
    pairs = differences(rows)
    assume(pairs)
    counts = {
        epsilon: sum(right(a, b, epsilon) for a, b in pairs)
        for epsilon in {0.0, *(abs(b) for _, b in pairs)}
    }
    best = max(counts.values())
    assert calibrate_epsilon(human, judge, groups) == min(e for e, n in counts.items() if n == best)


def test_pairs_of_a_large_table_are_taken_some_at_a_time(monkeypatch):
    human, judge, _ = scores(10, 10, seed=0)
    whole = pair_accuracy(human, judge)
    monkeypatch.setattr("mogradjudge.agreement.coefficients.CELLS", 250)
    assert pair_accuracy(human, judge) == whole


def test_a_constant_judge_is_right_on_ties_and_has_no_skill():
    human = [5, 5, 5, 4]
    found = measures(human, [5, 5, 5, 5], (1, 5))
    assert found.pair_accuracy == found.pair_accuracy_constant == 0.5
    assert found.skill == found.spearman == found.qwk == 0.0
    assert (found.mae, found.bias) == (0.25, 0.25)
    same = measures([5, 5, 5], [5, 4, 5], (1, 5))
    assert same.skill == Undefined("humans scored the texts of each pair equally")


def test_a_perfect_judge_has_all_of_it():
    human = [1, 2, 2, 5]
    found = measures(human, human, (1, 5), ["a"] * 4)
    perfect = ("coverage", "spearman", "kendall", "pearson", "qwk", "alpha", "pair_accuracy")
    assert [getattr(found, name) for name in (*perfect, "skill")] == pytest.approx([1.0] * 8)
    assert (found.mae, found.bias, found.n, found.scored) == (0.0, 0.0, 4, 4)


def test_rank_is_blind_to_leniency_and_distance_is_not():
    human, judge, _ = scores(30, 8, seed=2)
    strict = np.minimum(judge, 4)
    plain, lenient = (measures(human, each, (1, 5)) for each in (strict, strict + 1))
    assert plain.spearman == lenient.spearman
    assert lenient.bias == pytest.approx(plain.bias + 1)
    assert lenient.mae > plain.mae and lenient.qwk < plain.qwk and lenient.alpha < plain.alpha


def test_unscored_and_unrated_texts_are_counted_and_left_out():
    human, judge = [1, 2, 3, 4, None, 5], [1, None, 3, 5, 2, 4]
    found = measures(human, judge, (1, 5), list("aabbcc"))
    assert (found.n, found.scored, found.coverage) == (5, 4, 0.8)
    assert found.spearman == correlate([1, 3, 4, 5], [1, 3, 5, 4]).value
    nothing = measures([None], [1], (1, 5))
    assert nothing.coverage == Undefined("no text is rated") and nothing.n == 0
    numbers = {field.name for field in fields(nothing)} - {"n", "scored", "epsilon", "calibrated"}
    assert all(isinstance(getattr(nothing, name), Undefined) for name in numbers)


def test_level_and_constant_are_those_of_correlate():
    human, judge, groups = scores(8, 5, seed=1)
    found = measures(human, judge, (1, 5), groups, level="group", constant="drop")
    for method in ("spearman", "kendall", "pearson"):
        how = {"method": method, "level": "group", "constant": "drop"}
        assert getattr(found, method) == correlate(human, judge, groups, **how).value


def test_ties_are_calibrated_on_other_texts_and_only_for_scores_that_are_not_whole():
    human, judge, groups = scores(20, 8, seed=1, levels=0)
    human_dev, judge_dev, groups_dev = scores(20, 8, seed=2, levels=0)
    judge, judge_dev = (np.clip(3 + each, 1, 5) for each in (judge, judge_dev))
    human, human_dev = (np.where(each > 3, 5, 4) for each in (human, human_dev))  # many ties
    dev = (human_dev, judge_dev, groups_dev)
    raw = measures(human, judge, (1, 5), groups)
    found = measures(human, judge, (1, 5), groups, calibrate_on=dev)
    assert (raw.epsilon, raw.calibrated) == (0.0, False)
    assert found.calibrated and found.epsilon == calibrate_epsilon(*dev) > 0
    assert found.pair_accuracy == pair_accuracy(human, judge, groups, epsilon=found.epsilon)
    assert found.pair_accuracy > raw.pair_accuracy
    whole = measures(human, np.round(judge), (1, 5), groups, calibrate_on=dev)
    assert (whole.epsilon, whole.calibrated) == (0.0, False)
    ungrouped = measures(human, judge, (1, 5), calibrate_on=dev[:2])
    assert ungrouped.epsilon == calibrate_epsilon(*dev[:2])


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (lambda: measures([1, 6], [1, 2], (1, 5)), r"`human` must lie on the scale 1 to 5, got 6"),
        (lambda: measures([1, 2], [1, 0], (1, 5)), r"`judge` must lie on the scale 1 to 5, got 0"),
        (lambda: measures([1, 2], [1, 2], (5, 1)), r"`scale` must rise, low < high, got \(5, 1\)"),
        (lambda: measures([1, 2], [1], (1, 5)), "human, judge and groups must have one length"),
        (lambda: measures([1, 2], [1, 2], (1, 5), level="group"), "`groups` must be given"),
        (
            lambda: measures([1, 2], [1, 1.5], (1, 5), ["a", "a"], calibrate_on=([1], [2])),
            "`calibrate_on` must hold human scores and judge scores, and groups if",
        ),
        (lambda: pair_accuracy([1], [1], epsilon=-1), "`epsilon` must be >= 0, got -1"),
        (lambda: bias([1, 2], [1]), "human and judge must have one length"),
        (lambda: mean_absolute_error([1, None], [1, 2]), "`human` must .*finite numbers"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(SetupError, match=message):
        call()
