"""Distances of judge from human scores on the scale itself, which a correlation ignores.

Each function takes scores of the same texts, both of length n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mogradjudge.agreement.checks import check_lengths, finite, group_codes
from mogradjudge.agreement.coefficients import Array, Numbers, Undefined, rank_deviations
from mogradjudge.agreement.correlation import correlate

_NONE = Undefined("no text is scored")


def quadratic_kappa(human: Numbers, judge: Numbers) -> float | Undefined:
    """Return Cohen's kappa with quadratic weights, at most 1; 0 is agreement by chance.

    Scores are rounded to whole ones first, halves up. For quadratic weights kappa is
    1 - mean((h - j)^2) / (var h + var j + (mean h - mean j)^2), so that no table is needed. It is
    `correlate` with ``method="qwk"``.

    Source: Cohen 1968, "Weighted kappa"; the identity is in Fleiss and Cohen 1973, "The
    equivalence of weighted kappa and the intraclass correlation coefficient".

    >>> round(quadratic_kappa([1, 2, 3, 4, 5, 5], [1, 2, 2, 4, 5, 4]), 3)
    0.923

    Args:
        human: Human scores, shape (n,), in points of the scale.
        judge: Judge scores, shape (n,).

    Returns:
        Kappa, or why there is none: constant human scores say nothing about a judge.

    Raises:
        SetupError: If the lengths differ, or a score is not finite.
    """
    return correlate(human, judge, method="qwk").value


def krippendorff_alpha(human: Numbers, judge: Numbers) -> float | Undefined:
    """Return Krippendorff's alpha for ordinal scores, at most 1; 0 is agreement by chance.

    With the ordinal distance alpha is 1 less the observed over the expected squared difference of
    mid-ranks among all 2n scores: the distance of two scores is that of their mid-ranks. So scores
    may be continuous, at the cost of a sort.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability", with its ordinal metric
    (sum of n_g for g from c to k, less (n_c + n_k) / 2, squared).

    >>> round(krippendorff_alpha([1, 2, 3, 4, 5, 5], [1, 2, 2, 4, 5, 4]), 3)
    0.913

    Args:
        human: Human scores, shape (n,).
        judge: Judge scores, shape (n,).

    Returns:
        Alpha, or why there is none: all scores of both are equal.

    Raises:
        SetupError: If the lengths differ, or a score is not finite.
    """
    x, y = _both(human, judge)
    if not len(x):
        return _NONE
    scores = np.concatenate([x, y])
    ranks = rank_deviations(scores, np.zeros(len(scores), dtype=np.intp), 1)
    expected = 2 * ranks.var(ddof=1)
    if expected == 0:
        return Undefined("all scores are equal")
    return float(1 - ((ranks[: len(x)] - ranks[len(x) :]) ** 2).mean() / expected)


def mean_absolute_error(human: Numbers, judge: Numbers) -> float | Undefined:
    """Return the mean of |judge - human|, in points of the scale; 0 is best.

    >>> mean_absolute_error([1, 2, 3, 4], [1, 2, 2, 3])
    0.5

    Args:
        human: Human scores, shape (n,).
        judge: Judge scores, shape (n,).

    Raises:
        SetupError: If the lengths differ, or a score is not finite.
    """
    x, y = _both(human, judge)
    return float(np.abs(y - x).mean()) if len(x) else _NONE


def bias(human: Numbers, judge: Numbers) -> float | Undefined:
    """Return the mean of judge - human, in points of the scale; above 0 the judge is lenient.

    >>> bias([1, 2, 3, 4], [1, 2, 2, 3])
    -0.5

    Args:
        human: Human scores, shape (n,).
        judge: Judge scores, shape (n,).

    Raises:
        SetupError: If the lengths differ, or a score is not finite.
    """
    x, y = _both(human, judge)
    return float((y - x).mean()) if len(x) else _NONE


@dataclass(frozen=True)
class Deviation:
    """How far a judge is from people on a criterion, in points of its scale.

    ``bias`` is the mean of judge - human, above 0 for a lenient judge, and ``standard_error`` that
    of the bias over documents; None for fewer than 2. ``mean_error`` is the mean of
    |judge - human|.

    >>> Deviation(bias=-0.5, mean_error=0.75, standard_error=0.25).describe()
    '-0.50 (0.75)'
    """

    bias: float
    mean_error: float
    standard_error: float | None

    def describe(self) -> str:
        """Write the bias and, in brackets, the mean error."""
        return f"{self.bias:+z.2f} ({self.mean_error:z.2f})"


def deviation(human: Numbers, judge: Numbers, groups: Sequence[str]) -> Deviation | None:
    """Return bias and mean error; None if there is no text.

    >>> deviation([1, 2, 3, 4], [1, 2, 2, 3], "aabb")
    Deviation(bias=-0.5, mean_error=0.5, standard_error=0.5)

    Args:
        human: Human scores, shape (n,), in points of the scale.
        judge: Judge scores, shape (n,).
        groups: The document of each text, length n.

    Raises:
        SetupError: If the lengths differ, or a score is not finite.
    """
    x, y = _both(human, judge)
    if not len(x):
        return None
    errors, documents = y - x, group_codes(groups)
    mean, count = float(errors.mean()), len(documents)
    sums = np.bincount(documents.codes, errors - mean, minlength=count)
    spread = float(np.sqrt((sums**2).sum() * count / max(1, count - 1))) / len(x)
    return Deviation(mean, float(np.abs(errors).mean()), spread if count > 1 else None)


def _both(human: Numbers, judge: Numbers) -> tuple[Array, Array]:
    check_lengths({"human": human, "judge": judge})
    return finite("human", human), finite("judge", judge)
