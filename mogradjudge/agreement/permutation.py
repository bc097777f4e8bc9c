"""Tests a mean over documents by flipping signs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.checks import finite
from mogradjudge.agreement.coefficients import FEWEST, Array, Numbers, Undefined, blocks
from mogradjudge.agreement.options import Population, check_options

_ENUMERATED = 13  # documents up to which all sign patterns are tried, however few are asked for
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparison:
    """A difference with its interval and test.

    ``low`` and ``high`` are its interval with ``confidence``; ``p_value`` is two-sided; ``groups``
    counts the documents that have a value. The conclusion holds for new documents; for new systems
    only if ``generalize_to`` says so.

    >>> comparison = cluster_test([0.1, 0.2, 0.1, 0.3, 0.2])
    >>> round(comparison.low, 3), round(comparison.high, 3)
    (0.076, 0.284)
    """

    difference: float
    low: float
    high: float
    p_value: float
    groups: int
    generalize_to: Population = "documents"
    standard_error: float = math.nan
    confidence: float = 0.95


def cluster_test(
    values: Numbers,
    *,
    flips: int = 9999,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison | Undefined:
    """Test whether the mean of independent clusters' values is 0, with an interval.

    The p-value is that of the sign-flip test on the sum: exact, over all patterns of signs, up to
    13 clusters or if there are no more than ``flips`` that differ in size (14 clusters by default),
    and (1 + b) / (1 + B) of B random patterns with more. It assumes that without an
    effect a value and its negative are equally likely, which holds for a difference of two
    exchangeable arms. With n clusters it cannot be smaller than 2 / 2^n. The interval is
    Student's t for the mean.

    Source: Fisher 1935, "The Design of Experiments", section 21; the 1 in (1 + b) / (1 + B) is
    Phipson and Smyth 2010, "Permutation p-values should never be zero".

    >>> comparison = cluster_test([0.1, 0.2, 0.1, 0.3, 0.2])
    >>> round(comparison.difference, 2), comparison.p_value
    (0.18, 0.0625)

    Args:
        values: One value per cluster, shape (clusters,): a difference of two arms on a document,
            say, or on a (seed, step) pair.
        flips: How many random patterns, at least 1.
        seed: Seeds the patterns.
        confidence: Of the interval, between 0 and 1.

    Raises:
        SetupError: If a value is not finite, or an option is out of its range.
    """
    check_options(flips=flips, confidence=confidence)
    table = finite("values", values)
    if len(table) < FEWEST:
        return Undefined(f"{len(table)} clusters, and a test needs {FEWEST}")
    sums = flipped_sums(table[:, None], sign_patterns(len(table), flips, seed))
    return mean_comparison(table, float(table.mean()), p_value(sums[:, 0]), confidence)


def sign_patterns(clusters: int, flips: int, seed: int) -> npt.NDArray[np.int8]:
    """Return patterns of 1 and -1, the first of them all 1; shape (patterns, clusters).

    All patterns, but one of each two that are opposite, since a two-sided test takes them for the
    same, up to 13 clusters or if these are no more than ``flips``; else ``flips`` random ones after
    the first. Either way the share of one pattern is at least 2 / 2^clusters.
    """
    if clusters <= _ENUMERATED or 2 ** (clusters - 1) <= flips:
        bits = np.arange(2 ** (clusters - 1))[:, None] >> np.arange(clusters) & 1
        return (1 - 2 * bits).astype(np.int8)
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, size=(flips, clusters), dtype=np.int8)
    return np.vstack([np.ones((1, clusters), dtype=np.int8), 1 - 2 * bits])


def flipped_sums(values: Array, patterns: npt.NDArray[np.int8]) -> Array:
    """Sum values (clusters, columns) under each pattern; shape (patterns, columns)."""
    parts = [patterns[rows] for rows in blocks(len(patterns), len(values))]
    return np.concatenate([part.astype(np.float64) @ values for part in parts])


def p_value(statistics: Array) -> float:
    """Return the share of statistics at least as far from 0 as the first, the observed one.

    A nan counts as further from 0.
    """
    sizes = np.abs(statistics)
    rounding = _ROUNDING * np.fmax.reduce(sizes)  # sums that are equal on paper differ by less
    return float(np.mean(~(sizes < sizes[0] - rounding)))


def mean_comparison(values: Array, difference: float, p: float, confidence: float) -> Comparison:
    """Return a difference with Student's t interval from the spread of the documents' values."""
    from scipy.special import stdtrit  # slow to import

    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * error
    return Comparison(
        difference,
        difference - reach,
        difference + reach,
        p,
        len(values),
        standard_error=error,
        confidence=confidence,
    )
