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
from mogradjudge.agreement.document_values import agreement_over_all
from mogradjudge.agreement.options import DEFAULTS, Level, TestOptions, check_options
from mogradjudge.agreement.weighted_correlation import weighted_values
from mogradjudge.agreement.weighted_mean import Weights, mean_of, means_of
from mogradjudge.errors import SetupError

FEWEST_DOCUMENTS = 8
"""With fewer documents no interval is reported."""
_MANY = 10**9  # documents, for which Student's t is normal
_NO_DOCUMENT = (
    f"no document has {FEWEST} texts with both scores, whose human scores are not all the same"
)
_ROUNDING = 1e-12  # keeps Fisher's z of a perfect correlation finite


@dataclass(frozen=True)
class Interval:
    """An interval that contains the true value with this confidence.

    >>> Interval(0.2, 0.6)
    Interval(low=0.2, high=0.6, confidence=0.95)
    """

    low: float
    high: float
    confidence: float = 0.95


def plain(value: float | Interval | Undefined) -> float | list[float] | None:
    """Return a value as JSON holds it: an interval as its ends, an undefined one as None.

    >>> plain(Interval(0.2, 0.6)), plain(Undefined("too few texts"))
    ([0.2, 0.6], None)
    """
    if isinstance(value, Interval):
        return [value.low, value.high]
    return None if isinstance(value, Undefined) else value


@dataclass(frozen=True)
class Resampled:
    """An agreement, which documents have a value, and the agreement on each resample."""

    value: float
    has_value: npt.NDArray[np.bool_]
    resampled: Array

    def interval(self, fewest: int, options: TestOptions) -> Interval | Undefined:
        documents, pooled = int(self.has_value.sum()), options.level == "pooled"
        if documents == 0:
            by_text = pooled or options.lowest == 0  # a share needs one text
            return Undefined("no text has both scores" if by_text else _NO_DOCUMENT)
        if documents < fewest and np.isfinite(self.value):
            what = "documents" if pooled else "documents with a value"
            return Undefined(f"no interval: {documents} {what}, and it needs {fewest}")
        return student_interval(
            self.value, self.resampled, documents, options.confidence, lowest=options.lowest
        )


def bootstrap_criteria(
    human: Mapping[str, Scores],
    judge: Mapping[str, Scores],
    groups: Sequence[str],
    options: TestOptions = DEFAULTS,
    *,
    fewest: int = FEWEST,
) -> dict[str, Interval | Undefined]:
    """Return an interval for each criterion and, as "mean", for their mean.

    It is an interval for the value of `correlate`: Student's, on the scale of Fisher's z, with the
    standard error of the resamples (`student_interval`). Whole groups are resampled; a group drawn
    twice counts twice. All criteria share the resamples, so that the mean's interval accounts for
    their correlation.

    In 1,000 simulations each (``python -m benchmarks statistics``) it held the true value in .94 to
    .97 of the cases with 8, 12, 20 and 60 groups. Averaged over groups of few texts, many of whose
    correlations are 1, it held it in .90 to .94. To compare two judges, test their difference
    (`compare`): their intervals may overlap even if they differ.

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
        fewest: The number of groups with a value that an interval needs, at least 3. With
            ``level="group"`` a group has one if `document_values` has, else if a text has both
            scores.

    Raises:
        SetupError: If the lengths differ, a score is not finite, the criteria of the two differ, or
            one is named "mean".
    """
    check_names("Judge scores", judge, human)
    if "mean" in human:
        raise SetupError("A criterion must not be named 'mean': results use that name.")
    documents = group_codes(groups)
    if len(documents) < FEWEST:
        few = Undefined(f"no interval: {len(documents)} documents, and it needs {fewest}")
        return dict.fromkeys([*human, "mean"], few)
    columns = {}
    for name, scores in human.items():
        check_lengths({"human": scores, "judge": judge[name], "groups": groups})
        columns[name] = gappy("human", scores), gappy("judge", judge[name])
    criteria = resampled_criteria(columns, documents, options)
    intervals = {name: it.interval(fewest, options) for name, it in criteria.items()}
    return {**intervals, "mean": _mean(criteria, options.weights).interval(fewest, options)}


def _mean(criteria: Mapping[str, Resampled], weights: Weights) -> Resampled:
    """Average the criteria that have a value, on the whole and on most resamples."""
    defined = {
        name: it
        for name, it in criteria.items()
        if np.isfinite(it.value) and np.isfinite(it.resampled).mean() >= 0.5
    }
    value = mean_of({name: it.value for name, it in defined.items()}, weights)
    if value is None:
        has_value = np.any([it.has_value for it in criteria.values()], axis=0)
        return Resampled(np.nan, np.atleast_1d(has_value), np.full(1, np.nan))
    columns = {name: it.resampled for name, it in defined.items()}
    return Resampled(
        value,
        np.any([it.has_value for name, it in defined.items() if weights.get(name, 1.0)], axis=0),
        means_of(columns, weights, complete=True),
    )


