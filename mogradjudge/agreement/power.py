"""The size of a study, its detectable difference, and tests of equivalence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mogradjudge.agreement.checks import finite
from mogradjudge.agreement.coefficients import FEWEST, Array, Numbers, Undefined, too_few
from mogradjudge.agreement.permutation import Comparison, mean_comparison
from mogradjudge.errors import SetupError

_MOST = 10_000_000  # documents; nobody has more
_DISCRETE = 12  # documents below which the steps of the sign-flip test's p-values matter
_SAMPLES = 2000


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference lies between ``-bound`` and ``bound``.

    ``within`` says whether the interval ``low`` to ``high``, of confidence 1 - 2 alpha, lies inside
    of the bounds, which is the case if ``p_value`` is below alpha.

    >>> result = equivalence([0.01, -0.01, 0.0, 0.02, -0.01], bound=0.05)
    >>> round(result.low, 3), round(result.high, 3)
    (-0.01, 0.014)
    """

    p_value: float
    within: bool
    low: float
    high: float
    bound: float


def equivalence(
    values: Numbers | Comparison, bound: float = 0.03, *, alpha: float = 0.05
) -> Equivalence | Undefined:
    """Test that a difference lies within ``-bound`` and ``bound``, by two one-sided t-tests.

    A large p-value of a comparison does not show that there is no difference; a small one here
    does. If all values are equal it is 0 or 1.

    Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power
    approach", Journal of Pharmacokinetics and Biopharmaceutics 15.

    >>> equivalence([0.01, -0.01, 0.0, 0.02, -0.01], bound=0.05).within
    True

    Args:
        values: One difference per document, shape (documents,), or a comparison, of which its
            difference, standard error and number of groups are used.
        bound: The largest difference that does not matter, above 0, in points of the coefficient.
        alpha: The chance of a false conclusion, between 0 and 0.5.

    Raises:
        SetupError: If a value is not finite, or a number is out of its range.
    """
    from scipy.special import stdtr, stdtrit  # slow to import

    if not (0 < bound < math.inf):
        raise SetupError(f"`bound` must lie above 0, got {bound!r}.")
    if not 0 < alpha < 0.5:
        raise SetupError(f"`alpha` must lie between 0 and 0.5, got {alpha!r}.")
    if isinstance(values, Comparison):
        comparison = values
    else:
        table = finite("values", values)
        if len(table) < FEWEST:
            return too_few(len(table))
        comparison = mean_comparison(table, float(table.mean()), math.nan, 1 - 2 * alpha)
    error, freedom = comparison.standard_error, comparison.groups - 1
    if not math.isfinite(error):
        return Undefined("the comparison has no standard error")
    reach = float(stdtrit(freedom, 1 - alpha)) * error
    to_bound = bound - abs(comparison.difference)
    certain = math.inf if to_bound > 0 else -math.inf
    steps = to_bound / error if error > 0 else certain
    p = float(stdtr(freedom, -steps))
    low, high = comparison.difference - reach, comparison.difference + reach
    return Equivalence(p, -bound < low and high < bound, low, high, bound)


