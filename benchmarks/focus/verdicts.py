"""From one value per cluster to a claim in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.claims import ALPHA, Claim, Verdict, refused
from mogradjudge.agreement import Comparison, Undefined, cluster_test, equivalence, holm


def claim(name: str, values: Sequence[float], bound: float) -> Claim:
    """Judge the mean of independent clusters' values; the clusters are (seed, step) pairs here.

    The test flips the clusters' signs, the interval is Student's t.
    """
    found = cluster_test(list(values)) if values else Undefined("no values")
    if isinstance(found, Undefined):
        return refused(name, found.reason)
    return _judged(name, found, found.p_value, bound)


def claims(name: str, values: Mapping[str, Sequence[float]], bound: float) -> dict[str, Claim]:
    """Judge several criteria's means, their p-values adjusted by Holm's method."""
    single = {
        criterion: claim(f"{name}, {criterion}", of, bound) for criterion, of in values.items()
    }
    adjusted = holm({key: c.p_value for key, c in single.items() if c.p_value is not None})
    return {
        key: _with_p_value(each, adjusted[key]) if key in adjusted else each
        for key, each in single.items()
    }


def relative_claim(name: str, first: Sequence[float], second: Sequence[float]) -> Claim:
    """Judge what share of the first arm's mean the second lacks: 0 for none, 1 for all.

    The interval is that of a ratio of means, by the residuals of the clusters from it (Cochran
    1977, "Sampling Techniques", ch. 6); the p-value is that of the absolute difference.
    """
    from scipy.stats import t  # slow to import

    absolute = claim(name, [a - b for a, b in zip(first, second, strict=True)], math.inf)
    n, total = len(first), math.fsum(first)
    if absolute.p_value is None:
        return absolute
    if total <= 0:
        return refused(name, "the first arm has nothing that the second could lack")
    ratio = math.fsum(second) / total
    squares = math.fsum((b - ratio * a) ** 2 for a, b in zip(first, second, strict=True))
    error = math.sqrt(squares / (n - 1) / n) / (total / n)
    reach = float(t.ppf(0.975, n - 1)) * error
    bounded = replace(
        absolute, estimate=1 - ratio, low=1 - ratio - reach, high=1 - ratio + reach, bound=None
    )
    return replace(bounded, verdict=_verdict(bounded, within=False))


def _judged(name: str, found: Comparison, p_value: float, bound: float) -> Claim:
    within = False
    if math.isfinite(bound):
        same = equivalence(found, bound)
        within = not isinstance(same, Undefined) and same.within
    judged = Claim(
        name,
        found.difference,
        found.low,
        found.high,
        p_value,
        found.groups,
        "not established",
        bound if math.isfinite(bound) else None,
    )
    return replace(judged, verdict=_verdict(judged, within=within))


def _with_p_value(single: Claim, p_value: float) -> Claim:
    changed = replace(single, p_value=p_value)
    return replace(changed, verdict=_verdict(changed, within=single.verdict == "equivalent"))


def _verdict(of: Claim, *, within: bool) -> Verdict:
    assert of.low is not None and of.high is not None and of.p_value is not None
    if of.p_value < ALPHA and not of.low <= 0 <= of.high:
        return "established"
    return "equivalent" if within else "not established"
