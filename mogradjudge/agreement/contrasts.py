"""Comparing judges on the same texts: a difference of agreements, its interval and its test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.arms import (
    Arms,
    Contrast,
    arms_of,
    check_weights,
    contrast_of,
)
from mogradjudge.agreement.checks import check_lengths, check_options, group_codes
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Constant,
    Level,
    Method,
    Options,
    Scores,
    Undefined,
    blocks,
    rank_deviations,
    unit_scale,
)
from mogradjudge.agreement.permutation import (
    Comparison,
    Population,
    flipped_sums,
    mean_comparison,
    p_value,
    sign_patterns,
)
from mogradjudge.agreement.two_way_bootstrap import Resampling, two_way
from mogradjudge.agreement.weighted_correlation import weighted_values
from mogradjudge.errors import SetupError


def contrast(
    human: Scores,
    arms: Mapping[str, Scores],
    weights: Mapping[str, float],
    groups: Sequence[str],
    *,
    method: Method = "spearman",
    level: Level = "group",
    constant: Constant = "zero",
    flips: int = 9999,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison | Undefined:
    """Test a weighted sum of several judges' agreements on the same texts.

    Weights that sum to 0 make a contrast: ``{"J1": 1, "J0": -1, "S1": -1, "S0": 1}`` is the
    interaction of two changes. Test and interval are those of `cluster_test` on the documents'
    values (`document_values`). With ``level="group"`` their mean is the difference. With
    ``level="pooled"`` the difference is that of the pooled correlations, and its pseudo-values
    stand for it in test and interval.

    Source: with two arms and ``level="group"`` this is Perm-Inputs of Deutsch, Dror and Roth 2021,
    "A Statistical Analysis of Summarization Evaluation Metrics Using Resampling Methods":
    exchanging two judges on a document changes the sign of its difference.

    Args:
        human: Human scores, length n; None where there is none.
        arms: Each judge's scores, length n, by arm. A text that lacks a score in one arm is left
            out of all, and so is a document in which one arm has no agreement.
        weights: The weight of each arm.
        groups: The document of each text, length n.
        method: As for `correlate`.
        level: As for `correlate`.
        constant: As for `correlate`.
        flips: As for `cluster_test`.
        seed: As for `cluster_test`.
        confidence: As for `cluster_test`.

    Returns:
        A comparison in points of the coefficient, or why there is none: fewer than 3 documents
        have a value.

    Raises:
        SetupError: If lengths or names differ, a score is not finite, or an option is out of its
            range.
    """
    check_options(method=method, level=level, constant=constant, flips=flips, confidence=confidence)
    check_weights(weights, arms)
    documents = group_codes(groups)
    table = arms_of(human, arms, documents.codes, len(documents))
    found = contrast_of(table, weights, Options(method, level, constant))
    values = found.values[np.isfinite(found.values)]
    if reason := _too_few(found, values):
        return reason
    sums = flipped_sums(values[:, None], sign_patterns(len(values), flips, seed))
    return mean_comparison(values, found.difference, p_value(sums[:, 0]), confidence)


def compare(
    human: Scores,
    judge_a: Scores,
    judge_b: Scores,
    groups: Sequence[str],
    *,
    generalize_to: Population = "documents",
    systems: Sequence[str] | None = None,
    method: Method = "spearman",
    level: Level = "group",
    constant: Constant = "zero",
    flips: int = 9999,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison | Undefined:
    """Compare two judges on the same texts: agreement of ``a`` less agreement of ``b``.

    Over new documents by the same systems, the test exchanges the two judges' scores on whole
    documents (Perm-Inputs). For pooled correlations both judges' scores are put on one scale
    first: mid-ranks, or standard scores for Pearson's r. The interval is Student's t on the
    documents' differences (`document_values`).

    Over new documents *and* systems, documents and systems are resampled (Boot-Both). Where a judge
    has a taste for single systems, only this answers whether it is better on new ones; it needs
    many more texts.

    Source: Deutsch, Dror and Roth 2021, "A Statistical Analysis of Summarization Evaluation
    Metrics Using Resampling Methods", TACL 9.

    Args:
        human: Human scores, length n; None where there is none.
        judge_a: The first judge's scores, length n; a text with None is left out for both.
        judge_b: The second judge's scores, length n.
        groups: The document of each text, length n.
        generalize_to: What the conclusion shall hold for.
        systems: The system that wrote each text, length n; needed for ``"documents+systems"``.
        method: As for `correlate`.
        level: As for `correlate`.
        constant: As for `correlate`.
        flips: Patterns of exchanged documents, or resamples; all patterns up to 13 documents.
        seed: Seeds them.
        confidence: Of the interval, between 0 and 1.

    Raises:
        SetupError: If lengths differ, systems are missing where they are needed, a score is not
            finite, or an option is out of its range.
    """
    check_options(
        method=method,
        level=level,
        constant=constant,
        flips=flips,
        confidence=confidence,
        generalize_to=generalize_to,
    )
    arms, weights = {"judge_a": judge_a, "judge_b": judge_b}, {"judge_a": 1.0, "judge_b": -1.0}
    options = Options(method, level, constant)
    documents = group_codes(groups)
    table = arms_of(human, arms, documents.codes, len(documents))
    found = contrast_of(table, weights, options)
    if generalize_to == "documents+systems":
        if systems is None:
            raise SetupError("`systems` must be given to generalize to systems, got None.")
        check_lengths({"human": human, "systems": systems})
        drawn = Resampling(flips, seed, confidence)
        return two_way(table, found, group_codes(systems), weights, options, drawn)
    values = found.values[np.isfinite(found.values)]
    if reason := _too_few(found, values):
        return reason
    if level == "group":
        sums = flipped_sums(values[:, None], sign_patterns(len(values), flips, seed))[:, 0]
    else:
        sums = _exchanged(table, options, sign_patterns(len(documents), flips, seed))
    return mean_comparison(values, found.difference, p_value(sums), confidence)


def _exchanged(table: Arms, options: Options, patterns: npt.NDArray[np.int8]) -> Array:
    """Give the pooled difference where judges are exchanged on the documents with sign -1."""
    one_scale = _standard if options.method == "pearson" else _mid_ranks
    human = np.concatenate([table.human, table.human])
    judge = np.concatenate([one_scale(scores) for scores in table.judges.values()])
    # Each document stands there twice, once with each judge, and one of the two has weight 1.
    codes = np.concatenate([table.codes, table.codes + table.documents])
    differences = np.empty(len(patterns))
    for rows in blocks(len(patterns), len(human)):
        kept = (patterns[rows] > 0).astype(np.float64)
        first, second = (
            weighted_values(human, judge, codes, weights, options.method, options.constant)
            for weights in (np.hstack([kept, 1 - kept]), np.hstack([1 - kept, kept]))
        )
        differences[rows] = first - second
    return differences


def _mid_ranks(scores: Array) -> Array:
    return rank_deviations(scores, np.zeros(len(scores), dtype=np.intp), 1)


def _standard(scores: Array) -> Array:
    scores = unit_scale(scores)
    centered: Array = scores - scores.mean()
    return centered / (float(scores.std()) or 1.0)


def _too_few(found: Contrast, values: Array) -> Undefined | None:
    if len(values) < FEWEST:
        return Undefined(f"{len(values)} documents have a value, and a test needs {FEWEST}")
    if math.isnan(found.difference):
        return Undefined("a judge's agreement is undefined")
    return None
