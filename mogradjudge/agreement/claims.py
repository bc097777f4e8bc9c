"""Claims: a measured difference with a verdict on whether it is established."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from mogradjudge.agreement import (
    Comparison,
    Undefined,
    detectable_difference,
    equivalence,
)

Verdict: TypeAlias = Literal["established", "equivalent", "not established", "cannot be tested"]

ALPHA = 0.05


@dataclass(frozen=True)
class Claim:
    """An effect with its 95 % interval and a verdict.

    ``verdict`` is "established" if the interval excludes 0 and the p-value, adjusted where the
    claim is one of several, is below 0.05; "equivalent" if the 90 % interval lies inside ±``bound``
    (two one-sided tests, Schuirmann 1987); else "not established". Where ``n`` is below ``fewest``
    nothing can be established: it is that, and there is no interval. Clusters that all have the
    same value have no spread, and show no equivalence. It is "cannot be tested" if
    there is no number to judge by; ``note`` says why. ``n`` counts the clusters: documents, or
    steps. ``student`` says that the interval is Student's t over them and the test a sign-flip
    test. ``family`` counts the claims that the p-value is adjusted for.

    >>> Claim("A minus B", 0.2, 0.1, 0.3, 0.01, n=12, verdict="established").fewest
    6
    """

    name: str
    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    verdict: Verdict
    bound: float | None = None
    note: str = ""
    student: bool = True
    family: int = 1

    @property
    def fewest(self) -> int:
        """The fewest clusters with which the sign-flip test can establish anything.

        With n clusters its p-value is at least 2 / 2^n, and as one of several it is multiplied.
        """
        return 1 + math.floor(1 + math.log2(self.family / ALPHA))

    @property
    def detectable(self) -> float | None:
        """The difference that as many clusters as these detect with 80 % power.

        None if it is unknown, or if there are too few clusters.
        """
        error = self._error() if self.student else None
        if not error:
            return None
        spread = error * math.sqrt(self.n)
        return detectable_difference(spread, self.n, alpha=ALPHA / self.family)

    def missed(self, clusters: str) -> str:
        """Write which difference could have been detected; "" if established or unknown.

        Args:
            clusters: The name of the clusters, in the plural.
        """
        least = self.detectable if self.verdict == "not established" else None
        found = f"a difference of {least:.2f} could have been found" if least else ""
        return self.too_few(clusters) or found

    def too_few(self, clusters: str) -> str:
        """Write how many clusters it takes to establish anything; "" if there are enough."""
        if self.verdict != "not established" or not self.student or self.n >= self.fewest:
            return ""
        return f"{self.n} {clusters} cannot establish anything; it takes {self.fewest}"

    def as_dict(self) -> dict[str, Any]:
        """Return the claim as plain JSON values."""
        return asdict(self)

    def adjusted(self, p_value: float) -> Claim:
        """Return the claim with a p-value adjusted for several claims.

        A claim that is no longer established may be equivalent. Its interval must be Student's t.
        """
        if self.verdict != "established" or p_value < ALPHA:
            return replace(self, p_value=p_value)
        words: Verdict = "equivalent" if self._within() else "not established"
        return replace(self, p_value=p_value, verdict=words)._of_enough()

    def _of_enough(self) -> Claim:
        """Return the claim without what so few clusters cannot show."""
        if self.n >= self.fewest:
            return self
        return replace(self, low=None, high=None, verdict="not established")

    def _within(self) -> bool:
        if self.bound is None or self.estimate is None or self.low is None or self.high is None:
            return False
        comparison = Comparison(
            *(self.estimate, self.low, self.high, 1.0, self.n), standard_error=self._error() or 0.0
        )
        return _within(comparison, self.bound)

    def _error(self) -> float | None:
        if self.low is None or self.high is None:
            return None
        return _error_of(self.low, self.high, self.n)

    def __str__(self) -> str:
        """Write the claim on one line."""
        if self.estimate is None:
            return f"{self.name}: {self.verdict} ({self.note})"
        inside = f" within ±{self.bound:g}" if self.verdict == "equivalent" else ""
        bounded = self.low is not None and self.high is not None
        interval = f" [{self.low:+z.3f}, {self.high:+z.3f}]" if bounded else ""
        p_value = "" if self.p_value is None else f", p {self.p_value:.3f}"
        notes = "".join(f"; {note}" for note in (self.too_few("clusters"), self.note) if note)
        return (
            f"{self.name}: {self.verdict}{inside} ({self.estimate:+z.3f}{interval}{p_value}, "
            f"n {self.n}{notes})"
        )


def claim(
    name: str,
    comparison: Comparison | Undefined,
    *,
    p_value: float | None = None,
    bound: float | None = None,
    note: str = "",
    family: int = 1,
) -> Claim:
    """Make a claim from a comparison; where its interval holds 0, the p-value is not below 0.05.

    >>> from mogradjudge.agreement import cluster_test
    >>> print(claim("A minus B", cluster_test([0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.2])))
    A minus B: established (+0.171 [+0.102, +0.241], p 0.016, n 7)

    Args:
        name: The claim.
        comparison: The comparison, with a 95 % interval.
        p_value: The adjusted p-value, where the claim is one of several.
        bound: The largest difference that does not matter; None tests no equivalence.
        note: A further remark.
        family: How many claims the p-value is adjusted for.
    """
    if isinstance(comparison, Undefined):
        return untestable(name, comparison.reason)
    p_value = comparison.p_value if p_value is None else p_value
    p_value = _agreeing(p_value, comparison.low, comparison.high, comparison.groups)
    words: Verdict = "not established"
    if p_value < ALPHA and not comparison.low <= 0 <= comparison.high:
        words = "established"
    elif bound is not None and _within(comparison, bound):
        words = "equivalent"
    return Claim(
        *(name, comparison.difference, comparison.low, comparison.high, p_value),
        *(comparison.groups, words),
        bound=bound,
        note=note,
        family=family,
    )._of_enough()


def untestable(name: str, reason: str) -> Claim:
    """Make a claim that cannot be judged.

    >>> untestable("A minus B", "no texts").verdict
    'cannot be tested'
    """
    return Claim(name, None, None, None, None, 0, "cannot be tested", note=reason)


def _agreeing(p_value: float, low: float, high: float, n: int) -> float:
    """Return the p-value, or where the interval holds 0 its own one, which then is not below 0.05.

    So p-value and interval never say different things.
    """
    error = _error_of(low, high, n)
    if not low <= 0 <= high or not error:
        return p_value
    from scipy.special import stdtr  # slow to import

    return max(p_value, 2 * float(stdtr(n - 1, -abs(low + high) / 2 / error)))


def _error_of(low: float, high: float, n: int) -> float | None:
    """Return the standard error of a mean by the ends of its Student's t interval."""
    if n < 2:
        return None
    from scipy.special import stdtrit  # slow to import

    return (high - low) / 2 / float(stdtrit(n - 1, 0.975))


def _within(comparison: Comparison, bound: float) -> bool:
    test = equivalence(comparison, bound)
    return comparison.standard_error > 0 and not isinstance(test, Undefined) and test.within
