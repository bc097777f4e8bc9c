"""Intervals from resampling whole documents, or seeds and documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.checks import (
    Groups,
    check_lengths,
    check_names,
    gappy,
    group_codes,
)
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Scores,
    Undefined,
    blocks,
    group_values,
)
from mogradjudge.agreement.options import DEFAULTS, Level, TestOptions, check_options
from mogradjudge.agreement.weighted_correlation import weighted_values
from mogradjudge.errors import SetupError

FEWEST_DOCUMENTS = 8
"""With fewer documents a bootstrap interval is far too narrow, and none is reported."""
NARROW_DOCUMENTS = 30
"""With fewer documents a percentile interval is somewhat too narrow."""


@dataclass(frozen=True)
class Interval:
    """An interval that contains the true value with this confidence.

    >>> Interval(0.2, 0.6)
    Interval(low=0.2, high=0.6, confidence=0.95)
    """

    low: float
    high: float
    confidence: float = 0.95


def bootstrap_criteria(
    human: Mapping[str, Scores],
    judge: Mapping[str, Scores],
    groups: Sequence[str],
    options: TestOptions = DEFAULTS,
) -> dict[str, Interval | Undefined]:
    """Return a percentile interval for each criterion and, as "mean", for their mean.

    It is an interval for the value of `correlate`. Whole groups are resampled; a group drawn twice
    counts twice. All criteria share the resamples, so that the mean's interval accounts for their
    correlation.

    With fewer than about 30 groups an interval is too narrow, as percentile intervals are. To
    compare two judges, test their difference (`compare`): their intervals may overlap even if they
    differ.

    Source: the cluster bootstrap, Davison and Hinkley 1997, "Bootstrap Methods and their
    Application", section 3.8; over inputs Deutsch, Dror and Roth 2021, "A Statistical Analysis of
    Summarization Evaluation Metrics Using Resampling Methods" (Boot-Inputs).

    >>> documents = [name for name in "abcdef" for _ in range(3)]
    >>> human, judge = {"fluency": [1, 2, 3] * 6}, {"fluency": [2, 1, 3] * 6}
    >>> bootstrap_criteria(human, judge, documents, TestOptions(resamples=100))["fluency"]
    Interval(low=0.5, high=0.5, confidence=0.95)

    Args:
        human: Human scores by criterion, each of length n; None where there is none.
        judge: Judge scores by criterion, each of length n. A text with None on either side is left
            out of that criterion.
        groups: The group of each text, length n.
        options: How agreement is measured, and how many resamples are drawn.

    Raises:
        SetupError: If the lengths differ, a score is not finite, the criteria of the two differ, or
            one is named "mean".
    """
    check_names("Judge scores", judge, human)
    if "mean" in human:
        raise SetupError("A criterion must not be named 'mean': results use that name.")
    documents = group_codes(groups)
    if len(documents) < FEWEST:
        few = Undefined(f"{len(documents)} groups, and an interval needs {FEWEST}")
        return dict.fromkeys([*human, "mean"], few)
    columns = {}
    for name, scores in human.items():
        check_lengths({"human": scores, "judge": judge[name], "groups": groups})
        columns[name] = gappy("human", scores), gappy("judge", judge[name])
    values = _resampled_criteria(columns, documents, options)
    intervals = {
        name: percentiles(resampled, options.confidence) for name, resampled in values.items()
    }
    defined = [values[name] for name in human if isinstance(intervals[name], Interval)]
    mean = np.mean(defined, axis=0) if defined else np.full(options.resamples, np.nan)
    return {**intervals, "mean": percentiles(mean, options.confidence)}


def _resampled_criteria(
    columns: Mapping[str, tuple[Array, Array]], documents: Groups, options: TestOptions
) -> dict[str, Array]:
    """Return each criterion's agreement on each resample; all share the resamples."""
    values = {name: np.empty(options.resamples) for name in columns}
    rng = np.random.default_rng(options.seed)
    for rows in blocks(options.resamples, len(documents)):
        weights = draw(rng, len(documents), rows.stop - rows.start)
        for name, sides in columns.items():
            values[name][rows] = resampled_values(*sides, documents, weights, options)
    return values


