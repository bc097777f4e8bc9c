"""Figures of a program that is no judge: its objectives' own scores, with intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from mogradjudge.agreement.bootstrap import draw, percentiles, ratio
from mogradjudge.agreement.claims import Claim, claim, refused
from mogradjudge.agreement.coefficients import Array
from mogradjudge.optimize.events import JudgedText, Values
from mogradjudge.report.estimates import MEAN, Estimate, Scoring
from mogradjudge.report.run_data import TEST, RunData

OWN_WAY = "the objective sums up its scores in a way of its own, which is not their mean"
_RESAMPLES = 1000


def own_scoring(run: RunData, step: int, split: str, names: Sequence[str] | None = None) -> Scoring:
    """Give what the run's own objectives came to.

    An objective has an interval where its values are the plain means of its scores, by resampling
    whole documents (the cluster bootstrap).

    Args:
        run: The run.
        step: Whose instructions; 0 is the seed.
        split: On which texts.
        names: The objectives that the mean is over; all that have a value if it is None.
    """
    texts, values, means = run.texts(step, split), _values(run, step, split), plain_means(run)
    documents = len({text.group for text in texts})
    if names is None:
        names = [name for name in run.criteria if values.get(name) is not None]
    intervals = _intervals(texts, [*run.criteria], [*names])

    def estimate(name: str, of: Sequence[str]) -> Estimate:
        scored = [t for t in texts if any(t.scores.get(objective) is not None for objective in of)]
        value = (
            values.get(name) if name != MEAN else _mean([values.get(objective) for objective in of])
        )
        drawn = intervals[name]
        if value is None:
            why = "no value is recorded"
        elif not set(of) <= means:
            why = f"no interval: {OWN_WAY}"
        else:
            why = drawn.reason if isinstance(drawn, Undefined) else ""
        interval = None if why or isinstance(drawn, Undefined) else drawn
        return Estimate(value, interval, why, len(scored), len({t.group for t in scored}))

    estimates = {name: estimate(name, [name]) for name in run.criteria}
    return Scoring(step, split, len(texts), documents, {**estimates, MEAN: estimate(MEAN, names)})


def plain_means(run: RunData) -> set[str]:
    """Name the objectives whose every recorded value is the mean of its texts' scores."""
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
        first: The seed's texts.
        last: The final instructions' texts, the same ones.
        names: The objectives that have a value for both.
    """
    columns = {name: column for name in names if (column := _differences(first, last, name))}
    documents = dict.fromkeys(group for column in columns.values() for group in column)
    means = [fmean(column.get(group, 0.0) for column in columns.values()) for group in documents]
    claims = {MEAN: claim("final less seed, mean score per text", cluster_test(means))}
    known = plain_means(run)
    comparisons = {
        name: cluster_test([*columns[name].values()]) if name in columns else Undefined("no texts")
        for name in names
    }
    tested = {
        name: comparison.p_value
        for name, comparison in comparisons.items()
        if isinstance(comparison, Comparison) and name in known
    }
    adjusted = holm(tested)
    for name, comparison in comparisons.items():
        what = f"final less seed, {name}"
        if name not in known:
            claims[name] = refused(what, OWN_WAY)
            continue
        claims[name] = claim(
            what, comparison, p_value=adjusted.get(name), family=max(1, len(tested))
        )
    return claims


def _differences(
    first: Sequence[JudgedText], last: Sequence[JudgedText], name: str
) -> dict[str, float]:
    """Give documents' values whose mean is the difference of the mean scores of all texts."""
    sums: dict[str, float] = {}
    texts = 0
    for before, after in zip(first, last, strict=True):
        old, new = before.scores.get(name), after.scores.get(name)
        if old is not None and new is not None:
            sums[before.group] = sums.get(before.group, 0.0) + new - old
            texts += 1
    return {group: total * len(sums) / texts for group, total in sums.items()}


def _intervals(
    texts: Sequence[JudgedText], every: Sequence[str], of_mean: Sequence[str]
) -> dict[str, Interval | Undefined]:
    documents = {group: place for place, group in enumerate(dict.fromkeys(t.group for t in texts))}
    if len(documents) < FEWEST_DOCUMENTS:
        few = Undefined(f"no interval: {len(documents)} documents, and it needs {FEWEST_DOCUMENTS}")
        return dict.fromkeys([*every, MEAN], few)
    weights = draw(np.random.default_rng(0), len(documents), _RESAMPLES)
    values: dict[str, Array] = {}
    for name in every:
        sums, counts = np.zeros(len(documents)), np.zeros(len(documents))
        for text in texts:
            if (score := text.scores.get(name)) is not None:
                sums[documents[text.group]] += score
                counts[documents[text.group]] += 1
        values[name] = ratio(weights @ sums, weights @ counts)
    mean = [values[name] for name in of_mean]
    values[MEAN] = np.mean(mean, axis=0) if mean else np.full(_RESAMPLES, np.nan)
    return {name: percentiles(resampled, 0.95) for name, resampled in values.items()}


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


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
