"""Means over a scored table, with some rated texts: what is paid, counted and left out."""

import json
import random
import re

import dspy
import pytest

from engines import FunctionEngine, fake_lm, in_chat, user
from mogradjudge import Criterion, MultiCriteriaJudge, Rubric
from mogradjudge.agreement import prediction_powered_mean
from mogradjudge.errors import BudgetExhausted, SetupError
from mogradjudge.lm.budget import Budget
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table

CRITERIA = (Criterion("fluency", "?"), Criterion("tone", "?"))
OTHERS = range(100, 140)


def rate(request):
    """Text 7 gets 3; text 666 nothing."""
    number = int(re.search(r"text (\d+)", user(request)).group(1))
    return "?" if number == 666 else in_chat({"fluency": number % 5 + 1, "tone": 3})


def human(number):
    return min(5, number % 5 + 1 + random.Random(number).randint(0, 1))


def rated(numbers, **columns):
    return [
        {"output": f"text {n}", "human_fluency": human(n), "human_tone": 2 + n % 2, **columns}
        for n in numbers
    ]


class Estimating:
    """A judge whose calls are counted, in a folder."""

    def __init__(self, folder, group=False):
        self.folder = folder
        self.engine = FunctionEngine(rate)
        self.judge = MultiCriteriaJudge(Rubric(("output",), CRITERIA, group=group))

    @property
    def paid(self):
        return len(self.engine.requests)

    def write(self, name, rows):
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    def score(self, labelled, rows=None, watch=None, threads=4, **options):
        if rows is None:
            rows = [{"output": f"text {n}"} for n in OTHERS]
        table, other = self.write("t.jsonl", rows), self.write("labelled.jsonl", labelled)
        with dspy.context(lm=fake_lm(self.engine, cache=True)):
            how = ScoringOptions(threads, part_rows=7, estimate=other, **options)
            return score_table(self.judge, table, self.folder / "s.csv", how, watch=watch)


@pytest.fixture
def estimating(tmp_path):
    return Estimating(tmp_path)


def test_the_estimate_is_of_all_scores_and_both_tables_are_paid_and_counted(estimating):
    seen = []
    scored = estimating.score(rated(range(20)), watch=lambda *now: seen.append(now))
    judged, others = ([float(n % 5 + 1) for n in numbers] for numbers in (range(20), OTHERS))
    people = [human(n) for n in range(20)]
    expected = prediction_powered_mean(people, judged, range(20), others, OTHERS)
    assert scored.means["fluency"].estimate == expected
    assert scored.means["tone"].estimate.weight == 0  # the judge says the same of all
    assert (scored.means["fluency"].texts, scored.means["fluency"].unlabelled_texts) == (20, 40)
    assert (estimating.paid, scored.texts) == (60, 40)
    assert sum(row.calls for row in scored.ledger) == 60
    assert seen[-1] == (60, 60)


def test_without_the_option_nothing_is_estimated(estimating):
    table = estimating.write("t.jsonl", [{"output": "text 1"}])
    with dspy.context(lm=fake_lm(estimating.engine)):
        assert score_table(estimating.judge, table, table.with_name("s.csv")).means is None


def test_a_text_in_both_tables_is_paid_once_and_counts_as_rated(estimating):
    mean = estimating.score(rated([*range(18), *OTHERS[:2]])).means["fluency"]
    assert (mean.in_both, mean.texts, mean.unlabelled_texts) == (2, 20, 38)
    assert estimating.paid == 58


def test_a_text_of_the_rated_table_without_a_rating_counts_as_one_of_the_others(estimating):
    labelled = rated([*range(18), *OTHERS[:2]])
    labelled[-1]["human_fluency"] = None
    means = estimating.score(labelled).means
    assert (means["fluency"].in_both, means["tone"].in_both) == (1, 2)
    assert (means["fluency"].missing, means["tone"].missing) == (1, 0)
    assert means["fluency"].unlabelled_texts == 39


def test_a_text_with_no_rating_at_all_is_not_paid(estimating):
    labelled = [*rated(range(3)), {"output": "text 4", "human_fluency": None, "human_tone": None}]
    means = estimating.score(labelled).means
    assert estimating.paid == 43
    assert means["fluency"].missing == means["tone"].missing == 1


def test_a_short_table_does_not_end_at_the_first_rated_text_without_a_score(estimating):
    scored = estimating.score(rated([666, *range(9)]), [{"output": "text 100"}], threads=1)
    assert scored.means["fluency"].unscored == 1


def test_unscored_texts_are_counted_and_left_out(estimating):
    rows = [{"output": f"text {n}"} for n in (*OTHERS, 666)]
    first = estimating.score(rated(range(9)), rows).means["fluency"]
    (estimating.folder / "s.csv").unlink()
    second = estimating.score(rated([*range(9), 666])).means["fluency"]
    assert (first.unscored, first.unlabelled_unscored) == (0, 1)
    assert (second.unscored, second.unlabelled_unscored) == (1, 0)
    assert (second.estimate.documents, second.estimate.labelled_documents) == (9, 10)


def test_texts_of_a_document_count_as_one_in_both_tables(tmp_path):
    rows = [{"output": f"text {n}", "doc": str(n // 4)} for n in OTHERS]
    labelled = [row | {"doc": str(n // 2)} for n, row in enumerate(rated(range(20)))]
    estimate = Estimating(tmp_path, "doc").score(labelled, rows).means["fluency"].estimate
    assert (estimate.documents, estimate.unlabelled_documents) == (10, 10)


def test_documents_that_the_scored_table_does_not_name_are_refused_before_a_call(tmp_path):
    estimating = Estimating(tmp_path, "doc")
    with pytest.raises(SetupError, match="doc"):
        estimating.score(rated(range(9), doc="1"))
    assert estimating.paid == 0


def test_documents_are_found_over_both_tables(tmp_path):
    estimating = Estimating(tmp_path)
    estimating.judge = MultiCriteriaJudge(Rubric(("source", "output"), CRITERIA))
    rows = [{"source": f"source {n // 4}", "output": f"text {n}"} for n in OTHERS]
    labelled = [row | {"source": f"source {n // 2}"} for n, row in enumerate(rated(range(20)))]
    estimate = estimating.score(labelled, rows).means["fluency"].estimate
    assert (estimate.documents, estimate.unlabelled_documents) == (10, 10)


@pytest.mark.parametrize("labelled", [[], rated([1])[0] | {"human_fluency": None}])
def test_a_rated_table_without_ratings_is_refused_before_a_call(labelled, estimating):
    rows = [labelled | {"human_tone": None}] if labelled else []
    with pytest.raises(SetupError, match=r"labelled\.jsonl"):
        estimating.score(rows)
    assert estimating.paid == 0


def test_the_rated_table_is_not_written_over(estimating):
    with pytest.raises(SetupError, match="--out"):
        out = estimating.write("rated.jsonl", rated(range(3)))
        table = estimating.write("t.jsonl", [{"output": "text 1"}])
        how = ScoringOptions(estimate=out, overwrite=True)
        with dspy.context(lm=fake_lm(estimating.engine)):
            score_table(estimating.judge, table, out, how)


def test_the_cap_counts_both_tables_and_a_resumed_estimate_pays_for_the_rest_only(estimating):
    with pytest.raises(BudgetExhausted):
        estimating.score(rated(range(20)), budget=Budget(max_calls=30))
    assert estimating.paid == 30
    scored = estimating.score(rated(range(20)))
    assert estimating.paid == 60
    assert scored.means["fluency"].unlabelled_texts == 40
