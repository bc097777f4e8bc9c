"""From one value per cluster to a claim in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mogradjudge.agreement import Comparison, Undefined, cluster_test
from mogradjudge.agreement.claims import Claim, claim, untestable

_NONE = 1e-12  # a spread that is left of rounding


def mean_claim(
    name: str, values: Sequence[float], bound: float | None = None, shared_error: float = 0.0
) -> Claim:
    """Judge the mean of independent clusters' values: of (seed, step) pairs, or of gradients.

    The test flips the clusters' signs, the interval is Student's t. ``shared_error`` is the
    standard error of what all values have in common, and widens the interval.
    """
    test = _tested(values)
    return claim(name, _widened(test, shared_error), bound=_bound(test, bound))


def relative_claim(
    name: str,
    first: Sequence[float],
    second: Sequence[float],
    shared_error: float = 0.0,
    bound: float | None = None,
) -> Claim:
    """Judge what share of the first arm's mean the second lacks: 0 for none, 1 for all.

    The interval is that of a ratio of means, from the clusters' residuals (Cochran 1977, "Sampling
    Techniques", ch. 6); the p-value is that of the difference of the means.
    ``shared_error`` is that of the second mean minus the ratio times the first.
    """
    test = _tested([a - b for a, b in zip(first, second, strict=True)])
    n, total = len(first), math.fsum(first)
    if isinstance(test, Undefined):
        return untestable(name, test.reason)
    if total <= 0:
        return untestable(name, "the first arm has nothing that the second could lack")
    ratio = math.fsum(second) / total
    squares = math.fsum((b - ratio * a) ** 2 for a, b in zip(first, second, strict=True))
    error = math.sqrt(squares / (n - 1) / n) / (total / n)
    reach = _reach(n) * error
    lost = 1 - ratio
    bounded = replace(
        test, difference=lost, low=lost - reach, high=lost + reach, standard_error=error
    )
    return claim(name, _widened(bounded, shared_error / (total / n)), bound=_bound(bounded, bound))


def _bound(test: Comparison | Undefined, bound: float | None) -> float | None:
    """Give no bound where clusters have no spread: what is common to them does not replace it."""
    return bound if isinstance(test, Comparison) and test.standard_error > _NONE else None


def _widened(test: Comparison | Undefined, error: float) -> Comparison | Undefined:
    if isinstance(test, Undefined) or not error:
        return test
    both = math.hypot(test.standard_error, error)
    reach = _reach(test.groups) * both
    return replace(
        test,
        low=test.difference - reach,
        high=test.difference + reach,
        standard_error=both,
    )


def _tested(values: Sequence[float]) -> Comparison | Undefined:
    return cluster_test(list(values)) if values else Undefined("no values")


def _reach(clusters: int) -> float:
    """Give the standard errors that a 95 % interval reaches to either side."""
    from scipy.stats import t  # slow to import

    return float(t.ppf(0.975, clusters - 1))
