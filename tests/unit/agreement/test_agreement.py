"""Spearman's rho against scipy and against a loop; what has no rho says why."""

import math
import warnings
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from mogradjudge.agreement import Undefined, correlate
from mogradjudge.errors import SetupError

PAIRS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=30)
ROWS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from("abcd")))


def ranks(values: Sequence[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def rho_by_hand(human: Sequence[float], judge: Sequence[float]) -> float:
    x, y = ranks(human), ranks(judge)
    mean = (len(x) + 1) / 2
    shared = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    return shared / math.sqrt(sum((a - mean) ** 2 for a in x) * sum((b - mean) ** 2 for b in y))


@pytest.mark.slow
@given(PAIRS)
def test_rho_is_scipys_wherever_scipy_has_one(pairs):
    human, judge = [a for a, _ in pairs], [b for _, b in pairs]
    value = correlate(human, judge).value
    if len(pairs) < 3:
        assert value == Undefined(f"{len(pairs)} scored texts, and a correlation needs 3")
    elif len(set(human)) == 1:
        assert value == Undefined("all human scores are equal")
    elif len(set(judge)) == 1:
        assert value == 0.0
    else:
        assert value == pytest.approx(spearmanr(human, judge).statistic)
        assert value == pytest.approx(rho_by_hand(human, judge))


@given(ROWS)
def test_the_mean_over_groups_is_that_of_a_loop(rows):
    human, judge, groups = ([row[place] for row in rows] for place in range(3))
    rhos, constant = [], 0
    for group in set(groups):
        x = [a for a, _, each in rows if each == group]
        y = [b for _, b, each in rows if each == group]
        if len(x) >= 3 and len(set(x)) > 1:
            constant += len(set(y)) == 1
            rhos.append(0.0 if len(set(y)) == 1 else rho_by_hand(x, y))
    found = correlate(human, judge, groups, level="group")
    assert (found.n, found.groups, found.constant_judge) == (len(rows), len(rhos), constant)
    if rhos:
        assert found.value == pytest.approx(sum(rhos) / len(rhos))
    else:
        assert found.value == Undefined("in each group all human scores are equal")


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_texts_does_not_matter(pairs, rng):
    shuffled = rng.sample(pairs, len(pairs))
    one, other = (correlate([a for a, _ in p], [b for _, b in p]).value for p in (pairs, shuffled))
    assert one == (other if isinstance(other, Undefined) else pytest.approx(other))


@given(PAIRS)
def test_only_the_order_of_the_scores_counts(pairs):
    human, judge = [a for a, _ in pairs], [b for _, b in pairs]
    stretched = correlate([a**3 for a in human], [10.0 * b - 7 for b in judge])
    assert stretched == correlate(human, judge)


@pytest.mark.parametrize(
    ["human", "judge", "value"],
    [
        ([1, 2, 3], [1, 2, 3], 1.0),
        ([1, 2, 3], [5, 4, 1], -1.0),
        ([1, 2, 2, 3], [1, 2, 2, 3], 1.0),
        ([1, 2, 3, 4], [1, 1, 2, 2], 0.8944271909999159),
        ([1, 2, 3], [4, 4, 4], 0.0),
        ([3, 3, 3], [1, 2, 3], Undefined("all human scores are equal")),
        ([3, 3, 3], [1, 1, 1], Undefined("all human scores are equal")),
        ([1, 2], [1, 2], Undefined("2 scored texts, and a correlation needs 3")),
        ([], [], Undefined("0 scored texts, and a correlation needs 3")),
    ],
)
def test_rho_of_small_sets(human, judge, value):
    expected = value if isinstance(value, Undefined) else pytest.approx(value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert correlate(human, judge).value == expected


def test_dropping_constant_groups_rewards_a_judge_for_abstaining():
    human, groups = [1, 2, 3, 1, 2, 3], ["a", "a", "a", "b", "b", "b"]
    judge = [1, 2, 3, 4, 4, 4]
    kept = correlate(human, judge, groups, level="group")
    assert (kept.value, kept.groups, kept.constant_judge) == (0.5, 2, 1)
    dropped = correlate(human, judge, groups, level="group", constant="drop")
    assert (dropped.value, dropped.groups, dropped.constant_judge) == (1.0, 1, 0)
    alone = correlate(human[3:], judge[3:], constant="drop")
    assert alone.value == Undefined("all judge scores are equal")


def test_a_judge_right_inside_each_group_can_be_wrong_over_all():
    human, groups = [1, 2, 3, 4, 5, 6], ["a", "a", "a", "b", "b", "b"]
    judge = [4, 5, 6, 1, 2, 3]
    assert correlate(human, judge, groups, level="group").value == pytest.approx(1.0)
    assert correlate(human, judge, groups).value < 0


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (lambda: correlate([1, 2, 3], [1, 2]), r"must have one length, got \[2, 3\]"),
        (lambda: correlate([1, 2, 3], [1, 2, 3], ["a"]), r"must have one length, got \[1, 3\]"),
        (lambda: correlate([1, 2, 3], [1, 2, 3], level="group"), "`groups` must be given"),
    ],
)
def test_lists_that_do_not_belong_together_are_refused(call, message):
    with pytest.raises(SetupError, match=message):
        call()
