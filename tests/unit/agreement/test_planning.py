"""The size of a study, equivalence, and what tests and intervals promise, by simulation."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from benchmarks.worlds.simulated import human_scores, world
from mogradjudge.agreement import (
    TestOptions,
    Undefined,
    bootstrap_criteria,
    cluster_test,
    compare,
    compare_criteria,
    contrast_criteria,
    correlate,
    detectable_difference,
    equivalence,
    minimum_detectable_difference,
    sample_size,
)
from mogradjudge.errors import SetupError

EFFECT = 0.085


@cache
def simulated(rhos):
    return world(human_scores(150), rhos)


def comparisons(rhos, documents, simulations, **how):
    groups = [f"doc-{document:03}" for document in range(documents) for _ in range(16)]
    rng = np.random.default_rng(0)
    for seed in range(simulations):
        table = (each.ravel() for each in simulated(rhos).draw(documents, rng))
        yield compare(*table, groups, TestOptions(flips=999, seed=seed, **how))


@pytest.mark.slow
def test_a_true_null_is_rejected_as_often_as_promised():
    found = list(comparisons((0.305, 0.305), 20, 400))
    assert 0.02 <= np.mean([each.p_value <= 0.05 for each in found]) <= 0.08
    truth = np.mean([each.difference for each in found])
    inside = np.mean([each.low <= 0 <= each.high for each in found])
    assert abs(truth) < 0.01 and 0.92 <= inside <= 0.98


@pytest.mark.slow
def test_a_true_null_of_pooled_correlations_too():
    found = list(comparisons((0.305, 0.305), 20, 100, level="pooled"))
    assert 0.01 <= np.mean([each.p_value <= 0.05 for each in found]) <= 0.09
    assert 0.90 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.99


@pytest.mark.slow
def test_the_power_is_that_of_the_published_table():
    found = list(comparisons((0.305, 0.22), 100, 200))
    assert 0.80 <= np.mean([each.p_value <= 0.05 for each in found]) <= 0.97
    assert np.mean([each.standard_error for each in found]) == pytest.approx(0.025, abs=0.003)
    truth = np.mean([each.difference for each in found])
    assert truth == pytest.approx(EFFECT, abs=0.01)
    assert 0.90 <= np.mean([each.low <= truth <= each.high for each in found]) <= 0.99


@pytest.mark.slow
def test_a_bootstrap_interval_of_many_documents_holds_the_truth():
    drawn, rng, groups = (
        simulated((0.305, 0.22)),
        np.random.default_rng(5),
        np.repeat(range(60), 16),
    )
    intervals = []
    for seed in range(150):
        human, judge, _ = (each.ravel() for each in drawn.draw(60, rng))
        options = TestOptions(level="pooled", resamples=400, seed=seed)
        intervals.append(bootstrap_criteria({"": human}, {"": judge}, groups, options)[""])
    inside = np.mean([each.low <= 0.305 <= each.high for each in intervals])
    assert 0.88 <= inside <= 0.99


@pytest.mark.parametrize("level", ["pooled", "group"])
def test_a_bootstrap_interval_of_few_documents_holds_the_truth_too(level):
    rng, groups, inside = np.random.default_rng(0), np.repeat(range(8), 16), []
    for seed in range(200):
        human, judge, _ = (side.ravel() for side in simulated((0.305, 0.22)).draw(8, rng))
        options = TestOptions(level=level, resamples=200, seed=seed)
        interval = bootstrap_criteria({"": human}, {"": judge}, groups, options)[""]
        inside.append(interval.low <= 0.305 <= interval.high)
    assert 0.92 <= np.mean(inside) <= 0.98


@pytest.mark.slow
def test_judges_that_are_nearly_constant_are_not_found_different_too_often():
    rng, groups, rejected = np.random.default_rng(0), np.repeat(range(8), 16), []
    for _ in range(200):
        human, *judges = (side.ravel() for side in simulated((0.305, 0.305)).draw(8, rng))
        nearly = [np.where(rng.random(len(judge)) < 0.97, 4.0, judge) for judge in judges]
        first, second = ({"": judge} for judge in nearly)
        how = TestOptions(level="pooled")
        rejected.append(compare_criteria({"": human}, first, second, groups, how).mean.p_value)
    assert np.mean(np.array(rejected) <= 0.05) <= 0.08


def test_sample_sizes_are_those_of_the_published_table():
    # Standard errors of k / sqrt(documents); the table's quantiles are normal ones.
    assert sample_size(0.25, EFFECT) == pytest.approx(68, abs=3)
    assert sample_size(0.33, EFFECT) == pytest.approx(120, abs=3)
    assert sample_size(0.15, EFFECT) == pytest.approx(25, abs=3)
    assert minimum_detectable_difference(0.25, 100) == pytest.approx(0.07, abs=0.002)
    assert minimum_detectable_difference(0.15, 100) == pytest.approx(0.043, abs=0.002)


def test_the_sample_size_is_the_smallest_that_detects_the_difference():
    for spread in (0.05, 0.3, 2.0):
        documents = sample_size(spread, 0.1, power=0.9)
        assert minimum_detectable_difference(spread, documents, power=0.9) <= 0.1
        if documents > 2:
            assert minimum_detectable_difference(spread, documents - 1, power=0.9) > 0.1


def test_a_pilots_values_stand_for_their_standard_deviation():
    values = np.random.default_rng(0).normal(size=30)
    spread = values.std(ddof=1)
    assert sample_size(values, 0.5) == sample_size(float(spread), 0.5)


def test_the_detectable_difference_is_detected_as_often_as_asked():
    rng = np.random.default_rng(0)
    effect = minimum_detectable_difference(1.0, 15)
    drawn = rng.normal(effect, 1, size=(4000, 15))
    assert np.mean(ttest_1samp(drawn, 0, axis=1).pvalue <= 0.05) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("documents", [6, 8, 11, 12, 30])
def test_what_one_study_says_it_could_detect_the_next_one_detects_as_often(documents):
    rng, found = np.random.default_rng(documents), []
    for seed in range(300):
        pilot, study = rng.standard_normal((2, documents))
        effect = detectable_difference(pilot.std(ddof=1), documents)
        found.append(cluster_test(study + effect, flips=199, seed=seed).p_value <= 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_no_difference_can_be_detected_where_the_smallest_p_value_is_too_large():
    assert detectable_difference(1.0, 5) is None
    assert detectable_difference(1.0, 6) > detectable_difference(1.0, 7)
    assert detectable_difference(1.0, 7, alpha=0.05 / 4) is None
    assert detectable_difference(0.0, 6) == 0.0


def test_equivalence_is_two_one_sided_t_tests():
    values = np.random.default_rng(0).normal(0.005, 0.08, size=40)
    found = equivalence(values)
    expected = max(
        ttest_1samp(values, 0.03, alternative="less").pvalue,
        ttest_1samp(values, -0.03, alternative="greater").pvalue,
    )
    assert found.p_value == pytest.approx(expected)
    low, high = ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.within == (found.p_value < 0.05)
    assert equivalence(cluster_test(values)) == found
    assert equivalence(values, bound=0.2).within and not equivalence(values + 0.1).within


def test_equal_values_are_equivalent_or_not():
    assert equivalence([0.0] * 5).p_value == 0.0
    assert equivalence([0.5] * 5).p_value == 1.0
    assert equivalence([0.1, 0.2]) == Undefined("2 documents have a value, and a test needs 3")
    assert equivalence([0.03] * 5).p_value == 1.0  # on the bound is not within it


def test_a_comparison_without_a_standard_error_shows_no_equivalence():
    human, judge = [1, 2, 3, 4] * 5, [2, 1, 3, 4, 1, 2, 4, 3, 1, 3] * 2
    groups, systems = [f"doc-{number // 4}" for number in range(20)], list("abcd") * 5
    found = compare(
        human,
        judge,
        judge[::-1],
        groups,
        TestOptions(flips=1),
        systems=systems,
        generalize_to="documents+systems",
    )
    assert equivalence(found) == Undefined("the comparison has no standard error")


def test_equal_judges_are_found_equivalent_and_different_ones_are_not():
    groups = [f"doc-{document:03}" for document in range(100) for _ in range(16)]
    human, judge, other = (
        each.ravel() for each in simulated((0.305, 0.22)).draw(100, np.random.default_rng(0))
    )
    nudged = judge.copy()
    nudged[::40] = other[::40]
    assert equivalence(compare(human, judge, nudged, groups)).within
    assert not equivalence(compare(human, judge, other, groups)).within


def test_an_interaction_of_four_arms_is_found():
    rng, groups = np.random.default_rng(3), np.repeat(range(100), 16)
    human, good, bad = (each.ravel() for each in simulated((0.5, 0.22)).draw(100, rng))
    arms = {"J1": {"": bad}, "J0": {"": good}, "S1": {"": good}, "S0": {"": good}}
    weights = {"J1": 1, "J0": -1, "S1": -1, "S0": 1}
    found = contrast_criteria({"": human}, arms, weights, groups).mean
    expected = correlate(human, bad, groups, level="group").value
    expected -= correlate(human, good, groups, level="group").value
    assert found.difference == pytest.approx(expected) and found.p_value == 0.0001


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (lambda: minimum_detectable_difference(-1, 9), "A standard deviation must be 0 or more"),
        (
            lambda: minimum_detectable_difference([0.1, 0.2], 9),
            "`values` must hold at least 3 documents, got 2",
        ),
        (
            lambda: minimum_detectable_difference(0.2, 9, power=0.01),
            "`0 < alpha < power < 1` must hold",
        ),
        (lambda: sample_size(0.2, 0), "`difference` must lie above 0, got 0"),
        (lambda: sample_size(0.2, 1e-9), "`difference` is too small"),
        (lambda: minimum_detectable_difference(0.2, 1), "`documents` must be >= 2, got 1"),
        (lambda: detectable_difference(0.2, 1), "`documents` must be >= 2, got 1"),
        (lambda: detectable_difference(-0.2, 9), "A standard deviation must be 0 or more"),
        (lambda: equivalence([1, 2, 3], bound=0), "`bound` must lie above 0, got 0"),
        (lambda: equivalence([1, 2, 3], alpha=0.6), "`alpha` must lie between 0 and 0.5, got 0.6"),
    ],
)
def test_a_study_that_cannot_be_planned_is_refused(call, message):
    with pytest.raises(SetupError, match=message):
        call()