def minimum_detectable_difference(
    values: Numbers | float,
    documents: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Return the difference that a two-sided t-test over documents detects with this power.

    It plans a study whose spread is known; for one that is done see `detectable_difference`. It
    is (t(1 - alpha / 2) + t(power)) sd / sqrt(documents), with t quantiles at documents - 1 degrees
    of freedom; Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", ch. 2, with t
    for the normal distribution.

    >>> round(minimum_detectable_difference(0.2, documents=50), 3)
    0.081

    Args:
        values: One difference per document of a pilot, shape (documents,), or their standard
            deviation.
        documents: How many documents the study has, at least 2.
        alpha: The test's level, between 0 and 1.
        power: The chance of detecting the difference, between 0 and 1 and above ``alpha``.

    Returns:
        A difference in the unit of ``values``.

    Raises:
        SetupError: If a number is out of its range.
    """
    _check(documents, alpha, power)
    return _detectable(_spread(values), documents, alpha, power)


def detectable_difference(
    spread: float, documents: int, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Return the difference that another study like this one would detect with this power.

    Unlike `minimum_detectable_difference` it takes the spread as estimated on the documents of this
    study, not as known, and below 12 documents it has the power of the sign-flip test (exact, by
    2,000 normal samples), whose p-values have large steps there; else that of the t-test. Values
    are taken as normal, and to spread as far where there is a difference as where there is none.
    With simulated judges (``python -m benchmarks statistics``), of which neither is true, the power
    was .74 to .85 at 8, 12, 20 and 60 documents, in 1,000 simulations each.

    >>> detectable_difference(0.2, documents=5) is None
    True
    >>> round(detectable_difference(0.2, documents=6), 1), round(detectable_difference(0.2, 50), 2)
    (0.4, 0.08)

    Args:
        spread: The standard deviation of the documents' values, 0 or more.
        documents: How many documents have a value, at least 2.
        alpha: The test's level, between 0 and 1.
        power: The chance of detecting the difference, between 0 and 1 and above ``alpha``.

    Returns:
        A difference in the unit of ``spread``; None if no difference is ever detected, because the
        smallest p-value, 2 / 2^documents, is above ``alpha``.

    Raises:
        SetupError: If a number is out of its range.
    """
    _check(documents, alpha, power)
    if 2.0 ** (1 - documents) > alpha:
        return None
    return _spread(spread) * _detectable_spreads(documents, alpha, power)


@lru_cache(maxsize=256)
def _detectable_spreads(documents: int, alpha: float, power: float) -> float:
    """Return the detectable difference over the spread that is estimated beside it."""
    from scipy.special import stdtrit  # slow to import

    rng, freedom = np.random.default_rng(0), documents - 1
    estimated, spread = np.sqrt(rng.chisquare(freedom, size=(2, _SAMPLES)) / freedom)
    if documents < _DISCRETE:
        needed = _least_shifts(rng.normal(size=(_SAMPLES, documents)), alpha)
    else:
        reach = stdtrit(freedom, 1 - alpha / 2) * spread
        needed = (reach - rng.normal(size=_SAMPLES)) / math.sqrt(documents)
    return float(np.quantile(needed / estimated, power))


def _least_shifts(samples: Array, alpha: float) -> Array:
    """Return how far each sample (samples, documents) must be shifted for sign flips to reject.

    Flipping some documents makes the sum no smaller where their shifted mean is 0 or below. So the
    test rejects once as many sets of documents as it allows are left with such a mean.
    """
    documents = samples.shape[1]
    sets = (np.arange(1, 2**documents)[:, None] >> np.arange(documents) & 1).astype(np.float64)
    means = samples @ (sets / sets.sum(axis=1, keepdims=True)).T
    allowed = math.floor(alpha * 2 ** (documents - 1))  # with the one in which none is flipped
    return np.asarray(-np.partition(means, allowed - 1, axis=1)[:, allowed - 1])


def sample_size(
    values: Numbers | float,
    difference: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Return the fewest documents that detect this difference.

    >>> sample_size(0.2, difference=0.1)
    34

    Args:
        values: As for `minimum_detectable_difference`.
        difference: The difference to detect, above 0, in the unit of ``values``.
        alpha: The test's level, between 0 and 1.
        power: The chance of detecting the difference, between 0 and 1 and above ``alpha``.

    Raises:
        SetupError: If a number is out of its range, or ten million documents are not enough.
    """
    _check_power(alpha, power)
    if not 0 < difference < math.inf:
        raise SetupError(f"`difference` must lie above 0, got {difference!r}.")
    spread = _spread(values)
    few, many = 2, _MOST
    if _detectable(spread, many, alpha, power) > difference:
        raise SetupError(
            f"`difference` is too small to be detected by any study, got {difference!r}."
        )
    while few < many:
        middle = (few + many) // 2
        if _detectable(spread, middle, alpha, power) <= difference:
            many = middle
        else:
            few = middle + 1
    return few


def _detectable(spread: float, documents: int, alpha: float, power: float) -> float:
    from scipy.special import stdtrit  # slow to import

    reach = stdtrit(documents - 1, 1 - alpha / 2) + stdtrit(documents - 1, power)
    return float(reach * spread / math.sqrt(documents))


def _spread(values: Numbers | float) -> float:
    if isinstance(values, (int, float)):
        spread = float(values)
    else:
        table = finite("values", values)
        if len(table) < FEWEST:
            raise SetupError(f"`values` must hold at least {FEWEST} documents, got {len(table)}.")
        spread = float(table.std(ddof=1))
    if not 0 <= spread < math.inf:
        raise SetupError(f"A standard deviation must be 0 or more, got {spread!r}.")
    return spread


def _check_power(alpha: float, power: float) -> None:
    if not 0 < alpha < power < 1:
        raise SetupError(f"`0 < alpha < power < 1` must hold, got {alpha!r} and {power!r}.")


def _check(documents: int, alpha: float, power: float) -> None:
    _check_power(alpha, power)
    if documents < 2:
        raise SetupError(f"`documents` must be >= 2, got {documents!r}.")