def reported_intervals(
    human: Mapping[str, Scores],
    judge: Mapping[str, Scores],
    groups: Sequence[str],
    *,
    level: Level = "pooled",
) -> dict[str, Interval | Undefined]:
    """Return the intervals of `bootstrap_criteria`; none for fewer than 8 documents.

    >>> reported_intervals({"fluency": [1, 2, 3]}, {"fluency": [2, 1, 3]}, "abc")["fluency"].reason
    'no interval: 3 documents, and it needs 8'

    Args:
        human: As for `bootstrap_criteria`.
        judge: As for `bootstrap_criteria`.
        groups: As for `bootstrap_criteria`.
        level: As for `correlate`.

    Raises:
        SetupError: As for `bootstrap_criteria`.
    """
    options = TestOptions(level=level)
    rated = {name: _rated_groups(scores, judge[name], groups) for name, scores in human.items()}
    documents = {**rated, "mean": set[str]().union(*rated.values())}
    enough = [name for name, names in rated.items() if len(names) >= FEWEST_DOCUMENTS]
    first, second = ({name: side[name] for name in enough} for side in (human, judge))
    intervals = bootstrap_criteria(first, second, groups, options) if enough else {}
    if len(enough) < len(rated):  # the mean is one over all criteria
        intervals["mean"] = bootstrap_criteria(human, judge, groups, options)["mean"]
    return {
        name: intervals[name]
        if len(names) >= FEWEST_DOCUMENTS
        else Undefined(f"no interval: {len(names)} documents, and it needs {FEWEST_DOCUMENTS}")
        for name, names in documents.items()
    }


def _rated_groups(human: Scores, judge: Scores, groups: Sequence[str]) -> set[str]:
    """Return the groups with a text that both scored."""
    rows = zip(human, judge, groups, strict=True)
    return {group for x, y, group in rows if x is not None and y is not None}


def hierarchical(
    values: Sequence[Sequence[float]] | Array,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval | Undefined:
    """Return a percentile interval for a mean over seeds and documents; both are resampled.

    A resample draws seeds and documents; all drawn seeds share the documents. With fewer than about
    5 seeds the interval is too narrow.

    Source: the two-way (pigeonhole) bootstrap, Owen 2007, "The pigeonhole bootstrap", Annals of
    Applied Statistics 1(2).

    >>> interval = hierarchical([[0.1, 0.2, 0.3, 0.2], [0.2, 0.2, 0.4, 0.1]], resamples=500)
    >>> 0.1 < interval.low < interval.high < 0.4
    True

    Args:
        values: Shape (seeds, documents); nan where a document has no value. For two arms,
            their differences.
        resamples: How many resamples to draw, at least 1.
        seed: Seeds the draws.
        confidence: The share of resamples inside, between 0 and 1.

    Raises:
        SetupError: If the values are no table, one is infinite, or an option is out of its range.
    """
    check_options(resamples=resamples, confidence=confidence)
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SetupError(f"`values` must be a table of seeds by documents: {error}.") from error
    if table.ndim != 2 or np.isinf(table).any():
        raise SetupError(
            f"`values` must be a table of seeds by documents, of finite numbers or nan, got shape "
            f"{table.shape}."
        )
    table = table[:, np.isfinite(table).any(axis=0)]
    table = table[np.isfinite(table).any(axis=1)]
    seeds, documents = table.shape
    if seeds < 2 or documents < FEWEST:
        return Undefined(
            f"{seeds} seeds and {documents} documents, and an interval needs 2 and {FEWEST}"
        )
    rng = np.random.default_rng(seed)
    of_seeds, of_documents = draw(rng, seeds, resamples), draw(rng, documents, resamples)
    defined = np.isfinite(table)
    sums, counts = (
        ((of_seeds @ cells) * of_documents).sum(axis=1)
        for cells in (np.where(defined, table, 0.0), defined.astype(np.float64))
    )
    return percentiles(ratio(sums, counts), confidence)


def draw(rng: np.random.Generator, documents: int, resamples: int) -> Array:
    """Draw documents with replacement; shape (resamples, documents), how often each was drawn."""
    drawn = rng.integers(documents, size=(resamples, documents))
    cells = drawn + documents * np.arange(resamples)[:, None]
    counts = np.bincount(cells.ravel(), minlength=resamples * documents)
    return counts.reshape(resamples, documents).astype(np.float64)


def ratio(sums: Array, counts: Array) -> Array:
    """Divide; nan where the count is 0."""
    quotients: Array = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return quotients


def percentiles(values: Array, confidence: float) -> Interval | Undefined:
    """Return the percentile interval of the values that are not nan."""
    defined = values[np.isfinite(values)]
    if len(defined) < len(values) / 2:
        return Undefined("most resamples have no correlation")
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return Interval(float(low), float(high), confidence)


def resampled_values(
    human: Array,
    judge: Array,
    documents: Groups,
    weights: Array,
    options: TestOptions,
) -> Array:
    """Return the agreement on each resample; shape (resamples,), nan where undefined.

    Args:
        human: Human scores, shape (texts,); nan where there is none.
        judge: Judge scores, shape (texts,); nan where there is none.
        documents: The texts' documents.
        weights: How often each document was drawn, shape (resamples, documents).
        options: How agreement is measured.
    """
    scored: npt.NDArray[np.bool_] = np.isfinite(human) & np.isfinite(judge)
    human, judge, codes = human[scored], judge[scored], documents.codes[scored]
    method, constant = options.method, options.constant
    if options.level == "pooled":
        return weighted_values(human, judge, codes, weights, method, constant)
    values = group_values(human, judge, codes, len(documents), method, constant)
    defined = np.isfinite(values)
    return ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(np.float64))
