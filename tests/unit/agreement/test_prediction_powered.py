"""Prediction-powered means: laws, and other people's formulas as oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mogradjudge.agreement import Undefined, prediction_powered_mean
from mogradjudge.errors import SetupError

seeds = st.integers(0, 10_000)


def drawn(seed, labelled=20, others=80, slope=1.0, texts=1):
    """Human and judge scores of labelled texts, their documents, and those of the other texts."""
    rng = np.random.default_rng(seed)
    documents = np.repeat(np.arange(labelled + others), texts)
    human = rng.normal(3, 1, labelled + others)[documents] + rng.normal(size=len(documents))
    judge = slope * human + rng.normal(1, 0.5, len(documents))
    cut = labelled * texts
    names = [f"document {number}" for number in documents]
    return human[:cut], judge[:cut], names[:cut], judge[cut:], names[cut:]


def ends(interval):
    return pytest.approx((interval.low, interval.high))


def t_interval(values):
    return stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))


@given(seeds)
@settings(max_examples=20)
def test_a_weight_of_0_is_the_mean_of_the_labelled_documents(seed):
    human, *others = drawn(seed)
    estimate = prediction_powered_mean(human, *others, weight=0.0)
    assert estimate.value == estimate.labelled == pytest.approx(human.mean())
    assert t_interval(human) == ends(estimate.interval)
    assert estimate.interval == estimate.labelled_interval
    assert estimate.gain == 0


@given(seeds)
@settings(max_examples=20)
def test_a_weight_of_1_is_inference_without_tuning(seed):
    """Angelopoulos et al. 2023, "Prediction-powered inference", algorithm 1, with Student's t."""
    human, judge, names, unlabelled, others = drawn(seed)
    estimate = prediction_powered_mean(human, judge, names, unlabelled, others, weight=1.0)
    error = human - judge
    spread = np.sqrt(stats.sem(error) ** 2 + stats.sem(unlabelled) ** 2)
    middle = unlabelled.mean() + error.mean()
    assert estimate.value == pytest.approx(middle)
    assert stats.t.interval(0.95, 19, middle, spread) == ends(estimate.interval)


@given(seeds)
@settings(max_examples=20)
def test_a_judge_that_is_never_wrong_is_worth_all_the_labels(seed):
    human, _, names, unlabelled, others = drawn(seed)
    estimate = prediction_powered_mean(human, human, names, unlabelled, others)
    together = np.concatenate([human, unlabelled])
    assert estimate.weight == pytest.approx(80 / 100)
    assert estimate.value == pytest.approx(together.mean())
    spread = np.sqrt(20 * human.var(ddof=1) + 80 * unlabelled.var(ddof=1)) / 100
    assert stats.t.interval(0.95, 19, together.mean(), spread) == ends(estimate.interval)


def test_a_judge_that_guesses_has_nearly_no_weight_and_changes_nearly_nothing():
    human, judge, *others = drawn(1, labelled=2000, others=8000, slope=0.0)
    estimate = prediction_powered_mean(human, judge, *others)
    assert estimate.weight < 0.1
    assert estimate.value == pytest.approx(estimate.labelled, abs=0.01)
    assert estimate.gain == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("slope", [-1.0, 0.0])
def test_a_judge_that_is_constant_or_contrary_has_no_weight(slope):
    human, judge, names, unlabelled, others = drawn(2, slope=slope)
    if slope == 0:
        judge, unlabelled = np.full(20, 3.0), np.full(80, 3.0)
    estimate = prediction_powered_mean(human, judge, names, unlabelled, others)
    assert (estimate.weight, estimate.gain) == (0, 0)


@given(seeds, st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_texts_does_not_matter(seed, random):
    human, judge, names, unlabelled, others = drawn(seed, texts=2)
    first, second = (random.sample(range(len(side)), len(side)) for side in (human, unlabelled))
    shuffled = prediction_powered_mean(
        human[first],
        judge[first],
        [names[place] for place in first],
        unlabelled[second],
        [others[place] for place in second],
    )
    estimate = prediction_powered_mean(human, judge, names, unlabelled, others)
    assert shuffled.value == pytest.approx(estimate.value)
    assert (shuffled.interval.low, shuffled.interval.high) == ends(estimate.interval)


@given(seeds)
@settings(max_examples=20)
def test_texts_of_a_document_count_as_one(seed):
    human, judge, names, unlabelled, others = drawn(seed, labelled=10, others=20)
    once = prediction_powered_mean(human, judge, names, unlabelled, others)
    twice = prediction_powered_mean(
        np.tile(human, 2), np.tile(judge, 2), names * 2, np.tile(unlabelled, 2), others * 2
    )
    assert twice.value == pytest.approx(once.value)
    assert (twice.interval.low, twice.interval.high) == ends(once.interval)
    assert (twice.documents, twice.unlabelled_documents) == (10, 20)


def test_a_document_on_both_sides_is_one_cluster():
    """Its two shares of the error add up before they are squared."""
    human, judge, names, unlabelled, _ = drawn(3, labelled=12, others=12)
    estimate = prediction_powered_mean(human, judge, names, unlabelled, names, weight=0.5)
    spread = stats.sem(human - 0.5 * judge + 0.5 * unlabelled)
    low, high = stats.t.interval(0.95, 11, estimate.value, spread)
    assert (low, high) == ends(estimate.interval)


def test_texts_without_a_score_are_left_out_and_do_not_flatter_the_judge():
    human, judge, names, unlabelled, others = drawn(4)
    judge, unlabelled = [*judge[:15], *[None] * 5], [None, *unlabelled[1:]]
    estimate = prediction_powered_mean([None, *human[1:]], judge, names, unlabelled, others)
    assert (estimate.documents, estimate.labelled_documents) == (14, 19)
    assert estimate.unlabelled_documents == 79
    assert estimate.labelled == pytest.approx(human[1:].mean())  # also of those without a judge's


@pytest.mark.parametrize("others", [0, 1])
def test_without_other_documents_the_labelled_ones_speak(others):
    estimate = prediction_powered_mean(*drawn(5, others=others))
    assert (estimate.weight, estimate.gain) == (0, 0)


@pytest.mark.parametrize(["labelled", "has_value"], [(0, False), (1, True)])
def test_without_two_labelled_documents_there_is_no_interval(labelled, has_value):
    estimate = prediction_powered_mean(*drawn(6, labelled=labelled))
    assert isinstance(estimate.value, float) == has_value
    assert isinstance(estimate.interval, Undefined) and estimate.gain is None


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_lies_between_0_and_1(weight):
    with pytest.raises(SetupError, match="weight"):
        prediction_powered_mean(*drawn(7), weight=weight)
