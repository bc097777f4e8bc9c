"""Bootstrap intervals against loops over the same documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from mogradjudge.agreement import (
    Interval,
    TestOptions,
    Undefined,
    bootstrap_criteria,
    correlate,
    document_values,
    hierarchical,
    reported_intervals,
)
from mogradjudge.agreement.bootstrap import percentiles, student_interval
from mogradjudge.errors import SetupError
from ratings import METHODS, scores

LEVELS = pytest.mark.parametrize("level", ["pooled", "group"])


def bootstrap(human, judge, groups, **options):
    """Give the interval of one criterion, pooled if nothing else is said."""
    how = TestOptions(**{"level": "pooled", **options})
    return bootstrap_criteria({"": human}, {"": judge}, groups, how)[""]


def loop(human, judge, groups, resamples, seed, **how):
    """Resample whole documents one by one; the documents drawn are those of the package."""
    names, codes = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(codes == place) for place in range(len(names))]
    values = []
    for drawn in np.random.default_rng(seed).integers(len(names), size=(resamples, len(names))):
        rows = np.concatenate([members[document] for document in drawn])
        # A document drawn twice counts as two.
        copies = [str(copy) for copy, document in enumerate(drawn) for _ in members[document]]
        values.append(correlate(human[rows], judge[rows], copies, **how).value)
    return values


def expected(value, resampled, documents, confidence=0.95):
    """Give Student's interval around a correlation on the scale of Fisher's z."""
    error = np.std(resampled) * np.sqrt(documents / (documents - 1)) / (1 - value**2)
    reach = student.ppf((1 + confidence) / 2, documents - 1) * error
    return pytest.approx(tuple(np.tanh(np.arctanh(value) + np.array([-reach, reach]))), abs=1e-9)


@METHODS
@LEVELS
@pytest.mark.parametrize("levels", [5, 0], ids=["whole", "continuous"])
def test_the_interval_is_that_of_a_loop(method, level, levels):
    human, judge, groups = scores(15, 6, seed=1, levels=levels)
    how = {"method": method, "level": level}
    values = loop(human, judge, groups, 60, 5, **how)
    found = bootstrap(human, judge, groups, resamples=60, seed=5, confidence=0.9, **how)
    value = correlate(human, judge, groups, **how).value
    documents = len(document_values(human, judge, groups, **how))
    assert (found.low, found.high) == expected(value, values, documents, 0.9)
    assert found.confidence == 0.9


@LEVELS
def test_criteria_share_the_documents_drawn(level):
    table = {name: scores(15, 6, seed=seed) for seed, name in enumerate(["coherence", "fluency"])}
    groups = table["fluency"][2]
    human, judge = ({n: each[side] for n, each in table.items()} for side in (0, 1))
    found = bootstrap_criteria(human, judge, groups, TestOptions(level=level, resamples=60, seed=2))
    values = {n: loop(human[n], judge[n], groups, 60, 2, level=level) for n in human}
    rated = {n: set(document_values(human[n], judge[n], groups, level=level)) for n in human}
    rated["mean"] = set().union(*rated.values())
    whole = {n: correlate(human[n], judge[n], groups, level=level).value for n in human}
    values["mean"] = np.mean(list(values.values()), axis=0)
    whole["mean"] = np.mean(list(whole.values()))
    for name, resampled in values.items():
        assert (found[name].low, found[name].high) == expected(
            whole[name], resampled, len(rated[name])
        )
    alone = bootstrap(human["fluency"], judge["fluency"], groups, level=level, resamples=60, seed=2)
    assert alone == found["fluency"]


def test_the_order_of_the_texts_and_of_the_documents_names_is_no_matter():
    human, judge, groups = scores(15, 6, seed=4)
    order = np.random.default_rng(0).permutation(len(human))
    shuffled = human[order], judge[order], [groups[place] for place in order]
    one, other = bootstrap(human, judge, groups), bootstrap(*shuffled)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)
    assert bootstrap(human, judge, groups, seed=1) != one


@LEVELS
def test_drawing_some_resamples_at_a_time_changes_nothing(level, monkeypatch):
    human, judge, groups = scores(15, 6, seed=4)
    found = bootstrap(human, judge, groups, level=level, resamples=101)
    monkeypatch.setattr("mogradjudge.agreement.coefficients.CELLS", 100)
    again = bootstrap(human, judge, groups, level=level, resamples=101)
    assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=1e-12)


def test_a_table_without_documents_is_resampled_by_text():
    human, judge, _ = scores(40, 500, seed=0)
    each_alone = [str(place) for place in range(len(human))]
    found = bootstrap(human, judge, each_alone, resamples=40)
    assert found.low < correlate(human, judge).value < found.high
    assert found.high - found.low < 0.05
    with pytest.raises(SetupError, match="takes at most 5000 documents, got 20000"):
        bootstrap(human, judge, each_alone, method="kendall", resamples=40)


def test_a_text_without_a_score_is_left_out_of_its_criterion_only():
    human, judge, groups = scores(15, 6, seed=4)
    gaps = [None if place % 7 == 0 else float(score) for place, score in enumerate(judge)]
    both = {"coherence": human, "fluency": human}
    found = bootstrap_criteria(
        both, {"coherence": judge, "fluency": gaps}, groups, TestOptions(level="pooled", seed=3)
    )
    assert found["coherence"] == bootstrap(human, judge, groups, seed=3)
    kept = [place for place, score in enumerate(gaps) if score is not None]
    fewer = bootstrap(human[kept], judge[kept], [groups[place] for place in kept], seed=3)
    assert found["fluency"] == fewer


def test_what_has_no_interval_says_why():
    human, judge, groups = scores(2, 6, seed=0)
    assert bootstrap(human, judge, groups) == Undefined("no interval: 2 documents, and it needs 3")
    human, judge, groups = scores(15, 6, seed=0)
    flat = np.full(len(human), 3.0)
    none = Undefined("most resamples have no agreement")
    assert bootstrap(flat, judge, groups) == none
    found = bootstrap_criteria(
        {"a": flat, "b": human, "c": [None] * 90},
        {"a": judge, "b": judge, "c": judge},
        groups,
        TestOptions(level="pooled"),
    )
    assert [found["a"], found["c"]] == [none, Undefined("no text has both scores")]
    assert found["mean"] == found["b"]


def test_an_agreement_that_no_resample_changes_is_its_own_interval():
    assert student_interval(1.0, np.ones(20), 9) == Interval(1.0, 1.0)


@pytest.mark.parametrize("level", ["pooled", "group"])
def test_where_nothing_has_a_value_the_reason_is_not_the_resamples(level):
    _, judge, groups = scores(9, 2, seed=0)
    unrated = reported_intervals({"a": [None] * 18}, {"a": judge}, groups, level=level)
    few = reported_intervals({"a": [1, 2] * 9}, {"a": judge}, groups, level="group")
    for found, what in ((unrated, "text"), (few, "3 texts")):
        assert found["a"] == found["mean"]
        assert what in found["a"].reason and "resamples" not in found["a"].reason


def test_only_documents_that_both_rated_count_for_a_reported_interval():
    human, judge, groups = scores(9, 6, seed=0)
    gaps = [
        None if group in groups[:12] else score for score, group in zip(human, groups, strict=True)
    ]
    rated = {"all": list(human), "seven": gaps}
    found = reported_intervals(rated, {"all": judge, "seven": judge}, groups)
    assert isinstance(found["all"], Interval)
    assert found["seven"] == Undefined("no interval: 7 documents, and it needs 8")


def test_a_document_without_a_correlation_does_not_count_within_documents():
    human, judge, groups = scores(9, 6, seed=0)
    human[:6], human[6:12] = 3.0, 4.0  # of two documents all ratings are equal
    columns = {"fluency": list(human)}, {"fluency": list(judge)}, groups
    within = reported_intervals(*columns, level="group")
    assert within["fluency"].reason == "no interval: 7 documents with a value, and it needs 8"
    assert within["mean"] == within["fluency"]
    assert isinstance(reported_intervals(*columns, level="pooled")["fluency"], Interval)


def test_the_mean_counts_documents_with_a_value_on_any_criterion():
    human, judge, groups = scores(9, 6, seed=0)
    halves = [
        [
            None if (group in groups[:30]) == first else score
            for score, group in zip(human, groups, strict=True)
        ]
        for first in (True, False)
    ]
    rated = dict(zip("ab", halves, strict=True))
    found = reported_intervals(rated, dict.fromkeys("ab", judge), groups)
    assert isinstance(found["a"], Undefined) and isinstance(found["b"], Undefined)
    assert isinstance(found["mean"], Interval)


RESAMPLED = st.lists(st.floats(-1, 1), min_size=2, max_size=30)


@given(st.floats(-1, 1), RESAMPLED, st.integers(2, 100), st.floats(0.5, 0.99))
def test_an_interval_holds_its_value_and_stays_in_the_range(value, resampled, documents, share):
    found = student_interval(value, np.array(resampled), documents, share)
    assert -1 <= found.low <= value <= found.high <= 1
    as_share = student_interval((value + 1) / 2, np.array(resampled), documents, share, lowest=0.0)
    assert 0 <= as_share.low <= (value + 1) / 2 <= as_share.high <= 1
    wide = student_interval(value, np.array(resampled), documents, share, lowest=None)
    assert wide.low <= value <= wide.high


@given(st.floats(-0.99, 0.99), RESAMPLED, st.integers(2, 50), st.integers(1, 50))
def test_an_interval_is_wider_with_fewer_documents(value, resampled, documents, more):
    few = student_interval(value, np.array(resampled), documents)
    many = student_interval(value, np.array(resampled), documents + more)
    assert few.low <= many.low + 1e-12 and many.high <= few.high + 1e-12


@LEVELS
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), documents=st.integers(3, 12))
def test_an_agreements_interval_holds_it(level, seed, documents):
    human, judge, groups = scores(documents, 5, seed=seed)
    found = bootstrap(human, judge, groups, level=level, resamples=50)
    value = correlate(human, judge, groups, level=level).value
    assert isinstance(found, Undefined) or -1 <= found.low <= value <= found.high <= 1


def test_an_interval_needs_half_of_the_resamples():
    values = np.array([0.1, 0.2, 0.3, np.nan, np.nan, np.nan])
    assert percentiles(values, 0.95).low == pytest.approx(0.105)
    assert isinstance(percentiles(values[1:], 0.95), Undefined)


def test_a_hierarchical_interval_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4, 10))
    table[1, 3] = np.nan
    draws = np.random.default_rng(9)
    seeds, documents = draws.integers(4, size=(200, 4)), draws.integers(10, size=(200, 10))
    means = [np.nanmean(table[np.ix_(*each)]) for each in zip(seeds, documents, strict=True)]
    found = hierarchical(table, resamples=200, seed=9)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_a_hierarchical_interval_knows_that_seeds_vary():
    rng = np.random.default_rng(1)
    documents = rng.normal(0.1, 0.2, size=30)
    alike = np.tile(documents, (5, 1))
    apart = alike + rng.normal(0, 0.2, size=(5, 1))
    narrow, wide = hierarchical(alike), hierarchical(apart)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert isinstance(hierarchical([[0.1, 0.2, 0.3]]), Undefined)
    assert isinstance(hierarchical(np.full((3, 5), np.nan)), Undefined)


def test_an_interval_keeps_its_two_plain_arguments():
    assert Interval(0.1, 0.2) == Interval(low=0.1, high=0.2, confidence=0.95)


@pytest.mark.parametrize(
    ["call", "message"],
    [
        (lambda h, j, g: bootstrap(h, j, g, resamples=0), "`resamples` must be >= 1, got 0"),
        (lambda h, j, g: bootstrap(h, j, g, confidence=95), "`confidence` must lie between 0 and"),
        (lambda h, j, g: bootstrap(h, j[1:], g), "human, judge and groups must have one length"),
        (lambda h, j, g: bootstrap_criteria({"a": h}, {"b": j}, g), r"for \['a'\], got \['b'\]"),
        (lambda h, j, g: bootstrap_criteria({"mean": h}, {"mean": j}, g), "not be named 'mean'"),
        (lambda h, j, g: hierarchical(h), "`values` must be a table of seeds by documents"),
        (
            lambda h, j, g: hierarchical([h, j[1:]]),
            "`values` must be a table of seeds by documents",
        ),
    ],
)
def test_what_cannot_be_resampled_is_refused(call, message):
    with pytest.raises(SetupError, match=message):
        call(*scores(5, 4, seed=0))
