"""All measures of one judge on one criterion, in one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.checks import check_lengths, gappy
from mogradjudge.agreement.coefficients import Array, Scores, Undefined
from mogradjudge.agreement.correlation import correlate
from mogradjudge.agreement.distances import (
    bias,
    krippendorff_alpha,
    mean_absolute_error,
)
from mogradjudge.agreement.methods import Method
from mogradjudge.agreement.options import Constant, Level, check_options
from mogradjudge.agreement.pair_accuracy import (
    calibrate_epsilon,
    pair_accuracy,
    pair_accuracy_constant,
)
from mogradjudge.errors import SetupError

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Measures:
    """The agreement of a judge on one criterion, by all measures.

    ``n`` counts the texts that humans rated, ``scored`` those among them with a judge score, and
    ``coverage`` is their ratio; all other measures are over the scored texts. ``spearman``,
    ``kendall`` (tau-b), ``pearson`` and ``qwk`` lie in [-1, 1], ``alpha`` is at most 1, ``mae`` and
    ``bias`` are in points of the scale, ``accuracy`` (the share of scores that are equal once they
    are rounded), ``pair_accuracy`` and ``pair_accuracy_constant`` lie in [0, 1]. ``skill`` is
    (a - c) / (1 - c) of these two: 0 for a judge no better than a constant, 1 at best. Judge scores
    are tied up to ``epsilon``, which was found on other texts if it is ``calibrated``.

    >>> judged = measures([1, 2, 3, 4], [1, 2, 2, 3], scale=(1, 5))
    >>> judged.bias, judged.pair_accuracy
    (-0.5, 0.8333333333333334)
    """

    n: int
    scored: int
    coverage: float | Undefined
    spearman: float | Undefined
    kendall: float | Undefined
    pearson: float | Undefined
    qwk: float | Undefined
    alpha: float | Undefined
    accuracy: float | Undefined
    mae: float | Undefined
    bias: float | Undefined
    pair_accuracy: float | Undefined
    pair_accuracy_constant: float | Undefined
    skill: float | Undefined
    epsilon: float
    calibrated: bool


def measures(
    human: Scores,
    judge: Scores,
    scale: tuple[float, float],
    groups: Sequence[str] | None = None,
    *,
    level: Level = "pooled",
    constant: Constant = "zero",
    calibrate_on: tuple[Scores, Scores] | tuple[Scores, Scores, Sequence[str]] | None = None,
) -> Measures:
    """Compute all measures of a judge; see the single functions for formulas and sources.

    >>> judged = measures([1, 2, 3, None, 5], [1, 2, 2, 4, None], scale=(1, 5))
    >>> judged.n, judged.scored, judged.coverage, round(judged.mae, 3)
    (4, 3, 0.75, 0.333)

    Args:
        human: Human scores, length n, on the scale; None where a text is not rated, and it is left
            out.
        judge: Judge scores of the same texts, length n, on the scale; None where there is none.
        scale: The lowest and the highest score.
        groups: The group of each text, length n. With it pairs are compared within groups.
        level: How coefficients and accuracy are computed, as for `correlate`.
        constant: As for `correlate`.
        calibrate_on: Human scores, judge scores and, if ``groups`` are given, groups of other
            texts, on which ties of judge scores are calibrated (`calibrate_epsilon`). Without it,
            and for a judge whose scores are whole, only equal scores are tied.

    Raises:
        SetupError: If the lengths differ, a score is no number or off the scale, groups are missing
            where they are needed, or an option is unknown.
    """
    check_options(level=level, constant=constant)
    check_lengths({"human": human, "judge": judge, "groups": human if groups is None else groups})
    x, y = gappy("human", human), gappy("judge", judge)
    _check_scale(scale, x, y)
    rated = np.isfinite(x)
    both = rated & np.isfinite(y)
    x, y = x[both], y[both]
    within = None if groups is None else _select(groups, both)
    epsilon, calibrated = _epsilon(y, calibrate_on, grouped=groups is not None)
    accuracy = pair_accuracy(x, y, within, epsilon=epsilon)
    accuracy_constant = pair_accuracy_constant(x, within)

    def agreement(method: Method) -> float | Undefined:
        return correlate(x, y, within, method=method, level=level, constant=constant).value

    n = int(rated.sum())
    return Measures(
        n=n,
        scored=len(x),
        coverage=len(x) / n if n else Undefined("no text is rated"),
        spearman=agreement("spearman"),
        kendall=agreement("kendall"),
        pearson=agreement("pearson"),
        qwk=agreement("qwk"),
        alpha=krippendorff_alpha(x, y),
        accuracy=agreement("accuracy"),
        mae=mean_absolute_error(x, y),
        bias=bias(x, y),
        pair_accuracy=accuracy,
        pair_accuracy_constant=accuracy_constant,
        skill=_skill(accuracy, accuracy_constant),
        epsilon=epsilon,
        calibrated=calibrated,
    )


def _epsilon(
    judge: Array,
    others: tuple[Scores, Scores] | tuple[Scores, Scores, Sequence[str]] | None,
    *,
    grouped: bool,
) -> tuple[float, bool]:
    if others is None or (judge == np.round(judge)).all():
        return 0.0, False
    if grouped != (len(others) == 3):
        raise SetupError(
            "`calibrate_on` must hold human scores and judge scores, and groups if and only if "
            f"`groups` are given, got {len(others)} columns."
        )
    human, scores = gappy("human", others[0]), gappy("judge", others[1])
    check_lengths({"human": human, "judge": scores})
    both = np.isfinite(human) & np.isfinite(scores)
    within = _select(others[2], both) if len(others) == 3 else None
    return calibrate_epsilon(human[both], scores[both], within), True


def _select(groups: Sequence[str], chosen: npt.NDArray[np.bool_]) -> list[str]:
    return [group for group, keep in zip(groups, chosen, strict=True) if keep]


def _skill(accuracy: float | Undefined, constant: float | Undefined) -> float | Undefined:
    if isinstance(accuracy, Undefined) or isinstance(constant, Undefined):
        return accuracy
    if constant == 1:
        return Undefined("humans scored the texts of each pair equally")
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
