"""Coefficients of groups and of weighted samples, against scipy and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from mogradjudge.agreement import (
    TestOptions,
    Undefined,
    bootstrap_criteria,
    compare,
    correlate,
    document_values,
)
from mogradjudge.agreement.coefficients import group_values
from mogradjudge.agreement.weighted_correlation import weighted_values
from mogradjudge.errors import SetupError
from ratings import METHODS, SCIPY, scores

ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from("abcd")), max_size=40
)


def value_of(human, judge, method, constant="zero"):
    """Say by scipy and the policy what a set of scores is worth; nan is undefined."""
    if len(human) < 3 or len(set(human)) == 1:
        return np.nan
    if len(set(judge)) == 1:
        return 0.0 if constant == "zero" else np.nan
    return SCIPY[method](human, judge).statistic


LEVELS = list(range(6))
ORACLES = {
    "qwk": lambda x, y: cohen_kappa_score(x, y, labels=LEVELS, weights="quadratic"),
    "mae": lambda x, y: 1 - mean_absolute_error(x, y) / 4,
    "accuracy": accuracy_score,
}
MORE = pytest.mark.parametrize("method", ORACLES)


def sklearn_of(human, judge, method):
    """Say by scikit-learn what a set of scores is worth; nan is undefined."""
    if not len(human) or (method == "qwk" and len(set(human)) == 1):
        return np.nan
    return ORACLES[method](human, judge)


@MORE
@given(rows=ROWS)
def test_other_measures_are_scikit_learns(method, rows):
    human, judge, groups = ([row[place] for row in rows] for place in range(3))
    pooled = correlate(human, judge, method=method, width=4).value
    expected = sklearn_of(human, judge, method)
    assert (
        isinstance(pooled, Undefined) if np.isnan(expected) else pooled == pytest.approx(expected)
    )
    by_group = {
        name: sklearn_of(*zip(*[row[:2] for row in rows if row[2] == name], strict=True), method)
        for name in sorted(set(groups))
    }
    found = document_values(human, judge, groups, options=TestOptions(method, width=4))
    assert found == pytest.approx({k: v for k, v in by_group.items() if not np.isnan(v)})
    if found:
        value = correlate(human, judge, groups, method=method, level="group", width=4).value
        assert value == pytest.approx(np.mean(list(found.values())))


@MORE
def test_a_weighted_value_of_other_measures_is_that_of_the_texts_repeated(method):
    human, judge, _ = scores(12, 6, seed=3)
    codes = np.repeat(np.arange(12), 6)
    weights = np.random.default_rng(1).integers(0, 3, size=(40, 12)).astype(float)
    weights[0] = 0
    weights[1] = np.arange(12) == 0  # humans are constant there
    found = weighted_values(human, judge, codes, weights, TestOptions(method, width=4))
    for row, value in zip(weights, found, strict=True):
        texts = np.repeat(np.arange(len(human)), row[codes].astype(int))
        assert value == pytest.approx(sklearn_of(human[texts], judge[texts], method), nan_ok=True)


@pytest.mark.parametrize("method", [*SCIPY, *ORACLES])
@pytest.mark.parametrize("level", ["group", "pooled"])
def test_a_better_judge_wins_by_every_measure_and_in_any_order(method, level):
    human, judge, groups = scores(24, 6, seed=9)
    better = np.where(np.arange(len(human)) % 2, judge, human)
    how = TestOptions(method, level, width=4, flips=500, resamples=200)
    found = compare(human, better, judge, groups, how)
    assert found.difference > 0 and found.low > 0 and found.p_value < 0.05
    order = np.random.default_rng(0).permutation(len(human))
    shuffled = [column[order] for column in (human, better, judge)]
    again = compare(*shuffled, [groups[place] for place in order], how)
    assert again.difference == pytest.approx(found.difference) and again.p_value == found.p_value
    interval = bootstrap_criteria({"a": human}, {"a": judge}, groups, how)["a"]
    value = correlate(human, judge, groups, method=method, level=level, width=4).value
    assert how.lowest <= interval.low < value < interval.high <= 1


def test_a_rank_coefficient_cannot_see_what_the_others_see():
    human, strict = [2, 3, 4, 5, 3, 4], [1, 2, 3, 4, 2, 3]
    assert correlate(human, strict).value == pytest.approx(1)
    assert correlate(human, strict, method="mae", width=4).value == 0.75
    assert correlate(human, strict, method="accuracy").value == 0
    assert correlate(human, strict, method="qwk").value < 0.7


def test_measures_that_round_round_halves_up():
    assert correlate([2.5, 3.4, 4], [3, 3, 4], method="accuracy").value == 1
    assert correlate([2.5, 3.4, 4], [3, 3, 4], method="qwk").value == 1
    assert correlate([2.5, 3.4, 4], [3, 3, 4], method="mae", width=1).value == pytest.approx(0.7)


@pytest.mark.parametrize("method", ORACLES)
def test_a_measure_without_a_text_has_none(method):
    assert isinstance(correlate([], [], method=method, width=4).value, Undefined)
    assert isinstance(correlate([], [], [], level="group", method=method, width=4).value, Undefined)


def test_a_mean_is_of_measures_of_one_kind():
    TestOptions(by_criterion={"tone": ("qwk", 4), "length": ("spearman", 4)})
    with pytest.raises(SetupError, match="tone qwk, length mae"):
        TestOptions(by_criterion={"tone": ("qwk", 4), "length": ("mae", 4)})
    with pytest.raises(SetupError, match="width"):
        correlate([1, 2], [1, 2], method="mae")


@METHODS
@pytest.mark.parametrize("constant", ["zero", "drop"])
@given(rows=ROWS)
def test_group_values_are_scipys(method, constant, rows):
    human, judge, groups = ([row[place] for row in rows] for place in range(3))
    found = document_values(human, judge, groups, method=method, constant=constant)
    expected = {
        name: value_of(
            [a for a, _, each in rows if each == name],
            [b for _, b, each in rows if each == name],
            method,
            constant,
        )
        for name in sorted(set(groups))
    }
    assert found == pytest.approx({k: v for k, v in expected.items() if not np.isnan(v)})
    correlation = correlate(human, judge, groups, method=method, level="group", constant=constant)
    assert correlation.groups == len(found)
    if found:
        assert correlation.value == pytest.approx(np.mean(list(found.values())))


@METHODS
@given(rows=ROWS)
def test_the_pooled_value_is_scipys(method, rows):
    human, judge = [row[0] for row in rows], [row[1] for row in rows]
    expected, found = value_of(human, judge, method), correlate(human, judge, method=method).value
    if np.isnan(expected):
        assert isinstance(found, Undefined)
    else:
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_pooled_value_is_of_one_group_and_says_whether_the_judge_is_constant():
    assert correlate([1, 2, 3], [1, 2, 2]).groups == 1
    assert correlate([1, 2, 3], [1, 2, 2]).constant_judge == 0
    assert correlate([1, 2, 3], [2, 2, 2]).constant_judge == 1


def test_a_large_group_is_compared_by_sorting_and_not_by_pairs():
    human, judge, _ = scores(1, 1500, seed=0)
    assert correlate(human, judge, method="kendall").value == pytest.approx(
        kendalltau(human, judge).statistic
    )
    flat = [3.0] * 1500
    assert correlate(human, flat, method="kendall").value == 0.0
    assert isinstance(correlate(flat, judge, method="kendall").value, Undefined)


def test_equal_floats_are_constant_though_their_mean_is_another_float():
    human, judge = [0.1, 0.1, 0.1, 0.2], [0.1, 0.1, 0.1, 0.2]
    assert np.mean(human[:3]) != 0.1
    found = document_values(human[:3], judge[:3], ["a"] * 3, method="pearson")
    assert found == {}
    assert correlate(judge[::-1], [0.1] * 4, method="pearson").value == 0.0


@METHODS
@pytest.mark.parametrize("level", ["group", "pooled"])
@pytest.mark.parametrize("power", [-1000, -300, 500, 1020])
def test_the_unit_of_scores_is_no_matter(method, level, power):
    human, judge, groups = scores(8, 5, seed=2, levels=0)
    expected = document_values(human, judge, groups, method=method, level=level)
    large = np.ldexp(human, power), np.ldexp(judge, power)
    assert document_values(*large, groups, method=method, level=level) == pytest.approx(expected)
    assert correlate(*large, groups, method=method, level=level) == correlate(
        human, judge, groups, method=method, level=level
    )


@METHODS
@pytest.mark.parametrize("levels", [5, 0], ids=["whole", "continuous"])
def test_a_weighted_value_is_that_of_the_texts_repeated(method, levels):
    human, judge, _ = scores(12, 6, seed=3, levels=levels)
    codes = np.repeat(np.arange(12), 6)
    if not levels:  # more levels than fit a table of counts
        human = human + np.linspace(0, 0.01, len(human))
    weights = np.random.default_rng(1).integers(0, 3, size=(40, 12)).astype(float)
    weights[0] = 0
    weights[1] = np.arange(12) == 0  # humans are constant there
    weights[2] = np.arange(12) == 1  # the judge is
    found = weighted_values(human, judge, codes, weights, TestOptions(method))
    for row, value in zip(weights, found, strict=True):
        texts = np.repeat(np.arange(len(human)), row[codes].astype(int))
        expected = value_of(human[texts], judge[texts], method)
        assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)


@METHODS
def test_the_ways_to_rank_agree(method, monkeypatch):
    human, judge, _ = scores(20, 8, seed=5)
    codes = np.repeat(np.arange(20), 8)
    weights = np.random.default_rng(2).integers(0, 3, size=(300, 20)).astype(float)
    found = weighted_values(human, judge, codes, weights, TestOptions(method))
    monkeypatch.setattr("mogradjudge.agreement.weighted_correlation._TABLE", 1)
    monkeypatch.setattr("mogradjudge.agreement.coefficients.CELLS", 1000)  # in many parts
    assert weighted_values(human, judge, codes, weights, TestOptions(method)) == pytest.approx(
        found, abs=1e-9
    )


def test_groups_of_many_sizes_are_taken_apart_rightly(monkeypatch):
    monkeypatch.setattr("mogradjudge.agreement.coefficients.CELLS", 50)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 30, size=300)
    human, judge = rng.integers(1, 6, size=(2, 300)).astype(float)
    for method in SCIPY:
        found = group_values(human, judge, codes, 31, TestOptions(method))
        expected = [value_of(human[codes == g], judge[codes == g], method) for g in range(31)]
        assert found == pytest.approx(np.array(expected), abs=1e-12, nan_ok=True)


@METHODS
def test_pseudo_values_are_those_of_leaving_one_document_out(method):
    human, judge, groups = scores(8, 5, seed=7)
    names = np.array(groups)
    over_all = correlate(human, judge, method=method).value
    expected = {
        name: 8 * over_all
        - 7 * correlate(human[names != name], judge[names != name], method=method).value
        for name in dict.fromkeys(groups)
    }
    found = document_values(human, judge, groups, method=method, level="pooled")
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_text_without_a_score_is_left_out_of_its_document():
    human, judge = [1, 2, 3, 4, None, 1], [1, 3, 2, None, 5, 1]
    groups = ["a"] * 5 + ["b"]
    assert document_values(human, judge, groups) == pytest.approx({"a": 0.5})


@given(rows=ROWS, method=st.sampled_from(["spearman", "kendall"]))
def test_a_rank_coefficient_is_blind_to_a_monotone_change(rows, method):
    human, judge, groups = ([row[place] for row in rows] for place in range(3))
    for level in ("group", "pooled"):
        plain = correlate(human, judge, groups, method=method, level=level)
        bent = correlate(
            [2.0**a for a in human], [b**3 - 9 for b in judge], groups, method=method, level=level
        )
        assert plain == bent


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (lambda: correlate([1, 2], [1, 2], method="rho"), r"`method` must be one of 'spearman',"),
        (lambda: correlate([1, 2], [1, 2], level="doc"), r"`level` must be one of 'pooled', 'gr"),
        (lambda: correlate([1, 2], [1, 2], constant="no"), r"`constant` must be one of 'zero', "),
        (lambda: correlate([1, None], [1, 2]), "`human` must .*finite numbers"),
        (lambda: correlate([1, 2], [1, float("inf")]), "`judge` must .*finite numbers"),
        (lambda: correlate([1, 2], ["x", 2]), "`judge` must hold one number per text"),
        (lambda: correlate([[1, 2]], [1]), "`human` must be one list of numbers, got 2"),
        (lambda: document_values([1], [float("nan")], ["a"]), "`judge` must .* or None"),
    ],
)
def test_what_cannot_be_correlated_is_refused_in_one_line(call, message):
    with pytest.raises(SetupError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
