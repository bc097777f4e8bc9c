"""Agreement of judge and human scores as one number; higher is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mogradjudge.agreement.checks import check_lengths, finite, group_codes
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Numbers,
    Undefined,
    constant_groups,
    group_values,
)
from mogradjudge.agreement.methods import METHODS, Method
from mogradjudge.agreement.moments import MOMENTS
from mogradjudge.agreement.options import Constant, Level, TestOptions
from mogradjudge.errors import SetupError


@dataclass(frozen=True)
class Correlation:
    """An agreement of judge with human scores.

    ``n`` counts the scored pairs, ``groups`` those that ``value`` averages over (1 when pooled) and
    ``constant_judge`` the groups among them in which the judge gave one score only.

    >>> correlate([1, 2, 3, 4], [2, 2, 3, 5]).n
    4
    """

    value: float | Undefined
    n: int
    groups: int
    constant_judge: int


def correlate(
    human: Numbers,
    judge: Numbers,
    groups: Sequence[str] | None = None,
    *,
    method: Method = "spearman",
    level: Level = "pooled",
    constant: Constant = "zero",
    width: float | None = None,
) -> Correlation:
    """Measure how well judge and human scores agree; the value lies in [-1, 1] and is 1 at best.

    If all human scores are equal, a coefficient is undefined, and such a group is left out. If
    the judge gives one score to all texts although humans do not, it is 0. (``constant="drop"``
    leaves such groups out of a correlation instead; it rewards a judge for abstaining and is there
    to compare with papers that do so, as G-Eval.) ``"mae"`` and ``"accuracy"`` always have a value,
    in [0, 1]; they say nothing of chance.

    ``"qwk"`` and ``"accuracy"`` round both scores to whole ones, halves up: a mean of raters of 3.5
    counts as 4.

    Source: Spearman's rho is Pearson's r of mid-ranks; Kendall's tau-b is Kendall 1945, "The
    treatment of ties in ranking problems". tau-b rises when a judge uses fewer scores, so it does
    not compare judges of different score rules (Deutsch et al. 2023, arXiv 2305.14324).

    >>> human, judge = [1, 2, 3, 4, 5, 5], [1, 2, 2, 4, 5, 4]
    >>> round(correlate(human, judge).value, 3)
    0.94
    >>> round(correlate(human, judge, list("aaabbb"), level="group").value, 3)
    0.683

    Args:
        human: Human scores, length n.
        judge: Judge scores of the same texts, length n, in the same order.
        groups: The group of each text, length n; needed for ``level="group"``.
        method: ``"spearman"``, ``"kendall"`` (tau-b) or ``"pearson"``; ``"qwk"``, Cohen's kappa
            with quadratic weights; ``"mae"``, 1 - mean absolute error / ``width``; or
            ``"accuracy"``, the share of texts with equal scores.
        level: ``"pooled"`` takes one value over all texts, ``"group"`` the mean of the groups'.
        constant: Whether a constant judge's correlation is 0, or its groups are left out.
        width: The width of the scale, in points; only ``"mae"`` needs it.

    Raises:
        SetupError: If the lengths differ, groups are missing where they are needed, a score is
            not finite, or an option is unknown.
    """
    return _measured(TestOptions(method, level, constant, width=width), human, judge, groups)


def agreement_by(
    options: TestOptions, human: Numbers, judge: Numbers, groups: Sequence[str] | None = None
) -> float | Undefined:
    """Return the value of `correlate` with its options in one.

    >>> agreement_by(TestOptions("qwk", "pooled"), [1, 2, 3], [1, 2, 3])
    1.0
    """
    return _measured(options, human, judge, groups).value


def _measured(
    options: TestOptions, human: Numbers, judge: Numbers, groups: Sequence[str] | None
) -> Correlation:
    if options.level == "group" and groups is None:
        raise SetupError("`groups` must be given with level='group', got None.")
    check_lengths({"human": human, "judge": judge, "groups": human if groups is None else groups})
    x, y = finite("human", human), finite("judge", judge)
    if options.level == "pooled":
        return Correlation(_pooled(x, y, options), len(x), 1, int(len(set(y)) == 1))
    numbered = group_codes([] if groups is None else groups)
    values = group_values(x, y, numbered.codes, len(numbered), options)
    defined = np.isfinite(values)
    constant_judge = constant_groups(y, numbered.codes, len(numbered)) & defined
    equal = METHODS[options.method].constant
    reason = f"in each group all {equal} are equal" if equal else "no text is scored"
    return Correlation(
        float(values[defined].mean()) if defined.any() else Undefined(reason),
        len(x),
        int(defined.sum()),
        int(constant_judge.sum()),
    )


def _pooled(human: Array, judge: Array, options: TestOptions) -> float | Undefined:
    together = np.zeros(len(human), dtype=np.intp)
    value = float(group_values(human, judge, together, 1, options)[0])
    if np.isfinite(value):
        return value
    if options.method in MOMENTS:
        equal = METHODS[options.method].constant
        return Undefined(f"all {equal} are equal" if len(human) else "no text is scored")
    if len(human) < FEWEST:
        return Undefined(f"{len(human)} scored texts, and a correlation needs {FEWEST}")
    if (human == human[0]).all():
        return Undefined("all human scores are equal")
    return Undefined("all judge scores are equal")
