"""All measures of one judge on one criterion, in one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mogradjudge.agreement.checks import check_lengths, gappy
from mogradjudge.agreement.coefficients import Array, Scores, Undefined
from mogradjudge.agreement.correlation import correlate
from mogradjudge.agreement.distances import (
    bias,
    krippendorff_alpha,
    mean_absolute_error,
    quadratic_kappa,
)
from mogradjudge.agreement.options import Constant, Level, Method, check_options
from mogradjudge.agreement.pair_accuracy import pair_accuracy, pair_accuracy_constant
from mogradjudge.errors import SetupError

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Measures:
    """What is known of a judge's agreement on one criterion.

    ``n`` counts the texts that humans rated, ``scored`` those among them with a judge score, and
    ``coverage`` is their ratio; all else is over the scored texts. ``spearman``, ``kendall``
    (tau-b) and ``pearson`` lie in [-1, 1], ``qwk`` and ``alpha`` are at most 1, ``mae`` and
    ``bias`` are in points of the scale, ``pair_accuracy`` and ``pair_accuracy_constant`` lie in
    [0, 1]. ``skill`` is (a - c) / (1 - c) of these two: 0 for a judge no better than a constant,
    1 at best.
    """

    n: int
    scored: int
    coverage: float | Undefined
    spearman: float | Undefined
    kendall: float | Undefined
    pearson: float | Undefined
    qwk: float | Undefined
    alpha: float | Undefined
    mae: float | Undefined
    bias: float | Undefined
    pair_accuracy: float | Undefined
    pair_accuracy_constant: float | Undefined
    skill: float | Undefined


def measures(
    human: Scores,
    judge: Scores,
    scale: tuple[float, float],
    groups: Sequence[str] | None = None,
    *,
    level: Level = "pooled",
    constant: Constant = "zero",
) -> Measures:
    """Measure a judge in every way; see the single functions for formulas and sources.

    Args:
        human: Human scores, length n, on the scale; None where a text is not rated, and it is left
            out.
        judge: Judge scores of the same texts, length n, on the scale; None where there is none.
        scale: The lowest and the highest score.
        groups: The group of each text, length n. With it pairs are compared within groups.
        level: How correlations are taken, as for `correlate`.
        constant: As for `correlate`.

    Raises:
        SetupError: If the lengths differ, a score is no number or off the scale, groups are missing
            where they are needed, or an option is unknown.
    """
    check_options(level=level, constant=constant)
    check_lengths({"human": human, "judge": judge, "groups": human if groups is None else groups})
    x, y = gappy("human", human), gappy("judge", judge)
    _check_scale(scale, x, y)
    rated = np.isfinite(x)
    kept = rated & np.isfinite(y)
    x, y = x[kept], y[kept]
    within = (
        None
        if groups is None
        else [group for group, both in zip(groups, kept, strict=True) if both]
    )
    accuracy = pair_accuracy(x, y, within)
    accuracy_constant = pair_accuracy_constant(x, within)

    def correlation(method: Method) -> float | Undefined:
        return correlate(x, y, within, method=method, level=level, constant=constant).value

    n = int(rated.sum())
    return Measures(
        n=n,
        scored=len(x),
        coverage=len(x) / n if n else Undefined("no text is rated"),
        spearman=correlation("spearman"),
        kendall=correlation("kendall"),
        pearson=correlation("pearson"),
        qwk=quadratic_kappa(x, y),
        alpha=krippendorff_alpha(x, y),
        mae=mean_absolute_error(x, y),
        bias=bias(x, y),
        pair_accuracy=accuracy,
        pair_accuracy_constant=accuracy_constant,
        skill=_skill(accuracy, accuracy_constant),
    )


def _skill(accuracy: float | Undefined, constant: float | Undefined) -> float | Undefined:
    if isinstance(accuracy, Undefined) or isinstance(constant, Undefined):
        return accuracy
    if constant == 1:
        return Undefined("humans tie all pairs")
    return (accuracy - constant) / (1 - constant)


def _check_scale(scale: tuple[float, float], human: Array, judge: Array) -> None:
    low, high = scale
    if not low < high:
        raise SetupError(f"`scale` must rise, low < high, got {scale!r}.")
    for name, scores in {"human": human, "judge": judge}.items():
        # An expected score may pass an end of the scale by a rounding error.
        off = scores[(scores < low - _ROUNDING) | (scores > high + _ROUNDING)]
        if len(off):
            raise SetupError(f"`{name}` must lie on the scale {low} to {high}, got {off[0]:g}.")
