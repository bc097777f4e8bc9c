"""One agreement per group, for all groups at once; nan where undefined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.moments import MOMENTS, document_sums, value_of
from mogradjudge.agreement.options import Constant, TestOptions

Array: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.intp]
Numbers: TypeAlias = Sequence[float] | Array
Scores: TypeAlias = Sequence[float | None] | Array  # None where there is no score

FEWEST = 3  # two points always correlate at -1 or 1
CELLS = 2**22  # how many numbers a step may hold at once, 32 MB
_BY_PAIRS = 512  # up to this size comparing all pairs is quicker than scipy's sort


@dataclass(frozen=True)
class Undefined:
    """The reason why a value does not exist.

    >>> Undefined("all human scores are equal").reason
    'all human scores are equal'
    """

    reason: str


def too_few(documents: int) -> Undefined:
    """Return the reason why a test over so few documents is undefined."""
    return Undefined(f"{documents} documents have a value, and a test needs {FEWEST}")


@dataclass(frozen=True)
class Sums:
    """The sums of a coefficient ``shared / sqrt(human * judge)``, one entry per group.

    ``human`` and ``judge`` are exactly 0 where those scores are constant.
    """

    texts: Array
    shared: Array
    human: Array
    judge: Array


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Yield slices of rows, each of ``width`` numbers, in blocks that fit in memory."""
    step = max(1, CELLS // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def coefficient(sums: Sums, constant: Constant) -> Array:
    """Compute the coefficient; ``constant`` decides what a constant judge gets.

    Constant human scores and fewer than 3 texts give nan, whatever the judge does, so that every
    judge is measured on the same groups. A constant judge gives 0, or nan to be dropped.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.clip(sums.shared / np.sqrt(sums.human * sums.judge), -1.0, 1.0)
    values = np.where(sums.judge == 0, 0.0 if constant == "zero" else np.nan, values)
    return np.where((sums.human == 0) | (sums.texts < FEWEST), np.nan, values)


def group_values(
    human: Array, judge: Array, codes: Codes, groups: int, options: TestOptions
) -> Array:
    """Measure the agreement within each group.

    Args:
        human: Shape (texts,), finite.
        judge: Shape (texts,), finite.
        codes: The group of each text, 0 to ``groups - 1``.
        groups: How many groups there are; one may be empty.
        options: How agreement is measured.

    Returns:
        Shape (groups,), in [-1, 1], nan where undefined.
    """
    if options.method in MOMENTS:
        return value_of(document_sums(human, judge, codes, groups, options), options)
    if options.method == "kendall":
        return coefficient(_pairs(human, judge, codes, groups), options.constant)
    if options.method == "spearman":
        x, y = (rank_deviations(scores, codes, groups) for scores in (human, judge))
    else:
        x, y = (_deviations(unit_scale(scores), codes, groups) for scores in (human, judge))
    sums = [_sum(products, codes, groups) for products in (np.ones_like(x), x * y, x * x, y * y)]
    return coefficient(Sums(*sums), options.constant)


def unit_scale(scores: Array) -> Array:
    """Divide by a power of 2, so that the largest score is near 1 and no square is out of range.

    Nothing is rounded, and Pearson's r stays what it is.
    """
    largest = float(np.abs(scores).max(initial=0.0))
    scaled: Array = np.ldexp(scores, -int(np.frexp(largest)[1]))
    return scaled


def constant_groups(scores: Array, codes: Codes, groups: int) -> npt.NDArray[np.bool_]:
    """Return for each group whether all its scores are equal; shape (groups,)."""
    first = np.zeros(groups)
    first[codes] = scores
    constant = np.ones(groups, dtype=bool)
    constant[codes[scores != first[codes]]] = False
    return constant


def rank_deviations(scores: Array, codes: Codes, groups: int) -> Array:
    """Return each score's mid-rank in its group minus the group's mean rank; shape (texts,).

    The values are whole numbers of halves, so that their sums are exact.
    """
    order = np.lexsort((scores, codes))
    group, score = codes[order], scores[order]
    begins = np.ones(len(order), dtype=bool)  # a run of ties
    begins[1:] = (group[1:] != group[:-1]) | (score[1:] != score[:-1])
    starts = np.flatnonzero(begins)
    middles = (starts + np.append(starts[1:], len(order)) - 1) / 2
    sizes = np.bincount(codes, minlength=groups)
    centers = np.cumsum(sizes) - (sizes + 1) / 2
    deviations = np.empty(len(order))
    deviations[order] = middles[np.cumsum(begins) - 1] - centers[group]
    return deviations


def _deviations(scores: Array, codes: Codes, groups: int) -> Array:
    sizes = np.bincount(codes, minlength=groups)
    means = _sum(scores, codes, groups) / np.maximum(1, sizes)
    # The mean of equal floats need not be that float.
    constant = constant_groups(scores, codes, groups)
    return np.where(constant[codes], 0.0, scores - means[codes])


def _sum(values: Array, codes: Codes, groups: int) -> Array:
    return np.bincount(codes, values, minlength=groups).astype(np.float64, copy=False)


def _pairs(human: Array, judge: Array, codes: Codes, groups: int) -> Sums:
    """Count concordant minus discordant pairs, and the pairs that each side does not tie."""
    sizes = np.bincount(codes, minlength=groups)
    order, ends = np.argsort(codes, kind="stable"), np.cumsum(sizes)
    sums = np.zeros((3, groups))
    for size in np.unique(sizes[sizes > 1]):
        alike = np.flatnonzero(sizes == size)
        for some in np.array_split(alike, -(-len(alike) * size**2 // CELLS) or 1):
            if not len(some):
                continue
            rows = order[(ends[some] - size)[:, None] + np.arange(size)]
            count = _all_pairs if size <= _BY_PAIRS else _sorted_pairs
            sums[:, some] = count(human[rows], judge[rows])
    return Sums(sizes.astype(np.float64), *sums)


def _all_pairs(human: Array, judge: Array) -> Array:
    x = np.sign(human[:, :, None] - human[:, None, :])
    y = np.sign(judge[:, :, None] - judge[:, None, :])
    return np.stack([(a * b).sum((1, 2)) for a, b in ((x, y), (x, x), (y, y))])


def _sorted_pairs(human: Array, judge: Array) -> Array:
    from scipy.stats import kendalltau  # slow to import

    sums = np.zeros((3, len(human)))
    for place, (x, y) in enumerate(zip(human, judge, strict=True)):
        varied = np.ptp(x) > 0, np.ptp(y) > 0
        # tau itself, as a ratio with the denominator 1; scipy warns of constant scores.
        sums[:, place] = (kendalltau(x, y).statistic if all(varied) else 0.0, *varied)
    return sums
