"""Scores of a program that is not a judge: its objectives' values, with intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from statistics import fmean

import numpy as np

from mogradjudge.agreement import (
    FEWEST_DOCUMENTS,
    Comparison,
    Interval,
    Undefined,
    cluster_test,
    holm,
)
from mogradjudge.agreement.bootstrap import draw, ratio, student_interval
from mogradjudge.agreement.claims import Claim, claim, untestable
from mogradjudge.agreement.coefficients import Array
from mogradjudge.agreement.weighted_mean import Weights, mean_of, means_of
from mogradjudge.programs.judged_text import JudgedText, Values
from mogradjudge.report.estimates import MEAN, Estimate, Scoring
from mogradjudge.report.run_data import TEST, RunData

OWN_WAY = "the objective does not take the mean of its scores"
_RESAMPLES = 1000


def own_scoring(run: RunData, step: int, split: str, names: Sequence[str] | None = None) -> Scoring:
    """Return the values of the run's own objectives.

    An objective has an interval if its values are the plain means of its scores. The interval
    resamples whole documents (the cluster bootstrap).

    Args:
        run: The run.
        step: The step whose instructions were scored; 0 is the initial instructions.
        split: The split of the texts.
        names: The objectives that the mean is over; all that have a value if it is None.
    """
    texts, values, means = run.texts(step, split), _values(run, step, split), plain_means(run)
    documents = len({text.group for text in texts})
    if names is None:
        names = [name for name in run.criteria if values.get(name) is not None]
    intervals = _intervals(texts, [*run.criteria], [*names], run.weights)

    def estimate(name: str, value: float | None, objectives: Sequence[str]) -> Estimate:
        groups = [text.group for text in texts if _is_scored(text, objectives)]
        interval = intervals[name]
        if value is None:
            interval = Undefined("no value is recorded")
        elif not set(objectives) <= means:
            interval = Undefined(f"no interval: {OWN_WAY}")
        known, why = (None, interval.reason) if isinstance(interval, Undefined) else (interval, "")
        return Estimate(value, known, why, len(groups), len(set(groups)))

    estimates = {name: estimate(name, values.get(name), [name]) for name in run.criteria}
    estimates[MEAN] = estimate(
        MEAN, mean_of({name: values.get(name) for name in names}, run.weights), names
    )
    return Scoring(step, split, len(texts), documents, estimates)


def _is_scored(text: JudgedText, objectives: Sequence[str]) -> bool:
    return any(text.scores.get(objective) is not None for objective in objectives)


def plain_means(run: RunData) -> set[str]:
    """Return the objectives whose recorded values are all the mean of their texts' scores."""
    matches: dict[str, bool] = {}
    for step, split in run.scored:
        values = _values(run, step, split)
        for name in run.criteria:
            value = values.get(name)
            scores = [s for t in run.texts(step, split) if (s := t.scores.get(name)) is not None]
            if value is not None and scores:
                same = math.isclose(value, fmean(scores), rel_tol=1e-9, abs_tol=1e-9)
                matches[name] = matches.get(name, True) and same
    return {name for name, holds in matches.items() if holds}


def own_claims(
    run: RunData, first: Sequence[JudgedText], last: Sequence[JudgedText], names: Sequence[str]
) -> dict[str, Claim]:
    """Test the difference of mean scores on whole documents: of the mean, and of each objective.

    Args:
        run: The run.
        first: The texts scored by the initial instructions.
        last: The same texts scored by the best instructions.
        names: The objectives that have a value for both.
    """
    columns = {name: column for name in names if (column := _differences(first, last, name))}
    documents = dict.fromkeys(group for column in columns.values() for group in column)
    by_document = (
        {name: column.get(group, 0.0) for name, column in columns.items()} for group in documents
    )
    means = [it for values in by_document if (it := mean_of(values, run.weights)) is not None]
    mean = claim("best minus initial, mean score per text", cluster_test(means))
    return {MEAN: mean, **_claims_by_objective(columns, names, plain_means(run))}


def _claims_by_objective(
    columns: Mapping[str, Mapping[str, float]], names: Sequence[str], known: Set[str]
) -> dict[str, Claim]:
    comparisons = {
        name: cluster_test([*columns[name].values()]) if name in columns else Undefined("no texts")
        for name in names
        if name in known
    }
    tested = {
        name: comparison.p_value
        for name, comparison in comparisons.items()
        if isinstance(comparison, Comparison)
    }
    adjusted, family = holm(tested), max(1, len(tested))
    claims = {}
    for name in names:
        what = f"best minus initial, {name}"
        claims[name] = (
            claim(what, comparisons[name], p_value=adjusted.get(name), family=family)
            if name in known
            else untestable(what, OWN_WAY)
        )
    return claims


def _differences(
    first: Sequence[JudgedText], last: Sequence[JudgedText], name: str
) -> dict[str, float]:
    """Return values by document; their mean is the difference of the mean scores of all texts."""
    sums: dict[str, float] = {}
    texts = 0
    for before, after in zip(first, last, strict=True):
        old, new = before.scores.get(name), after.scores.get(name)
        if old is not None and new is not None:
            sums[before.group] = sums.get(before.group, 0.0) + new - old
            texts += 1
    return {group: total * len(sums) / texts for group, total in sums.items()}


def _intervals(
    texts: Sequence[JudgedText], every: Sequence[str], of_mean: Sequence[str], weights: Weights
) -> dict[str, Interval | Undefined]:
    documents = {group: place for place, group in enumerate(dict.fromkeys(t.group for t in texts))}
    sums, counts = np.zeros((2, len(every), len(documents)))
    for text in texts:
        for row, name in enumerate(every):
            if (score := text.scores.get(name)) is not None:
                sums[row, documents[text.group]] += score
                counts[row, documents[text.group]] += 1
    whole = np.ones((1, len(documents)))
    drawn = np.vstack([whole, draw(np.random.default_rng(0), len(documents), _RESAMPLES)])
    values = {name: ratio(drawn @ sums[row], drawn @ counts[row]) for row, name in enumerate(every)}
    numbers = {name: int((counts[row] > 0).sum()) for row, name in enumerate(every)}
    in_mean = {name: values[name] for name in of_mean}
    undefined = np.full(_RESAMPLES + 1, np.nan)
    values[MEAN] = means_of(in_mean, weights, complete=True) if in_mean else undefined
    numbers[MEAN] = max((numbers[name] for name in of_mean), default=0)
    return {name: _interval(of_name, numbers[name]) for name, of_name in values.items()}


def _interval(values: Array, documents: int) -> Interval | Undefined:
    if documents < FEWEST_DOCUMENTS:
        return Undefined(f"no interval: {documents} documents, and it needs {FEWEST_DOCUMENTS}")
    return student_interval(float(values[0]), values[1:], documents, lowest=None)


def _values(run: RunData, step: int, split: str) -> Values:
    if split == TEST:
        test = None if run.state is None else run.state.test
        if test is None:
            return {}
        return (test.seed if step == 0 else test.final).as_dict()
    if step == 0:
        return {} if run.seeded is None else run.seeded.agreement
    decided = next((taken.decided for taken in run.steps if taken.number == step), None)
    return {} if decided is None else decided.proposed
