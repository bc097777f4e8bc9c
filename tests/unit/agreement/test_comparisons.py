"""Tests between judges, against tests that do literally what they stand for."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, rankdata, ttest_1samp

from mogradjudge.agreement import (
    TestOptions,
    Undefined,
    cluster_test,
    compare,
    compare_criteria,
    contrast_criteria,
    correlate,
    document_values,
    holm,
)
from mogradjudge.errors import SetupError
from ratings import METHODS, scores


def judges(documents, systems, seed=0):
    """Give human scores, a good judge's, a bad one's, and documents."""
    human, good, groups = scores(documents, systems, seed)
    noise = np.random.default_rng(seed + 99).integers(-2, 3, size=len(human))
    return human, good, np.clip(good + noise, 1, 5), groups


def contrast(human, arms, weights, groups, **options):
    """Test one criterion's contrast."""
    by_arm = {arm: {"": scores} for arm, scores in arms.items()}
    how = TestOptions(**options)
    return contrast_criteria({"": human}, by_arm, weights, groups, how).by_criterion[""]


def exchanged(human, one, other, groups, level, standardize):
    """Exchange the judges' scores on every set of documents; give the share as far from 0."""
    names, codes = np.unique(groups, return_inverse=True)
    one, other = standardize(one), standardize(other)
    differences = []
    for pattern in product([False, True], repeat=len(names)):
        swap = np.array(pattern)[codes]
        first, second = np.where(swap, other, one), np.where(swap, one, other)
        values = [correlate(human, each, groups, level=level).value for each in (first, second)]
        differences.append(values[0] - values[1])
    sizes = np.abs(differences)
    return np.mean(sizes >= sizes[0] - 1e-12)


def ranks(values):
    return np.array([np.mean(values < v) + np.mean(values <= v) for v in values])


@pytest.mark.parametrize(["level", "standardize"], [("group", np.array), ("pooled", ranks)])
def test_comparing_is_exchanging_the_judges_on_whole_documents(level, standardize):
    human, good, bad, groups = judges(7, 5)
    found = compare(human, good, bad, groups, TestOptions(level=level))
    expected = exchanged(human, good, bad, groups, level, standardize)
    assert found.p_value == pytest.approx(expected)
    values = [correlate(human, each, groups, level=level).value for each in (good, bad)]
    assert found.difference == pytest.approx(values[0] - values[1])


