"""What a comparison lets one say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from mogradjudge.agreement import Undefined, cluster_test, detectable_difference
from mogradjudge.agreement.claims import claim

CLEAR = 0.01 + 0.01 * np.random.default_rng(0).normal(size=40)


def test_a_small_difference_that_is_one_of_many_may_still_be_equivalent():
    alone = claim("x", cluster_test(CLEAR), bound=0.03)
    assert alone.verdict == "established"
    assert alone.adjusted(0.04).verdict == "established"
    assert alone.adjusted(0.2).verdict == "equivalent"
    assert alone.adjusted(0.2) == claim("x", cluster_test(CLEAR), p_value=0.2, bound=0.03)
    assert claim("x", cluster_test(CLEAR), bound=0.005).adjusted(0.2).verdict == "not established"
    assert claim("x", cluster_test(CLEAR)).adjusted(0.2).verdict == "not established"


@given(st.lists(st.integers(-9, 90), min_size=6, max_size=10))
def test_no_small_p_value_stands_beside_an_interval_with_0(values):
    tested = cluster_test(values)
    assert not isinstance(tested, Undefined)
    found = claim("x", tested)
    if tested.low <= 0 <= tested.high:
        assert found.p_value >= max(0.05, tested.p_value) or not any(values)
    else:
        assert found.p_value == tested.p_value
    outlier = claim("x", cluster_test([0.2, 0.0, 1.5, 0.2, 0.0, 0.6, 5.9, 3.0]))
    assert outlier.p_value == pytest.approx(
        ttest_1samp([0.2, 0, 1.5, 0.2, 0, 0.6, 5.9, 3], 0).pvalue
    )


def test_values_without_spread_show_no_equivalence():
    found = claim("x", cluster_test([0.0] * 6), bound=0.03)
    assert (found.verdict, found.estimate, found.low, found.high) == ("not established", 0, 0, 0)


def test_a_claim_says_what_could_have_been_found():
    values = np.random.default_rng(1).normal(size=12)
    found = claim("x", cluster_test(values))
    expected = detectable_difference(values.std(ddof=1), len(values))
    assert found.detectable == pytest.approx(expected)
    assert f"{expected:.2f} could have been found" in found.missed("documents")
    assert "could have been found" not in str(found)
    assert claim("x", cluster_test([0.0] * 5)).detectable is None


@pytest.mark.parametrize("family", [1, 2, 5])
def test_too_few_clusters_are_said_to_find_nothing_however_large_it_is(family):
    for n in range(3, 12):
        values = [1.0 + 0.01 * each for each in range(n)]  # as clear as can be
        smallest = cluster_test(values).p_value * family
        found = claim("x", cluster_test(values), p_value=min(1.0, smallest), family=family)
        can = found.verdict == "established"
        assert can == (n >= found.fewest)
        assert (found.detectable is not None) == (found.low is not None) == can
        said = f"{n} documents cannot establish anything; it takes {found.fewest}"
        assert found.missed("documents") == ("" if can else said)
        assert ("could have been found" in str(found)) is False
        assert ("[" in str(found)) == can
    assert claim("x", cluster_test([1.0, 2.0, 3.0])).fewest == 6


@pytest.mark.parametrize("n", [3, 5, 6, 9])
def test_too_few_clusters_show_no_equivalence_either(n):
    values = [0.001 * (-1) ** each * (1 + each) for each in range(n)]
    found = claim("x", cluster_test(values), bound=0.03)
    enough = n >= found.fewest
    assert found.verdict == ("equivalent" if enough else "not established")
    assert (found.low is None) == (found.high is None) == (not enough)
    assert ("cannot establish anything" in found.missed("documents")) == (not enough)


def test_a_claim_of_several_that_too_few_clusters_cannot_establish_has_no_interval():
    alone = claim("x", cluster_test([0.01, 0.012, 0.011, 0.009, 0.01, 0.012]), bound=0.03)
    assert alone.verdict == "established"
    family = replace(alone, family=3).adjusted(0.1)
    assert (family.verdict, family.low) == ("not established", None)
