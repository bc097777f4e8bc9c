"""Compares two judges on the same texts: difference of agreements, interval and test."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.arms import Arms, Contrast, arms_of, contrast_of
from mogradjudge.agreement.checks import check_lengths, group_codes
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Scores,
    Undefined,
    blocks,
    rank_deviations,
    too_few,
    unit_scale,
)
from mogradjudge.agreement.methods import Method
from mogradjudge.agreement.moments import MOMENTS
from mogradjudge.agreement.options import DEFAULTS, Population, TestOptions, check_options
from mogradjudge.agreement.permutation import (
    Comparison,
    flipped_sums,
    mean_comparison,
    p_value,
    sign_patterns,
)
from mogradjudge.agreement.two_way_bootstrap import two_way
from mogradjudge.agreement.weighted_correlation import weighted_values
from mogradjudge.errors import SetupError


def compare(
    human: Scores,
    judge_a: Scores,
    judge_b: Scores,
    groups: Sequence[str],
    options: TestOptions = DEFAULTS,
    *,
    generalize_to: Population = "documents",
    systems: Sequence[str] | None = None,
) -> Comparison | Undefined:
    """Compare two judges on the same texts: agreement of ``a`` minus agreement of ``b``.

    For new documents by the same systems, the test exchanges the two judges' scores on whole
    documents (Perm-Inputs), which changes the sign of a document's difference. For pooled
    correlations both judges' scores are put on one scale first: mid-ranks, or standard scores for
    Pearson's r; other measures take the scores as they are. The interval is Student's t on the
    documents' differences (`document_values`).

    For new documents *and* systems, documents and systems are resampled (Boot-Both). If a judge
    favours single systems, only this shows whether it is better on new ones; it needs many more
    texts.

    Source: Deutsch, Dror and Roth 2021, "A Statistical Analysis of Summarization Evaluation
    Metrics Using Resampling Methods", TACL 9.

    >>> human, documents = [1, 3, 5, 2, 4, 5, 1, 2, 4], list("aaabbbccc")
    >>> judge_a, judge_b = [1, 3, 4, 2, 4, 5, 1, 3, 4], [3, 3, 4, 1, 4, 4, 2, 3, 3]
    >>> comparison = compare(human, judge_a, judge_b, documents)
    >>> comparison.difference > 0, comparison.p_value
    (True, 0.25)

    Args:
        human: Human scores, length n; None where there is none.
        judge_a: The first judge's scores, length n; a text with None is left out for both.
        judge_b: The second judge's scores, length n.
        groups: The document of each text, length n.
        options: How agreement is measured and tested. Exchanged documents are tried as signs
            are in `cluster_test`.
        generalize_to: The population that the conclusion is about.
        systems: The system that wrote each text, length n; needed for ``"documents+systems"``.

    Returns:
        A comparison in points of the coefficient, or why there is none: fewer than 3 documents
        have a value.

    Raises:
        SetupError: If lengths differ, systems are missing where they are needed, a score is not
            finite, or an option is unknown.
    """
    check_options(generalize_to=generalize_to)
    arms, weights = {"judge_a": judge_a, "judge_b": judge_b}, {"judge_a": 1.0, "judge_b": -1.0}
    documents = group_codes(groups)
    table = arms_of(human, arms, documents.codes, len(documents))
    contrast = contrast_of(table, weights, options)
    if generalize_to == "documents+systems":
        if systems is None:
            raise SetupError("`systems` must be given to generalize to systems, got None.")
        check_lengths({"human": human, "systems": systems})
        return two_way(table, contrast, group_codes(systems), weights, options)
    values = contrast.values[np.isfinite(contrast.values)]
    if reason := _too_few(contrast, values):
        return reason
    if options.level == "group":
        patterns = sign_patterns(len(values), options.flips, options.seed)
        sums = flipped_sums(values[:, None], patterns)[:, 0]
    else:
        patterns = sign_patterns(len(documents), options.flips, options.seed)
        sums = _exchanged(table, options, patterns)
    return mean_comparison(values, contrast.difference, p_value(sums), options.confidence)


def _exchanged(table: Arms, options: TestOptions, patterns: npt.NDArray[np.int8]) -> Array:
    """Return the pooled differences with judges exchanged on the documents with sign -1."""
    one_scale = _ONE_SCALE.get(options.method, _mid_ranks)
    human = np.concatenate([table.human, table.human])
    judge = np.concatenate([one_scale(scores) for scores in table.judges.values()])
    # Each document is there twice, once with each judge; one of the two has weight 1.
    codes = np.concatenate([table.codes, table.codes + table.documents])
    differences = np.empty(len(patterns))
    for rows in blocks(len(patterns), len(human)):
        unchanged = (patterns[rows] > 0).astype(np.float64)
        first, second = (
            weighted_values(human, judge, codes, weights, options)
            for weights in (
                np.hstack([unchanged, 1 - unchanged]),
                np.hstack([1 - unchanged, unchanged]),
            )
        )
        differences[rows] = first - second
    return differences


def _mid_ranks(scores: Array) -> Array:
    return rank_deviations(scores, np.zeros(len(scores), dtype=np.intp), 1)


def _standard(scores: Array) -> Array:
    scores = unit_scale(scores)
    centered: Array = scores - scores.mean()
    return centered / (float(scores.std()) or 1.0)


_ONE_SCALE: Mapping[Method, Callable[[Array], Array]] = {
    "pearson": _standard,
    **dict.fromkeys(MOMENTS, np.asarray),
}


def _too_few(contrast: Contrast, values: Array) -> Undefined | None:
    if len(values) < FEWEST:
        return too_few(len(values))
    if math.isnan(contrast.difference):
        return Undefined("a judge's agreement is undefined")
    return None
