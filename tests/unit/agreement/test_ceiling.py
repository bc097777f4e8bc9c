"""How well raters agree among themselves, against scipy."""

import random
from pathlib import Path
from statistics import fmean

import pytest
from scipy.stats import spearmanr

from mogradjudge.agreement import Undefined, human_ceiling

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
