"""Values by document whose mean is the agreement: the numbers that all tests use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mogradjudge.agreement.checks import check_lengths, gappy, group_codes
from mogradjudge.agreement.coefficients import (
    Array,
    Codes,
    Scores,
    blocks,
    group_values,
)
from mogradjudge.agreement.methods import Method
from mogradjudge.agreement.options import Constant, Level, TestOptions
from mogradjudge.agreement.weighted_correlation import weighted_values


def document_values(
    human: Scores,
    judge: Scores,
    groups: Sequence[str],
    *,
    method: Method = "spearman",
    level: Level = "group",
    constant: Constant = "zero",
    options: TestOptions | None = None,
) -> dict[str, float]:
    """Return one value per document; their mean is the agreement.

    With ``level="group"`` it is the agreement within the document. With ``level="pooled"`` it is
    the document's jackknife pseudo-value D r - (D - 1) r_d, where r is the agreement over all D
    documents and r_d the one without d (Efron and Tibshirani 1993, "An Introduction to the
    Bootstrap", ch. 11); these can lie outside of [-1, 1], and their mean is r minus its estimated
    bias.

    >>> human, judge = [1, 2, 3, 4, 5, 5], [1, 2, 2, 4, 5, 4]
    >>> {name: round(value, 3) for name, value in document_values(human, judge, "aaabbb").items()}
    {'a': 0.866, 'b': 0.5}

    Args:
        human: Human scores, length n; a text with None on either side is left out.
        judge: Judge scores of the same texts, length n.
        groups: The document of each text, length n.
        method: As for `correlate`.
        level: As for `correlate`.
        constant: As for `correlate`.
        options: How agreement is measured, in place of these three.

    Returns:
        The value by document, sorted by name. A document that has none is left out: for a
        correlation within it, one whose human scores are all equal, or with fewer than 3 texts.

    Raises:
        SetupError: If the lengths differ, a score is not finite, or an option is unknown.
    """
    how = options or TestOptions(method, level, constant)
    check_lengths({"human": human, "judge": judge, "groups": groups})
    documents = group_codes(groups)
    x, y = gappy("human", human), gappy("judge", judge)
    scored = np.isfinite(x) & np.isfinite(y)
    values = values_of(x[scored], y[scored], documents.codes[scored], len(documents), how)
    return {
        name: float(value)
        for name, value in zip(documents.names, values, strict=True)
        if np.isfinite(value)
    }


def values_of(
    human: Array,
    judge: Array,
    codes: Codes,
    documents: int,
    options: TestOptions,
) -> Array:
    """Return the documents' values; shape (documents,), nan where there is none."""
    if options.level == "group":
        return group_values(human, judge, codes, documents, options)
    present = np.bincount(codes, minlength=documents) > 0
    without = np.empty(documents)
    for rows in blocks(documents, documents):
        weights = 1.0 - (np.arange(documents)[rows, None] == np.arange(documents))
        without[rows] = weighted_values(human, judge, codes, weights, options)
    over_all, count = agreement_over_all(human, judge, codes, documents, options), present.sum()
    return np.where(present, count * over_all - (count - 1) * without, np.nan)


def agreement_over_all(
    human: Array,
    judge: Array,
    codes: Codes,
    documents: int,
    options: TestOptions,
) -> float:
    """Return the agreement itself; nan if it is undefined."""
    if options.level == "group":
        values = group_values(human, judge, codes, documents, options)
        return float(np.mean(values[np.isfinite(values)])) if np.isfinite(values).any() else np.nan
    return float(group_values(human, judge, np.zeros_like(codes), 1, options)[0])
