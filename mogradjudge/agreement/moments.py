"""Measures that follow from sums over texts: kappa, and means of what each text has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mogradjudge.agreement.methods import Method
from mogradjudge.agreement.options import TestOptions

if TYPE_CHECKING:
    from mogradjudge.agreement.coefficients import Array, Codes

MOMENTS: tuple[Method, ...] = ("qwk", "mae", "accuracy")
"""The measures that are computed here."""


def document_sums(
    human: Array, judge: Array, codes: Codes, documents: int, options: TestOptions
) -> Array:
    """Return the sums that a measure needs, by document; shape (sums, documents)."""
    columns = (
        _of_kappa(human, judge) if options.method == "qwk" else _of_mean(human, judge, options)
    )
    return np.stack([np.bincount(codes, column, minlength=documents) for column in columns])


def value_of(sums: Array, options: TestOptions) -> Array:
    """Return the measure from sums (sums, samples); shape (samples,), nan where undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if options.method != "qwk":
            texts, total = sums
            return np.asarray(total / texts)
        texts, x, y, xx, yy, apart = sums
        by_chance = texts * (xx + yy) - 2 * x * y
        # Whether there is a value must not depend on the judge.
        return np.where(texts * xx == x * x, np.nan, 1 - texts * apart / by_chance)


def whole(scores: Array) -> Array:
    """Round scores to whole ones, halves up."""
    return np.asarray(np.floor(scores + 0.5))


def _of_mean(human: Array, judge: Array, options: TestOptions) -> tuple[Array, ...]:
    if options.method == "mae":
        assert options.width is not None  # `TestOptions` checks it
        return np.ones(len(human)), 1 - np.abs(judge - human) / options.width
    return np.ones(len(human)), (whole(human) == whole(judge)).astype(np.float64)


def _of_kappa(human: Array, judge: Array) -> tuple[Array, ...]:
    x, y = whole(human), whole(judge)
    middle = whole(x.mean(keepdims=True)) if len(x) else 0.0  # so that the sums are exact
    x, y = x - middle, y - middle
    return np.ones(len(x)), x, y, x * x, y * y, (x - y) ** 2
