"""How well raters agree among themselves, against scipy."""

import random
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from mogradjudge.agreement import (
    TestOptions,
    Undefined,
    copied_raters,
    human_ceiling,
    judge_ceiling,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
RANDOM = random.Random(0)


def rated(texts=40, raters="abc"):
    """Scores around a truth of each text."""
    truths = [RANDOM.uniform(1, 5) for _ in range(texts)]
    return [{rater: truth + RANDOM.gauss(0, 1) for rater in raters} for truth in truths]


def expected(texts, raters):
    """Correlate each rater with the mean of the others."""
    values = []
    for rater in raters:
        own = [scores[rater] for scores in texts if rater in scores]
        others = [
            fmean(score for name, score in scores.items() if name != rater)
            for scores in texts
            if rater in scores
        ]
        values.append(spearmanr(own, others).statistic)
    return pytest.approx(fmean(values))


def test_each_rater_is_compared_with_the_mean_of_the_others():
    texts = rated()
    assert human_ceiling(texts) == expected(texts, "abc")


def test_a_text_with_one_rating_does_not_count():
    texts = rated()
    assert human_ceiling([*texts, {"a": 5.0}, {}]) == expected(texts, "abc")


def test_a_rater_who_left_some_texts_out_counts_on_the_others():
    texts = [dict(list(scores.items())[: 2 + n % 2]) for n, scores in enumerate(rated())]
    assert human_ceiling(texts) == expected(texts, "abc")


def test_a_crowds_ratings_are_compared_by_their_places():
    texts = rated()
    crowd = [
        {f"worker {n} {rater}": score for rater, score in scores.items()}
        for n, scores in enumerate(texts)
    ]
    assert human_ceiling(crowd) == expected(texts, "abc")


def test_the_level_is_that_of_the_judges_agreement():
    texts = rated()
    groups = ["x"] * 20 + ["y"] * 20
    by_group = [human_ceiling(texts[:20]), human_ceiling(texts[20:])]
    assert human_ceiling(texts, groups, level="group") == pytest.approx(fmean(by_group))


@pytest.mark.parametrize("texts", [[], [{"a": 1.0}], [{"a": 1.0, "b": 1.0}] * 9])
def test_without_ratings_that_vary_it_is_undefined(texts):
    assert isinstance(human_ceiling(texts), Undefined)


@pytest.mark.parametrize("criterion", ["coherence", "consistency", "fluency", "relevance"])
@pytest.mark.parametrize(["name", "rows"], [("summeval", 60), ("summeval_op", 247)])
def test_real_raters_agree_as_scipy_says(name, rows, criterion):
    path = SHARED / f"{name}.dev.parquet"
    if not path.exists():
        pytest.skip(f"the development ratings are not at {path}")
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if f"raters_{criterion}" not in table.column_names:
        pytest.skip("not a criterion of this set")
    lists = table.column(f"raters_{criterion}").to_pylist()
    texts = [dict(zip("abc", scores, strict=True)) for scores in lists if len(scores or ()) == 3]
    assert len(texts) == rows
    assert human_ceiling(texts) == expected(texts, "abc")


PEARSON = TestOptions("pearson", "pooled", resamples=200)


def judged(texts=4000, raters=3, error=1.0, mistake=0.7, seed=0):
    """Ratings around truths, the truths, their means, a judge that errs and the documents."""
    rng = np.random.default_rng(seed)
    truths = rng.normal(size=texts)
    table = truths[:, None] + rng.normal(size=(texts, raters)) * error
    ratings = [dict(zip("abcdefgh", row, strict=False)) for row in table.tolist()]
    judge = truths + rng.normal(size=texts) * mistake
    return ratings, truths, table.mean(axis=1), judge, [str(text // 20) for text in range(texts)]


@pytest.mark.parametrize("raters", [2, 3, 6])
def test_a_perfect_judge_reaches_the_ceiling_and_another_a_share_of_it(raters):
    ratings, truths, human, judge, groups = judged(raters=raters)
    ceiling = judge_ceiling(ratings, human, judge, groups, PEARSON)
    assert ceiling.perfect_judge == pytest.approx(pearsonr(truths, human).statistic, abs=0.01)
    assert ceiling.share == pytest.approx(pearsonr(truths, judge).statistic, abs=0.02)
    assert ceiling.share_interval.low < ceiling.share < ceiling.share_interval.high
    assert ceiling.interval.low < ceiling.perfect_judge < ceiling.interval.high
    assert ceiling.raters == raters
    assert ceiling.one_rater < ceiling.perfect_judge


def test_the_mean_of_two_raters_is_as_reliable_as_spearman_and_brown_say():
    ratings, _, human, judge, groups = judged(100, raters=2)
    one = pearsonr([it["a"] for it in ratings], [it["b"] for it in ratings]).statistic
    ceiling = judge_ceiling(ratings, human, judge, groups, PEARSON)
    assert ceiling.perfect_judge == pytest.approx(np.sqrt(2 * one / (1 + one)))
    assert ceiling.share == pytest.approx(pearsonr(human, judge).statistic / ceiling.perfect_judge)


def test_texts_with_one_rating_count_for_the_judge_only():
    ratings, _, human, judge, groups = judged(200)
    some = judge_ceiling([*ratings[:100], *[{"a": 1.0}] * 100], human, judge, groups, PEARSON)
    others = judge_ceiling(ratings[:100], human[:100], judge[:100], groups[:100], PEARSON)
    assert some.perfect_judge == others.perfect_judge
    assert some.share == pytest.approx(pearsonr(human, judge).statistic / others.perfect_judge)


def values(ceiling):
    return ceiling.perfect_judge, ceiling.share, ceiling.interval, ceiling.share_interval


@pytest.mark.parametrize("ratings", [[{"a": 1.0}] * 40, [{"a": n, "b": -n} for n in range(40)]])
def test_without_raters_who_agree_there_is_no_ceiling(ratings):
    scores, groups = list(range(40)), list(map(str, range(40)))
    ceiling = judge_ceiling(ratings, scores, scores, groups)
    assert all(isinstance(value, Undefined) for value in values(ceiling))


@pytest.mark.parametrize("method", ["kendall", "qwk", "accuracy"])
def test_other_measures_have_the_raters_agreement_but_no_ceiling(method):
    ratings, _, human, judge, groups = judged(100)
    ceiling = judge_ceiling(ratings, human, judge, groups, TestOptions(method, "pooled"))
    assert isinstance(ceiling.one_rater, float)
    assert all(isinstance(value, Undefined) for value in values(ceiling))


@pytest.mark.parametrize(("other", "unknown"), [(4.0, 0), (3.0, 1)])
def test_a_rater_whose_others_have_no_spread_is_counted(other, unknown):
    scores, groups = [float(n % 5) for n in range(40)], list(map(str, range(40)))
    ratings = [{"ann": score, "bob": other if score else 3.0} for score in scores]
    assert judge_ceiling(ratings, scores, scores, groups).undefined_raters == unknown


@pytest.mark.parametrize(["texts", "error"], [(100, 1.0), (400, 4.0)])
def test_few_documents_or_raters_who_hardly_agree_have_no_interval(texts, error):
    ratings, _, human, judge, groups = judged(texts, error=error, seed=2)
    perfect, share, *intervals = values(judge_ceiling(ratings, human, judge, groups, PEARSON))
    assert isinstance(perfect, float) and isinstance(share, float)
    assert all(isinstance(interval, Undefined) for interval in intervals)


def copies(texts=40, scores=5, other=0):
    """Ann's scores, those of a copy with some errors, and Bob's."""
    ann = [RANDOM.randrange(scores) for _ in range(texts)]
    copy = [score + (place < other) for place, score in enumerate(ann)]
    return [
        {"ann": mine, "copy": theirs, "bob": RANDOM.randrange(scores)}
        for mine, theirs in zip(ann, copy, strict=True)
    ]


@pytest.mark.parametrize("other", [0, 1])
def test_a_rater_who_copies_another_is_found(other):
    assert copied_raters(copies(other=other)) == [("ann", "copy")]


@pytest.mark.parametrize("change", [{"texts": 10}, {"scores": 1}, {"other": 8}])
def test_few_texts_scores_without_spread_and_some_other_scores_are_no_copy(change):
    assert copied_raters(copies(**change)) == []


def test_a_copy_is_found_by_its_place_where_raters_have_no_names():
    texts = [
        {f"{n} {rater}": score for rater, score in scores.items()}
        for n, scores in enumerate(copies())
    ]
    assert copied_raters(texts) == [("1", "2")]