def test_signs_are_flipped_as_scipy_does_it():
    values = np.random.default_rng(0).normal(0.3, 1, size=10)
    expected = permutation_test(
        (values, np.zeros(10)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    found = cluster_test(values)
    assert found.p_value == pytest.approx(expected.pvalue)
    t = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.difference, found.low, found.high) == pytest.approx((values.mean(), *t))
    assert (found.groups, found.confidence, found.generalize_to) == (10, 0.95, "documents")


def test_random_flips_come_near_the_exact_test(monkeypatch):
    values = np.random.default_rng(1).normal(0.5, 1, size=12)
    exact = cluster_test(values).p_value
    monkeypatch.setattr("mogradjudge.agreement.permutation._ENUMERATED", 5)
    flips = 2047  # one less than make a test of 12 documents exact
    found = cluster_test(values, flips=flips).p_value
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / flips))
    assert (found * (1 + flips)) % 1 == pytest.approx(0, abs=1e-6)  # (1 + b) / (1 + B)
    monkeypatch.setattr("mogradjudge.agreement.coefficients.CELLS", 50)  # in many parts
    assert cluster_test(values, flips=flips).p_value == found


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 16), st.sampled_from([1, 99, 9999, 30_000]), st.integers(0, 99))
def test_no_p_value_of_sign_flips_is_below_that_of_one_pattern_and_its_opposite(n, flips, seed):
    values = 1 + np.arange(n)  # as clear as can be
    assert cluster_test(values, flips=flips, seed=seed).p_value >= 2 / 2**n


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=3, max_size=9))
def test_enumerated_flips_are_those_of_scipy(values):
    expected = permutation_test(
        (values, np.zeros(len(values))),
        lambda x, y, axis: np.sum(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert cluster_test(values).p_value == pytest.approx(min(1.0, expected.pvalue))


def test_fourteen_documents_are_enumerated():
    found = {cluster_test([1.0] * 14, seed=seed).p_value for seed in range(5)}
    assert found == {2 / 2**14}


@pytest.mark.parametrize(
    ["values", "p"], [([1, 1, 1], 0.25), ([0.1, 0.2, -0.3], 1.0), ([0.0] * 20, 1.0)]
)
def test_small_and_tied_values_have_the_exact_p_value(values, p):
    assert cluster_test(values).p_value == p


def test_two_clusters_are_too_few():
    assert cluster_test([1.0, 2.0]) == Undefined("2 clusters, and a test needs 3")


@METHODS
@pytest.mark.parametrize("level", ["group", "pooled"])
def test_a_contrast_is_a_test_on_the_documents_values(method, level):
    human, good, bad, groups = judges(9, 6)
    arms = {"J1": good, "J0": bad, "S1": bad[::-1], "S0": good[::-1]}
    weights = {"J1": 1, "J0": -1, "S1": -1, "S0": 1}
    found = contrast(human, arms, weights, groups, method=method, level=level)
    how = {"method": method, "level": level}
    by_arm = {arm: document_values(human, each, groups, **how) for arm, each in arms.items()}
    values = [sum(weights[arm] * by_arm[arm][name] for arm in arms) for name in by_arm["J1"]]
    expected = cluster_test(values)
    assert found.groups == len(values)
    assert found.high - found.low == pytest.approx(expected.high - expected.low)
    agreements = {arm: correlate(human, each, groups, **how).value for arm, each in arms.items()}
    over_all = sum(weights[arm] * value for arm, value in agreements.items())
    assert found.difference == pytest.approx(over_all)
    if level == "pooled":  # the values as they are if all arms have one agreement
        values = np.array(values) - np.mean(values) + over_all
        middle = np.mean(list(agreements.values()))
        for arm, value in agreements.items():
            squares = (rankdata(arms[arm]) - (len(human) + 1) / 2) ** 2
            shares = [squares[np.array(groups) == name].sum() for name in by_arm[arm]]
            surplus = np.array(shares) / np.mean(shares) - 1
            values += weights[arm] * (value - middle) / 2 * surplus
        assert np.mean(values) == pytest.approx(over_all)
    assert found.p_value == pytest.approx(cluster_test(values).p_value)


def test_two_arms_are_a_comparison():
    human, good, bad, groups = judges(20, 6)
    arms, weights = {"good": good, "bad": bad}, {"good": 1, "bad": -1}
    found = contrast(human, arms, weights, groups, seed=3)
    assert found == compare(human, good, bad, groups, TestOptions(seed=3))
    other = compare(human, bad, good, groups, TestOptions(seed=3))
    assert (other.difference, other.p_value) == (-found.difference, found.p_value)


@pytest.mark.parametrize("level", ["group", "pooled"])
def test_the_order_of_texts_and_the_shape_of_scores_are_no_matter(level):
    human, good, bad, groups = judges(20, 6)
    found = compare(human, good, bad, groups, TestOptions(level=level))
    order = np.random.default_rng(0).permutation(len(human))
    shuffled = (each[order] for each in (human, good, bad))
    again = compare(*shuffled, [groups[place] for place in order], TestOptions(level=level))
    assert again.p_value == found.p_value
    assert again.difference == pytest.approx(found.difference)
    assert compare(human, good**3, bad - 10, groups, TestOptions(level=level)) == found
    assert compare(human, good, bad, groups, TestOptions(level=level, seed=1)) != found


def test_a_document_counts_for_no_judge_if_one_has_no_value_there():
    human, good, bad, groups = judges(10, 6)
    gaps = [None if group == "doc-004" else float(b) for b, group in zip(bad, groups, strict=True)]
    found = compare(human, good, gaps, groups)
    kept = [place for place, score in enumerate(gaps) if score is not None]
    assert found == compare(human[kept], good[kept], bad[kept], [groups[p] for p in kept])
    dropped = compare(human, good, bad, groups, TestOptions(constant="drop"))
    # Humans are constant on one document, and a judge is on another.
    assert compare(human, good, bad, groups).groups == 9 and dropped.groups == 8


def test_abstaining_on_half_of_the_documents_lowers_agreement_unless_it_is_dropped():
    human, good, groups = scores(40, 12, seed=3)
    values = document_values(human, good, groups)
    worst = set(sorted(values, key=values.__getitem__)[:20])
    silent = np.where([group in worst for group in groups], 3, good)
    lowered = compare(human, silent, good, groups)
    assert lowered.difference < -0.1 and lowered.p_value < 0.01
    plain, raised = (
        correlate(human, each, groups, level="group", constant="drop") for each in (good, silent)
    )
    assert raised.value > plain.value + 0.05


@pytest.mark.parametrize("level", ["group", "pooled"])
def test_documents_and_systems_are_resampled_together(level):
    human, good, bad, groups = judges(12, 6)
    systems = [f"system-{place % 6}" for place in range(len(human))]
    rngs = [np.random.default_rng((4, number)) for number in (0, 1)]
    drawn = [rng.integers(size, size=(50, size)) for rng, size in zip(rngs, (12, 6), strict=True)]
    values = []
    for documents, of_systems in zip(*drawn, strict=True):
        rows = (documents[:, None] * 6 + of_systems).ravel()
        copies = [str(copy) for copy in range(12) for _ in range(6)]
        one, other = (
            correlate(human[rows], each[rows], copies, level=level).value for each in (good, bad)
        )
        values.append(one - other)
    found = compare(
        human,
        good,
        bad,
        groups,
        TestOptions(level=level, flips=50, seed=4),
        generalize_to="documents+systems",
        systems=systems,
    )
    expected = np.quantile(values, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-9)
    tail = 1 + min(np.sum(np.array(values) < 1e-12), np.sum(np.array(values) > -1e-12))
    assert found.p_value == pytest.approx(min(1.0, 2 * tail / 51))
    assert found.generalize_to == "documents+systems"
    assert found.groups == (11 if level == "group" else 12)  # humans are constant on one


@pytest.mark.parametrize("level", ["group", "pooled"])
def test_a_text_without_a_score_is_left_out_of_documents_and_systems(level):
    human, good, bad, groups = judges(12, 6)
    systems = [f"system-{place % 6}" for place in range(len(human))]
    gaps = [None if place % 13 == 5 else float(score) for place, score in enumerate(bad)]
    both, how = "documents+systems", TestOptions(level=level, flips=80)
    found = compare(human, good, gaps, groups, how, generalize_to=both, systems=systems)
    kept = [place for place, score in enumerate(gaps) if score is not None]
    columns = (human[kept], good[kept], bad[kept], [groups[place] for place in kept])
    systems = [systems[place] for place in kept]
    assert found == compare(*columns, how, generalize_to=both, systems=systems)
    few = compare(human, good, bad, groups, how, generalize_to=both, systems=["a", "b"] * 36)
    assert few == Undefined("12 documents and 2 systems, and resampling both needs 3 of each")


@pytest.mark.parametrize("level", ["group", "pooled"])
@pytest.mark.parametrize("generalize_to", ["documents", "documents+systems"])
def test_taking_some_samples_at_a_time_changes_nothing(level, generalize_to, monkeypatch):
    human, good, bad, groups = judges(15, 6)
    how = {"generalize_to": generalize_to, "options": TestOptions(level=level, flips=70)}
    how["systems"] = [f"system-{place % 6}" for place in range(len(human))]
    found = compare(human, good, bad, groups, **how)
    monkeypatch.setattr("mogradjudge.agreement.coefficients.CELLS", 300)
    again = compare(human, good, bad, groups, **how)
    assert again.p_value == found.p_value
    assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=1e-12)


@METHODS
@pytest.mark.parametrize("level", ["group", "pooled"])
@pytest.mark.parametrize(
    "human", [[], [None] * 9, [3] * 9, [0.1] * 9], ids=["empty", "unrated", "flat", "rounded"]
)
def test_humans_who_say_nothing_leave_every_comparison_undefined(method, level, human):
    groups, systems = list("aaabbbccc")[: len(human)], list("xyzxyzxyz")[: len(human)]
    one, other = [1, 2, 3] * (len(human) // 3), [3, 1, 2] * (len(human) // 3)
    how = {"method": method, "level": level}
    assert document_values(human, one, groups, **how) == {}
    for generalize_to in ("documents", "documents+systems"):
        found = compare(
            human,
            one,
            other,
            groups,
            TestOptions(flips=20, **how),
            generalize_to=generalize_to,
            systems=systems,
        )
        assert isinstance(found, Undefined)
    found = compare_criteria({"a": human}, {"a": one}, {"a": other}, groups, TestOptions(**how))
    assert isinstance(found.mean, Undefined) and found.holm == found.max_t == {}


@METHODS
@pytest.mark.parametrize("level", ["group", "pooled"])
def test_equal_judges_do_not_differ(method, level):
    human, good, _, groups = judges(20, 6)
    found = compare(human, good, good, groups, TestOptions(method=method, level=level))
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def family(missing=()):
    """Give three criteria of which the judges differ on one; some documents have no value."""
    human, good, bad, groups = judges(11, 6)
    blank = [group in missing for group in groups]
    people = {
        "coherence": human,
        "fluency": [None if each else float(h) for h, each in zip(human, blank, strict=True)],
        "relevance": np.roll(human, 7),
    }
    return people, dict.fromkeys(people, good), dict.fromkeys(people, bad), groups


def test_a_family_tests_each_criterion_and_their_mean():
    people, good, bad, groups = family(missing=("doc-003", "doc-007"))
    found = compare_criteria(people, good, bad, groups)
    values = {}
    for name, human in people.items():
        alone = compare(human, good[name], bad[name], groups)
        each = found.by_criterion[name]
        assert (each.difference, each.p_value, each.groups) == pytest.approx(
            (alone.difference, alone.p_value, alone.groups)
        )
        one, other = (document_values(human, arm[name], groups) for arm in (good, bad))
        values[name] = {group: one[group] - other[group] for group in one}
    documents = set().union(*values.values())
    means = [np.mean([v[group] for v in values.values() if group in v]) for group in documents]
    expected = cluster_test(means)
    assert found.mean.difference == pytest.approx(expected.difference)
    assert found.mean.p_value == pytest.approx(expected.p_value)
    assert found.holm == holm({name: each.p_value for name, each in found.by_criterion.items()})


def test_max_t_is_the_step_down_procedure_by_hand():
    people, good, bad, groups = family()
    found = compare_criteria(people, good, bad, groups)
    columns = []
    for name, human in people.items():
        one, other = (document_values(human, arm[name], groups) for arm in (good, bad))
        columns.append({group: one[group] - other[group] for group in one})
    names = sorted(set().union(*columns))
    table = np.array([[column.get(name, 0.0) for column in columns] for name in names])
    signs = np.array(list(product([1, -1], repeat=len(names))))
    statistics = np.abs(signs @ table) / np.sqrt((table**2).sum(axis=0))
    order = np.argsort(-statistics[0])
    adjusted, largest = {}, 0.0
    for place, column in enumerate(order):
        rest = statistics[:, order[place:]].max(axis=1)
        largest = max(largest, np.mean(rest >= statistics[0, column] - 1e-12))
        adjusted[list(people)[column]] = largest
    assert found.max_t == pytest.approx(adjusted)
    raw = {name: each.p_value for name, each in found.by_criterion.items()}
    assert all(raw[n] <= found.max_t[n] <= found.holm[n] + 1e-9 for n in raw)


def test_a_criterion_without_values_leaves_the_others_alone():
    people, good, bad, groups = family()
    flat = {**people, "coherence": [3.0] * len(groups)}
    found = compare_criteria(flat, good, bad, groups)
    assert found.by_criterion["coherence"] == Undefined(
        "0 documents have a value, and a test needs 3"
    )
    assert set(found.holm) == set(found.max_t) == {"fluency", "relevance"}
    rest = {name: people[name] for name in ("fluency", "relevance")}
    arms = ({name: arm[name] for name in rest} for arm in (good, bad))
    assert found.mean == compare_criteria(rest, *arms, groups).mean
    none = compare_criteria({"a": [3.0] * 6}, {"a": [1] * 6}, {"a": [2] * 6}, list("abcdef"))
    assert isinstance(none.mean, Undefined) and none.holm == {}


@pytest.mark.parametrize("level", ["group", "pooled"])
def test_a_familys_mean_is_the_mean_of_its_criteria(level):
    people, good, bad, groups = family()
    arms = {"a": good, "b": bad, "c": people}
    weights = {"a": 0.5, "b": 0.5, "c": -1}
    if level == "group":  # the same documents have a value on these
        people = {name: people[name] for name in ("coherence", "fluency")}
        arms = {arm: {name: each[name] for name in people} for arm, each in arms.items()}
    found = contrast_criteria(people, arms, weights, groups, TestOptions(level=level))
    differences = [each.difference for each in found.by_criterion.values()]
    assert found.mean.difference == pytest.approx(np.mean(differences))


@given(st.lists(st.integers(0, 100).map(lambda x: x / 100), min_size=1, max_size=5))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    p = dict(enumerate(p_values))
    subsets = [s for size in range(1, len(p) + 1) for s in combinations(p, size)]
    bonferroni = {s: min(1.0, len(s) * min(p[name] for name in s)) for s in subsets}
    closed = {name: max(bonferroni[s] for s in subsets if name in s) for name in p}
    assert holm(p) == pytest.approx(closed)
    assert list(holm(p)) == list(p)


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (
            lambda h, a, b, g: compare(h, a, b[1:], g),
            r"human, arm 'judge_a', arm 'judge_b' and groups must have one length, got \[19, 20\]",
        ),
        (lambda h, a, b, g: contrast(h, {"human": a[1:]}, {"human": 1}, g), "have one length"),
        (lambda h, a, b, g: compare(h, a, b, g, generalize_to="systems"), "must be one of 'docum"),
        (
            lambda h, a, b, g: compare(h, a, b, g, generalize_to="documents+systems"),
            "`systems` must be given to generalize to systems, got None",
        ),
        (
            lambda h, a, b, g: compare(
                h, a, b, g, generalize_to="documents+systems", systems=["a"]
            ),
            r"human and systems must have one length, got \[1, 20\]",
        ),
        (
            lambda h, a, b, g: compare(h, a, b, g, TestOptions(flips=0)),
            "`flips` must be >= 1, got 0",
        ),
        (lambda h, a, b, g: contrast(h, {"a": a}, {"b": 1}, g), r"`weights` must be given for"),
        (lambda h, a, b, g: contrast(h, {"a": a}, {"a": 0}, g), "must be finite and not all 0"),
        (lambda h, a, b, g: compare_criteria({"x": h}, {"x": a}, {}, g), "of arm 'judge_b' must"),
        (lambda h, a, b, g: compare_criteria({}, {}, {}, g), "at least one criterion"),
        (lambda h, a, b, g: cluster_test([1, 2, float("nan")]), "`values` must .*finite"),
        (lambda h, a, b, g: holm({"a": 1.5}), r"must lie in \[0, 1\], got 1.5 for 'a'"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(SetupError, match=message):
        call(*judges(5, 4))


def test_three_documents_are_compared_and_two_are_not():
    human, first = [1, 3, 5, 2, 4, 5, 1, 2, 4], [1, 3, 4, 2, 4, 5, 1, 3, 4]
    second, documents = [3, 3, 4, 1, 4, 4, 2, 3, 3], ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert compare(human, first, second, documents).p_value == 2 / 2**3
    assert isinstance(compare(human[:6], first[:6], second[:6], documents[:6]), Undefined)


def test_a_contrast_of_criteria_needs_a_weight_for_each_arm():
    human, judge, groups = scores(8, 4, seed=0)
    arms = {arm: {"fluency": list(judge)} for arm in ("first", "second")}
    with pytest.raises(SetupError, match="weights"):
        contrast_criteria({"fluency": list(human)}, arms, {"first": 1.0}, groups)
    with pytest.raises(SetupError, match="not all 0"):
        contrast_criteria({"fluency": list(human)}, arms, dict.fromkeys(arms, 0.0), groups)
