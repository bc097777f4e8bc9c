"""What a comparison lets one say."""

import numpy as np
import pytest

from benchmarks.claims import claim
from mogradjudge.agreement import cluster_test, minimum_detectable_difference

CLEAR = 0.01 + 0.01 * np.random.default_rng(0).normal(size=40)


def test_a_small_difference_that_is_one_of_many_may_still_be_equivalent():
    alone = claim("x", cluster_test(CLEAR), bound=0.03)
    assert alone.verdict == "established"
    assert alone.adjusted(0.04).verdict == "established"
    assert alone.adjusted(0.2).verdict == "equivalent"
    assert alone.adjusted(0.2) == claim("x", cluster_test(CLEAR), p_value=0.2, bound=0.03)
    assert claim("x", cluster_test(CLEAR), bound=0.005).adjusted(0.2).verdict == "not established"
    assert claim("x", cluster_test(CLEAR)).adjusted(0.2).verdict == "not established"


def test_values_without_spread_show_no_equivalence():
    found = claim("x", cluster_test([0.0] * 5), bound=0.03)
    assert (found.verdict, found.estimate, found.low, found.high) == ("not established", 0, 0, 0)


def test_a_claim_says_what_could_have_been_found():
    values = np.random.default_rng(1).normal(size=12)
    found = claim("x", cluster_test(values))
    expected = minimum_detectable_difference(values, len(values))
    assert found.detectable == pytest.approx(expected)
    assert f"{expected:.2f} could have been found" in str(found)
    assert claim("x", cluster_test([0.0] * 5)).detectable is None