def resampled_criteria(
    columns: Mapping[str, tuple[Array, Array]], documents: Groups, options: TestOptions
) -> dict[str, Resampled]:
    """Return each criterion's agreement on each resample; all share the resamples.

    Args:
        columns: The two sides of each criterion, shape (texts,); nan where there is no score.
        documents: The texts' documents.
        options: How agreement is measured, and how many resamples are drawn.
    """
    values = {name: np.empty(options.resamples) for name in columns}
    rng = np.random.default_rng(options.seed)
    for rows in blocks(options.resamples, len(documents)):
        weights = draw(rng, len(documents), rows.stop - rows.start)
        for name, sides in columns.items():
            values[name][rows] = resampled_values(*sides, documents, weights, options.of(name))
    return {
        name: Resampled(*_over_all(*sides, documents, options.of(name)), values[name])
        for name, sides in columns.items()
    }


def _over_all(
    human: Array, judge: Array, documents: Groups, options: TestOptions
) -> tuple[float, npt.NDArray[np.bool_]]:
    """Return the agreement, and which documents have a value."""
    scored: npt.NDArray[np.bool_] = np.isfinite(human) & np.isfinite(judge)
    table = human[scored], judge[scored], documents.codes[scored], len(documents)
    if options.level == "pooled":
        has_value = np.bincount(table[2], minlength=len(documents)) > 0
        return agreement_over_all(*table, options), has_value
    values = group_values(*table, options)
    has_value = np.isfinite(values)
    return float(values[has_value].mean()) if has_value.any() else np.nan, has_value


def reported_intervals(
    human: Mapping[str, Scores],
    judge: Mapping[str, Scores],
    groups: Sequence[str],
    *,
    level: Level = "pooled",
    options: TestOptions | None = None,
) -> dict[str, Interval | Undefined]:
    """Return the intervals of `bootstrap_criteria`; none for fewer than 8 documents with a value.

    >>> reported_intervals({"fluency": [1, 2, 3]}, {"fluency": [2, 1, 3]}, "abc")["fluency"].reason
    'no interval: 3 documents, and it needs 8'

    Args:
        human: As for `bootstrap_criteria`.
        judge: As for `bootstrap_criteria`.
        groups: As for `bootstrap_criteria`.
        level: As for `correlate`.
        options: As for `bootstrap_criteria`, in place of the level.

    Raises:
        SetupError: As for `bootstrap_criteria`.
    """
    how = options or TestOptions(level=level)
    return bootstrap_criteria(human, judge, groups, how, fewest=FEWEST_DOCUMENTS)


def student_interval(
    value: float,
    resampled: Array,
    documents: int | None,
    confidence: float = 0.95,
    *,
    lowest: float | None = -1.0,
) -> Interval | Undefined:
    """Return Student's interval around a value, with the standard error of its resamples.

    Percentiles of resamples are too close to each other with few documents: they allow neither for
    a standard error that is estimated, nor for resamples varying by (documents - 1) / documents as
    much as samples do. A coefficient's interval is symmetric on the scale of Fisher's z, a share's
    on that of its log-odds, so that it stays within the range.

    >>> resampled = np.random.default_rng(0).normal(0.8, 0.1, size=1000)
    >>> interval = student_interval(0.8, resampled, documents=10)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.42, 0.94)

    Args:
        value: The value on all documents.
        resampled: The value on each resample of whole documents; nan where it has none.
        documents: How many documents have a value, at least 2; None for very many.
        confidence: Of the interval, between 0 and 1.
        lowest: The lowest value there is, if 1 is the highest: -1 or 0; None for any numbers.

    Returns:
        The interval, or why there is none: most resamples have no value.
    """
    from scipy.special import stdtrit  # slow to import

    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or len(defined) < len(resampled) / 2:
        return Undefined("most resamples have no agreement")
    freedom = _MANY if documents is None else documents - 1
    error = float(defined.std()) * np.sqrt((freedom + 1) / freedom)
    if error == 0:
        return Interval(value, value, confidence)
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * error * np.array([-1.0, 1.0])
    ends = value + reach
    if lowest is not None:
        half = (1 - lowest) / 2  # of the range, which is put on [-1, 1]
        inside = np.clip((value - 1) / half + 1, _ROUNDING - 1, 1 - _ROUNDING)
        ends = 1 + half * (np.tanh(np.arctanh(inside) + reach / half / (1 - inside**2)) - 1)
    return Interval(min(value, float(ends[0])), max(value, float(ends[1])), confidence)


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
        return Undefined("most resamples have no agreement")
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
    if options.level == "pooled":
        return weighted_values(human, judge, codes, weights, options)
    values = group_values(human, judge, codes, len(documents), options)
    defined = np.isfinite(values)
    return ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(np.float64))
